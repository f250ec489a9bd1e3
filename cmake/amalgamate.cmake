# cmake -P cmake/amalgamate.cmake <out.hpp>
#
# Writes the whole library as one header: the umbrella header, and each header of ours where it is first included; all
# else as it stands. The same headers give the same bytes, wherever and whenever this runs.
#
# An `#include` inside `#if` is put inside that `#if`. Hence the one rule that headers have to keep, and that is checked here:
# what is first included under a condition is not included outside it later, or it would be missing where the condition is
# false. Including it unconditionally first is the remedy.
cmake_minimum_required(VERSION 3.22)

set(usage "usage: cmake -P cmake/amalgamate.cmake <out.hpp>")
get_filename_component(project "${CMAKE_CURRENT_LIST_DIR}" DIRECTORY)
set(include_dir "${project}/include")

# The words after the script's own name.
set(words "")
math(EXPR last "${CMAKE_ARGC} - 1")
set(script NO)
foreach(i RANGE ${last})
  if(script STREQUAL "seen")
    list(APPEND words "${CMAKE_ARGV${i}}")
  elseif(script STREQUAL "next")
    set(script seen)
  elseif(CMAKE_ARGV${i} STREQUAL "-P")
    set(script next)
  endif()
endforeach()
list(LENGTH words count)
if(NOT count EQUAL 1)
  message(FATAL_ERROR "one file name is needed, not ${count}\n${usage}")
endif()
get_filename_component(out "${words}" ABSOLUTE)
if(IS_DIRECTORY "${out}")
  message(FATAL_ERROR "${words} is a folder, and a file name is needed\n${usage}")
endif()
get_filename_component(out_dir "${out}" DIRECTORY)
get_filename_component(out_dir "${out_dir}" REALPATH) # so that no link leads back into the library's own headers
get_filename_component(real_include_dir "${include_dir}" REALPATH)
string(FIND "${out_dir}/" "${real_include_dir}/" inside)
if(inside EQUAL 0)
  message(FATAL_ERROR "${words} is in ${include_dir}, where the headers are that it is made of: name another folder")
endif()

# Lines are cut off one by one: as a CMake list they would not survive their semicolons and brackets.

