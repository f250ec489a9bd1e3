# cmake -DSMX_SOURCE=<project> -DSMX_VERSION=<version> -DSMX_WORK=<scratch folder> -P amalgamate_test.cmake
cmake_minimum_required(VERSION 3.22)
file(REMOVE_RECURSE "${SMX_WORK}")
file(MAKE_DIRECTORY "${SMX_WORK}/elsewhere")

# amalgamate(<project> <working folder> <argument>...): leaves `result` and `output`.
function(amalgamate project folder)
  execute_process(COMMAND "${CMAKE_COMMAND}" -P "${project}/cmake/amalgamate.cmake" ${ARGN} WORKING_DIRECTORY "${folder}"
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  string(REGEX REPLACE "[ \n]+" " " output "${output}") # CMake breaks lines
  set(result "${result}" PARENT_SCOPE)
  set(output "${output}" PARENT_SCOPE)
endfunction()

function(refused expected)
  if(result EQUAL 0 OR NOT output MATCHES "${expected}")
    message(SEND_ERROR "expected an error with \"${expected}\", got ${result}: ${output}")
  endif()
endfunction()

# The same bytes, wherever it is called from, however the file is named, whether it was there before.
amalgamate("${SMX_SOURCE}" "${SMX_SOURCE}" "${SMX_WORK}/first.hpp")
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${output}")
endif()
file(WRITE "${SMX_WORK}/elsewhere/second.hpp" "what was here before")
amalgamate("${SMX_SOURCE}" "${SMX_WORK}/elsewhere" second.hpp)
file(READ "${SMX_WORK}/first.hpp" text)
file(READ "${SMX_WORK}/elsewhere/second.hpp" again)
if(NOT text STREQUAL again OR text STREQUAL "")
  message(SEND_ERROR "two runs wrote different files")
endif()

# Nothing of ours is left to be included, no trace of this machine; every header is there, with licence and version.
if(text MATCHES "include <safe_softmax/" OR text MATCHES "#pragma once")
  message(SEND_ERROR "an include of the library's own was left: ${CMAKE_MATCH_0}")
endif()
string(FIND "${text}" "${SMX_SOURCE}" at)
if(NOT at EQUAL -1)
  message(SEND_ERROR "the project's path got into it")
endif()
if(NOT text MATCHES "^// SPDX-License-Identifier: BSL-1.0\n" OR NOT text MATCHES "safe_softmax ${SMX_VERSION} in one header")
  message(SEND_ERROR "licence or version is missing at the top")
endif()
string(REGEX REPLACE "[ \n/]+" " " words "${text}")
file(READ "${SMX_SOURCE}/LICENSE" licence)
string(REGEX REPLACE "[ \n/]+" " " licence "${licence}")
string(STRIP "${licence}" licence)
string(FIND "${words}" "${licence}" at)
if(at EQUAL -1)
  message(SEND_ERROR "the licence's text is missing")
endif()
file(GLOB_RECURSE headers RELATIVE "${SMX_SOURCE}/include" "${SMX_SOURCE}/include/*.hpp")
# Adapters are for those who have what they adapt to; the other one is for the sources of run-time dispatch.
list(REMOVE_ITEM headers safe_softmax/detail/job_kernels.hpp safe_softmax/expression.hpp)
foreach(adapter IN ITEMS dlpack eigen eigen_tensor mpi openmp tbb torch xtensor)
  list(REMOVE_ITEM headers safe_softmax/${adapter}.hpp)
endforeach()
foreach(header IN LISTS headers)
  string(FIND "${text}" "// ---- ${header}\n" at)
  if(at EQUAL -1)
    message(SEND_ERROR "${header} did not get in")
  endif()
endforeach()

amalgamate("${SMX_SOURCE}" "${SMX_WORK}")
refused("one file name is needed, not 0 usage: cmake -P cmake/amalgamate.cmake <out.hpp>")
amalgamate("${SMX_SOURCE}" "${SMX_WORK}" one.hpp two.hpp)
refused("one file name is needed, not 2")
amalgamate("${SMX_SOURCE}" "${SMX_WORK}" "${SMX_WORK}/elsewhere")
refused("elsewhere is a folder")
file(WRITE "${SMX_WORK}/a_file" "")
amalgamate("${SMX_SOURCE}" "${SMX_WORK}" a_file/out.hpp)
refused("a_file")

# Headers made up for the purpose, in a project of their own.
set(other "${SMX_WORK}/other")
configure_file("${SMX_SOURCE}/cmake/amalgamate.cmake" "${other}/cmake/amalgamate.cmake" COPYONLY)
configure_file("${SMX_SOURCE}/LICENSE" "${other}/LICENSE" COPYONLY)
function(header name text)
  file(WRITE "${other}/include/safe_softmax/${name}.hpp" "${text}")
endfunction()
function(refused_headers expected)
  amalgamate("${other}" "${SMX_WORK}" out.hpp)
  refused("${expected}")
endfunction()
set(once "#pragma once\n")
set(version "#define SMX_VERSION_MAJOR 3\n#define SMX_VERSION_MINOR 4\n#define SMX_VERSION_PATCH 5\n")
header(version "${once}${version}")
header(part "${once}int part;\n")

# Conditions are kept, repetitions and cycles left out, text is not touched: semicolons, brackets, backslashes, CRLF,
# a last line without an end.
header(cycle "${once}#include <safe_softmax/safe_softmax.hpp>\r\nint cycle = 1;\r\n")
header(inner "${once}#if B\n#include <safe_softmax/part.hpp>\n#include <safe_softmax/part.hpp>\n#else\nint none;\n#endif\n")
header(safe_softmax "${once}#include <safe_softmax/version.hpp>
#  include <safe_softmax/cycle.hpp>  // remark
# if A
#include <safe_softmax/inner.hpp>
# elif C
#include <other/library.hpp>
# endif
#define LINES(x) [x]; \\
#include <safe_softmax/nowhere.hpp> \\
  \"a;b\" $\{x} @y@ \\[
int last[2] = {1, 2};")
amalgamate("${other}" "${SMX_WORK}" out.hpp)
file(READ "${SMX_WORK}/out.hpp" text)
string(REGEX REPLACE "^.*\n#define SMX_VERSION_PATCH 5\n(.*)#define SMX_SINGLE_HEADER.*$" "\\1" text "${text}")
set(expected "
// ---- safe_softmax/cycle.hpp

int cycle = 1;

// ---- safe_softmax/safe_softmax.hpp

# if A

// ---- safe_softmax/inner.hpp

#if B

// ---- safe_softmax/part.hpp

int part;

// ---- safe_softmax/inner.hpp

#else
int none;
#endif

// ---- safe_softmax/safe_softmax.hpp

# elif C
#include <other/library.hpp>
# endif
#define LINES(x) [x]; \\
#include <safe_softmax/nowhere.hpp> \\
  \"a;b\" $\{x} @y@ \\[
int last[2] = {1, 2};

")
if(NOT text STREQUAL expected)
  message(SEND_ERROR "headers were not put together as they should be: ${output} ${text}")
endif()

amalgamate("${other}" "${other}" include/safe_softmax/safe_softmax.hpp)
refused("where the headers are that it is made of")
amalgamate("${other}" "${other}/include" new_folder/../out.hpp)
refused("where the headers are that it is made of")
header(safe_softmax "${once}#if A\n#include <safe_softmax/part.hpp>\n#endif\n#include <safe_softmax/part.hpp>\n")
refused_headers("safe_softmax/safe_softmax.hpp:5: safe_softmax/part.hpp was first included under a condition")
header(safe_softmax "${once}#if A\n#include <safe_softmax/part.hpp>\n#else\n#include <safe_softmax/part.hpp>\n#endif\n")
refused_headers("safe_softmax/safe_softmax.hpp:5: safe_softmax/part.hpp was first included under a condition")
header(safe_softmax "${once}\n#include <safe_softmax/gone.hpp>\n")
refused_headers("safe_softmax/safe_softmax.hpp:3: there is no safe_softmax/gone.hpp")
header(safe_softmax "${once}#include \"part.hpp\"\n")
refused_headers("safe_softmax.hpp:2: #include \"part.hpp\" only #include <...> can be followed")
header(safe_softmax "${once}#if A\n")
refused_headers("safe_softmax/safe_softmax.hpp: an #if has no #endif")
header(safe_softmax "${once}#if A\n#endif\n#endif\n")
refused_headers("safe_softmax/safe_softmax.hpp:4: #endif without its #if")
header(safe_softmax "int twice;\n")
refused_headers("safe_softmax/safe_softmax.hpp has no #pragma once")
header(safe_softmax "${once}int no_version;\n")
refused_headers("the headers do not define SMX_VERSION_MAJOR")
