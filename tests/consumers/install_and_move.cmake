# cmake -DSMX_BUILD=<build folder> -DSMX_PREFIX=<where it ends up> -P install_and_move.cmake
file(REMOVE_RECURSE "${SMX_PREFIX}" "${SMX_PREFIX}.first")
execute_process(COMMAND "${CMAKE_COMMAND}" --install "${SMX_BUILD}" --prefix "${SMX_PREFIX}.first"
                COMMAND_ERROR_IS_FATAL ANY)
file(RENAME "${SMX_PREFIX}.first" "${SMX_PREFIX}")
