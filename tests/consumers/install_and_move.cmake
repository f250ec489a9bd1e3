# cmake -DSMX_BUILD=<build folder> -DSMX_SOURCE=<project> -DSMX_PREFIX=<where it ends up> -P install_and_move.cmake
file(REMOVE_RECURSE "${SMX_PREFIX}" "${SMX_PREFIX}.first")
execute_process(COMMAND "${CMAKE_COMMAND}" --install "${SMX_BUILD}" --prefix "${SMX_PREFIX}.first"
                COMMAND_ERROR_IS_FATAL ANY)
file(RENAME "${SMX_PREFIX}.first" "${SMX_PREFIX}")

# No file knows where it was made or first installed.
file(GLOB_RECURSE files "${SMX_PREFIX}/*")
foreach(file IN LISTS files)
  file(READ "${file}" text)
  foreach(path "${SMX_PREFIX}" "${SMX_BUILD}" "${SMX_SOURCE}")
    string(FIND "${text}" "${path}" at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "${file} has the path ${path} in it")
    endif()
  endforeach()
endforeach()
