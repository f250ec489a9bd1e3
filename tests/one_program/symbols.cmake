# Of a function that several objects have the linker keeps one copy. So none of the library may be there under a name that does
# not tell what it was compiled for; and in tables, which only run where the processor was asked, none at all.
# cmake -DSMX_NM=<nm> "-DSMX_TABLES=<object>;..." "-DSMX_OBJECTS=<object>;..." -P symbols.cmake
cmake_minimum_required(VERSION 3.22)
if(NOT SMX_TABLES OR NOT SMX_OBJECTS)
  message(FATAL_ERROR "no objects were given")
endif()
foreach(object IN LISTS SMX_TABLES SMX_OBJECTS)
  execute_process(COMMAND "${SMX_NM}" --format=posix "${object}" OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^ \n]+ [VWu] " functions "${symbols}")
  set(shared "${functions}")
  list(FILTER shared EXCLUDE REGEX "3smx[0-9]+[a-z0-9_]+_(xsimd|scalar|arrays)|^DW\\.ref\\.|^_ZT[IS]F") # _ZT: types of functions, by sanitizers
  if(object IN_LIST SMX_OBJECTS)
    list(FILTER shared INCLUDE REGEX "^_ZNK?3smx")
  endif()
  if(shared)
    message(FATAL_ERROR "${object} shares ${shared}")
  endif()
  list(LENGTH functions count)
  message("${object}: none of ${count} is shared")
endforeach()
