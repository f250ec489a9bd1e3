include(CheckCXXSourceCompiles)

# smx_add_subjects(<target> <source>): compiles `source` into `target` once per instruction set and backend, each time
# with SMX_SUBJECT=<name>. The names reach the program in a generated subject_list.hpp, as
# SMX_SUBJECT_LIST(X): X(name) X(name) …
#
# SMX_TEST_SUBJECTS is a regular expression for the names (dispatch is always among them), SMX_TEST_LIBRARY_FLAGS a list of flags that the library alone is
# compiled with, and not the tests that judge it.
#
# Of an inline function that several objects share the linker keeps the first copy, and that one has to run everywhere:
# hence static libraries, which come after the program's own objects, and the smallest instruction set first.
function(smx_add_subjects target source)
  set(names "")
  # Run-time dispatch has every pair of element types, on every instruction set of this processor. The builds below are
  # what users get without it: those pairs that together read, write and compute in every type, since each pair takes
  # seconds to compile.
  smx_add_subject(dispatch)
  target_link_libraries(${target}_dispatch PRIVATE safe_softmax::dispatch)
  target_compile_options(safe_softmax_dispatch PRIVATE ${SMX_TEST_LIBRARY_FLAGS})
  list(REMOVE_ITEM names dispatch) # dispatched_subjects.cpp makes one of it for each instruction set
  set(few -DSMX_SUBJECT_FEW_PAIRS)
  # Least optimised where fma is missing: it must not change a bit either, and it halves the longest compilations.
  set(less -O1)
  smx_add_subject(scalar_base ${less} ${few} -DSMX_NO_XSIMD)
  smx_add_subject(xsimd_base ${less} ${few})
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64|i[3-6]86|x86)$")
    # Contraction differs between the backends on purpose: it must not change a bit.
    set(avx2 -mavx2 -mfma -mf16c)
    set(avx512 -march=x86-64-v4)
    smx_add_subject(scalar_avx2 ${avx2} ${few} -ffp-contract=off -DSMX_NO_XSIMD)
    smx_add_subject(arrays_avx2 ${avx2} ${few} -O1 -ffp-contract=fast -DSMX_NO_SIMD)
    smx_add_subject(xsimd_avx2 ${avx2} ${few} -ffp-contract=fast)
    smx_add_subject(scalar_avx512 ${avx512} ${few} -ffp-contract=off -DSMX_NO_XSIMD)
    smx_add_subject(xsimd_avx512 ${avx512} ${few} -ffp-contract=fast)
  endif()

  list(TRANSFORM names REPLACE "(.+)" "X(\\1)")
  list(JOIN names " " names)
  file(CONFIGURE OUTPUT "${target}_subjects/subject_list.hpp" CONTENT "#define SMX_SUBJECT_LIST(X) ${names}\n")
  target_include_directories(${target} PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/${target}_subjects")
endfunction()

# One build of the source. Left out, and said so, where the compiler refuses the flags; without xsimd there is none of it.
macro(smx_add_subject name)
  set(flags ${ARGN})
  if((SMX_WITH_XSIMD OR NOT "${name}" MATCHES "^xsimd_") AND
     ("${name}" STREQUAL dispatch OR "${name}" MATCHES "${SMX_TEST_SUBJECTS}"))
    string(JOIN " " CMAKE_REQUIRED_FLAGS ${flags})
    check_cxx_source_compiles("int main() {}" SMX_COMPILES_${name})
    if(SMX_COMPILES_${name})
      add_library(${target}_${name} STATIC ${source})
      target_compile_definitions(${target}_${name} PRIVATE SMX_SUBJECT=${name})
      target_compile_options(${target}_${name} PRIVATE ${flags} ${SMX_TEST_LIBRARY_FLAGS})
      target_link_libraries(${target}_${name} PRIVATE safe_softmax smx_warnings)
      target_link_libraries(${target} PRIVATE ${target}_${name})
      list(APPEND names ${name})
    else()
      message(STATUS "${target}: without ${name}, whose flags the compiler refuses")
    endif()
  endif()
endmacro()
