# cmake -DPROGRAM=<command> -DEXPECTED=<file> -P run.cmake: it exits with 0 and prints what is in the file.
cmake_minimum_required(VERSION 3.22)
list(REMOVE_ITEM PROGRAM "")
execute_process(COMMAND ${PROGRAM} OUTPUT_VARIABLE output COMMAND_ERROR_IS_FATAL ANY)
file(READ "${EXPECTED}" expected)
if(NOT output STREQUAL expected)
  message(FATAL_ERROR "printed\n${output}\nbut the documentation says\n${expected}")
endif()
