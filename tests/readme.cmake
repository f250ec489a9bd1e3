# The README's first C++ block is a whole program: exactly that text has to compile and to run.
set(readme "${PROJECT_SOURCE_DIR}/README.md")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${readme}")
file(READ "${readme}" text)
set(opening "```cpp\n")
string(FIND "${text}" "${opening}" begin)
if(begin EQUAL -1)
  message(FATAL_ERROR "README.md has no C++ example")
endif()
string(LENGTH "${opening}" length)
math(EXPR begin "${begin} + ${length}")
string(SUBSTRING "${text}" ${begin} -1 text)
string(FIND "${text}" "```" end)
string(SUBSTRING "${text}" 0 ${end} text)
file(GENERATE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/readme_example.cpp" CONTENT "${text}")

add_executable(readme_example "${CMAKE_CURRENT_BINARY_DIR}/readme_example.cpp")
target_link_libraries(readme_example PRIVATE safe_softmax smx_warnings)
add_test(NAME readme_example COMMAND readme_example)

if(CMAKE_CROSSCOMPILING)
  return()
endif()

# Its CMake blocks, each in a project of its own, with the installed package and with this source in place of the download.
file(READ "${readme}" text)
set(number 0)
while(text MATCHES "```cmake\n([^`]*)```")
  set(block "${CMAKE_MATCH_1}")
  string(FIND "${text}" "${CMAKE_MATCH_0}" begin)
  string(LENGTH "${CMAKE_MATCH_0}" length)
  math(EXPR begin "${begin} + ${length}")
  string(SUBSTRING "${text}" ${begin} -1 text)
  math(EXPR number "${number} + 1")
  set(project "${CMAKE_CURRENT_BINARY_DIR}/readme_cmake_${number}")
  file(WRITE "${project}/CMakeLists.txt" "cmake_minimum_required(VERSION 3.22)
project(readme LANGUAGES CXX)
add_executable(app [[${CMAKE_CURRENT_SOURCE_DIR}/consumers/consumer.cpp]])
${block}")
  set(options "-DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}" "-DCMAKE_PREFIX_PATH=${CMAKE_CURRENT_BINARY_DIR}/consumers/prefix"
              "-DCMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER}" "-DCMAKE_BUILD_TYPE=Release"
              "-DFETCHCONTENT_SOURCE_DIR_SAFE_SOFTMAX=${PROJECT_SOURCE_DIR}" -DFETCHCONTENT_FULLY_DISCONNECTED=ON)
  if(block MATCHES "safe_softmax::dispatch") # what is compiled here is compiled by consumer.dispatch
    add_test(NAME readme_cmake.${number} COMMAND "${CMAKE_COMMAND}" --fresh -S "${project}" -B "${project}/build"
                                                 -G "${CMAKE_GENERATOR}" ${options})
  else()
    add_test(NAME readme_cmake.${number}
             COMMAND "${CMAKE_CTEST_COMMAND}" --build-and-test "${project}" "${project}/build"
               --build-generator "${CMAKE_GENERATOR}" --build-options --fresh ${options} --test-command app)
  endif()
  set_tests_properties(readme_cmake.${number} PROPERTIES LABELS consumer FIXTURES_REQUIRED installed)
endwhile()
if(number LESS 3)
  message(FATAL_ERROR "README.md has ${number} blocks of CMake; three were meant to be tested")
endif()

# Its commands under "Use it", in order.
add_test(NAME readme_commands
         COMMAND "${CMAKE_COMMAND}" "-DSMX_SOURCE=${PROJECT_SOURCE_DIR}" "-DSMX_WORK=${CMAKE_CURRENT_BINARY_DIR}/readme_commands"
                                    "-DSMX_GENERATOR=${CMAKE_GENERATOR}" -P "${CMAKE_CURRENT_SOURCE_DIR}/readme_commands.cmake")
set_tests_properties(readme_commands PROPERTIES LABELS consumer SKIP_REGULAR_EXPRESSION "SKIPPED: ")
