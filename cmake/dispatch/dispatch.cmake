# safe_softmax_dispatch: the kernels once for each instruction set, and the choice among them at run time. Compiled in the
# project that links it, with its compiler; included from this project's CMakeLists.txt and from the installed package.
if(TARGET safe_softmax_dispatch)
  return()
endif()

# SMX_DISPATCH_ISAS: the instruction sets beyond the oldest one, all by default. Fewer are sooner compiled and smaller.
set(smx_isas "${SMX_DISPATCH_ISAS}")
if(NOT DEFINED SMX_DISPATCH_ISAS)
  set(smx_isas avx2 avx512 avx512bf16)
endif()
set(smx_tables "")

# smx_table(<name> <flag>...): the kernels of one instruction set. Flags given for the whole project come first; -march
# among ours takes back any -march=native among those.
function(smx_table name)
  if(smx_tables AND NOT name IN_LIST smx_isas)
    return()
  endif()
  set(smx_tables "${smx_tables}X(${name}) " PARENT_SCOPE)
  target_sources(safe_softmax_dispatch PRIVATE "${smx_dispatch_dir}/${name}.cpp")
  set_source_files_properties("${smx_dispatch_dir}/${name}.cpp" TARGET_DIRECTORY safe_softmax_dispatch
                              PROPERTIES COMPILE_OPTIONS "${ARGN}")
endfunction()

set(smx_dispatch_dir "${CMAKE_CURRENT_LIST_DIR}")
add_library(safe_softmax_dispatch STATIC EXCLUDE_FROM_ALL "${smx_dispatch_dir}/dispatch.cpp" "${smx_dispatch_dir}/error.cpp")
add_library(safe_softmax::dispatch ALIAS safe_softmax_dispatch)
target_link_libraries(safe_softmax_dispatch PUBLIC safe_softmax::safe_softmax)
target_compile_definitions(safe_softmax_dispatch INTERFACE SMX_DISPATCH=1)
# Callers with exceptions get them, even in a project that is compiled without.
set_source_files_properties("${smx_dispatch_dir}/error.cpp" TARGET_DIRECTORY safe_softmax_dispatch
                            PROPERTIES COMPILE_OPTIONS "$<IF:$<CXX_COMPILER_ID:MSVC>,/EHsc;/GR,-fexceptions;-frtti>")
# For g++, -O2 costs the kernels 4 % of their speed.
target_compile_options(safe_softmax_dispatch PRIVATE
                       $<$<AND:$<CXX_COMPILER_ID:GNU>,$<OR:$<CONFIG:Release>,$<CONFIG:RelWithDebInfo>>>:-O3>)
set_target_properties(safe_softmax_dispatch PROPERTIES POSITION_INDEPENDENT_CODE ON UNITY_BUILD OFF)

# What the compiler targets, not what CMake runs on: -m32 and cross compilers included.
include(CheckCXXSourceCompiles)
check_cxx_source_compiles("
  #if !defined(__x86_64__) && !defined(__i386__) && !defined(_M_X64) && !defined(_M_IX86)
  #error other
  #endif
  int main() {}" SMX_TARGETS_X86)
check_cxx_source_compiles("
  #if !defined(__x86_64__) && !defined(_M_X64)
  #error other
  #endif
  int main() {}" SMX_TARGETS_X86_64)
check_cxx_source_compiles("
  #if !defined(__aarch64__) && !defined(_M_ARM64)
  #error other
  #endif
  int main() {}" SMX_TARGETS_ARM64)

if(SMX_TARGETS_X86 AND MSVC)
  smx_table(sse2)
  smx_table(avx2 /arch:AVX2)
  smx_table(avx512 /arch:AVX512)
elseif(SMX_TARGETS_X86)
  if(SMX_TARGETS_X86_64)
    set(smx_base -march=x86-64)
  else()
    set(smx_base -march=pentium4 -mtune=generic -mfpmath=sse)
  endif()
  set(smx_avx2 ${smx_base} -mavx2 -mfma -mf16c)
  set(smx_avx512 ${smx_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
  # These run whatever the processor is.
  set_property(SOURCE "${smx_dispatch_dir}/dispatch.cpp" "${smx_dispatch_dir}/error.cpp" TARGET_DIRECTORY safe_softmax_dispatch
               APPEND PROPERTY COMPILE_OPTIONS ${smx_base})
  smx_table(sse2 ${smx_base})
  smx_table(avx2 ${smx_avx2})
  smx_table(avx512 ${smx_avx512})
  smx_table(avx512bf16 ${smx_avx512} -mavx512bf16)
elseif(SMX_TARGETS_ARM64)
  smx_table(neon64)
else()
  smx_table(scalar)
endif()
foreach(name IN LISTS smx_isas)
  if(NOT name MATCHES "^(scalar|sse2|avx2|avx512|avx512bf16|neon64)$" OR (name STREQUAL "avx512bf16" AND NOT "avx512" IN_LIST smx_isas))
    message(FATAL_ERROR "SMX_DISPATCH_ISAS is \"${smx_isas}\": known are avx2, avx512 and, with it, avx512bf16")
  endif()
endforeach()
string(STRIP "${smx_tables}" smx_tables)
set_property(SOURCE "${smx_dispatch_dir}/dispatch.cpp" TARGET_DIRECTORY safe_softmax_dispatch
             APPEND PROPERTY COMPILE_DEFINITIONS "SMX_TABLES=${smx_tables}")