# Appends what `header` says to the global property smx_text, with what it includes. `context` names the branches of `#if`
# that the place is in, each as "file:line|"; the global property "smx_place <header>" keeps where a header went.
function(place header from)
  set(path "${include_dir}/${header}")
  if(NOT EXISTS "${path}")
    message(FATAL_ERROR "${from}: there is no ${header} in ${include_dir}")
  endif()
  set_property(GLOBAL PROPERTY "smx_place ${header}" "|${context}")
  set(outside "${context}")
  file(READ "${path}" rest) # without the carriage returns of Windows
  if(NOT rest MATCHES "\n$")
    string(APPEND rest "\n")
  endif()
  set(number 0)
  set(once NO)
  set(continued NO)
  set(blank YES) # whether an empty line would follow another, or nothing
  while(NOT rest STREQUAL "")
    string(FIND "${rest}" "\n" length)
    string(SUBSTRING "${rest}" 0 ${length} line)
    math(EXPR length "${length} + 1")
    string(SUBSTRING "${rest}" ${length} -1 rest)
    math(EXPR number "${number} + 1")
    set(here "${header}:${number}")
    set(keep YES)

    if(continued) # the rest of a macro, whatever it looks like
    elseif(line STREQUAL "// SPDX-License-Identifier: BSL-1.0") # stands at the top, once
      set(keep NO)
    elseif(line MATCHES "^[ \t]*#[ \t]*pragma[ \t]+once")
      set(once YES)
      set(keep NO)
    elseif(line MATCHES "^[ \t]*#[ \t]*if (!?SMX_DISPATCH)$") # means the same everywhere
      string(APPEND context "${CMAKE_MATCH_1}|")
    elseif(line MATCHES "^[ \t]*#[ \t]*if")
      string(APPEND context "${here}|")
    elseif(line MATCHES "^[ \t]*#[ \t]*(el|endif)")
      set(directive "${CMAKE_MATCH_1}")
      if(context STREQUAL outside)
        message(FATAL_ERROR "${here}: ${line} without its #if")
      endif()
      string(REGEX REPLACE "[^|]+\\|$" "" context "${context}")
      if(directive STREQUAL "el")
        string(APPEND context "${here}|")
      endif()
    elseif(line MATCHES "^[ \t]*#[ \t]*include[ \t]*<(safe_softmax/[^>]*)>")
      set(wanted "${CMAKE_MATCH_1}")
      set(keep NO)
      get_property(known GLOBAL PROPERTY "smx_place ${wanted}")
      if(NOT known)
        place("${wanted}" "${here}")
      else()
        string(FIND "|${context}" "${known}" holds)
        if(NOT holds EQUAL 0)
          message(FATAL_ERROR "${here}: ${wanted} was first included under a condition that need not hold here: "
                              "include it before that condition")
        endif()
      endif()
    elseif(line MATCHES "^[ \t]*#[ \t]*include[ \t]*[^ \t<]")
      message(FATAL_ERROR "${here}: ${line}\nonly #include <...> can be followed")
    endif()

    if(line MATCHES "\\\\$")
      set(continued YES)
    else()
      set(continued NO)
    endif()
    # Empty lines around what was left out go with it.
    if(keep AND NOT (blank AND line STREQUAL ""))
      get_property(last GLOBAL PROPERTY smx_last)
      if(NOT last STREQUAL header)
        set_property(GLOBAL PROPERTY smx_last "${header}")
        set_property(GLOBAL APPEND_STRING PROPERTY smx_text "\n// ---- ${header}\n\n")
      endif()
      set_property(GLOBAL APPEND_STRING PROPERTY smx_text "${line}\n")
      if(line STREQUAL "")
        set(blank YES)
      else()
        set(blank NO)
      endif()
    endif()
  endwhile()
  if(NOT once)
    message(FATAL_ERROR "${header} has no #pragma once, and would be put in once all the same")
  endif()
  if(NOT context STREQUAL outside)
    message(FATAL_ERROR "${header}: an #if has no #endif")
  endif()
endfunction()

set(context "")
place(safe_softmax/safe_softmax.hpp "the umbrella header")
get_property(text GLOBAL PROPERTY smx_text)

set(version "")
foreach(part MAJOR MINOR PATCH)
  if(NOT text MATCHES "\n#define SMX_VERSION_${part} ([0-9]+)\n")
    message(FATAL_ERROR "the headers do not define SMX_VERSION_${part}")
  endif()
  list(APPEND version "${CMAKE_MATCH_1}")
endforeach()
list(GET version 0 major)
list(GET version 1 minor)
list(GET version 2 patch)
math(EXPR number "10000 * ${major} + 100 * ${minor} + ${patch}")
list(JOIN version "." version)

file(READ "${project}/LICENSE" licence)
string(STRIP "${licence}" licence)
string(REPLACE "\n" "\n// " licence "// ${licence}")
string(REPLACE "// \n" "//\n" licence "${licence}")

# SMX_SINGLE_HEADER is defined last, and config.hpp, which is in here too, refuses to be read after that.
file(WRITE "${out}" "// SPDX-License-Identifier: BSL-1.0
//
// safe_softmax ${version} in one header, made from its headers by cmake/amalgamate.cmake: changes belong there.
//
${licence}

#if defined(SMX_SINGLE_HEADER) && SMX_SINGLE_HEADER != ${number}
#error \"safe_softmax: another version of the single header was included before this one, ${version}\"
#elif !defined(SMX_SINGLE_HEADER) && defined(SMX_ABI)
#error \"safe_softmax: headers of its folder were included before the single header: one file takes one or the other\"
#elif !defined(SMX_SINGLE_HEADER)
${text}
#define SMX_SINGLE_HEADER ${number}
#endif
")
message(STATUS "safe_softmax ${version}: wrote ${out}")
