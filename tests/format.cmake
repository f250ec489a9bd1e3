# All code is formatted as .clang-format says. By that version only: others see some things differently.
find_program(SMX_CLANG_FORMAT clang-format-19)
if(NOT SMX_CLANG_FORMAT OR CMAKE_CROSSCOMPILING)
  return()
endif()
set(folders include cmake tests bench examples)
list(TRANSFORM folders REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/\\1/*.[ch]pp")
file(GLOB_RECURSE formatted CONFIGURE_DEPENDS ${folders})
add_test(NAME format COMMAND "${SMX_CLANG_FORMAT}" --dry-run -Werror ${formatted})
