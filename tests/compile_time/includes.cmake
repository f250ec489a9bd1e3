# cmake -DCOMPILER=<c++> -DINCLUDE=<folder> -DXSIMD=<folder> -DWORK=<scratch folder> -P includes.cmake
# The umbrella header reads none of the standard's large headers: by itself, with run-time dispatch, and with xsimd none but those that
# xsimd reads.
cmake_minimum_required(VERSION 3.22)
set(large iostream regex filesystem thread future fstream ranges functional random map unordered_map chrono format)
set(ENV{CCACHE_DISABLE} 1)

# The names of the headers that a source reads.
function(headers_of result text)
  file(WRITE "${WORK}/includes.cpp" "${text}")
  execute_process(COMMAND "${COMPILER}" -std=c++20 "-I${INCLUDE}" -idirafter "${XSIMD}" ${ARGN} -M "${WORK}/includes.cpp"
                  OUTPUT_VARIABLE rule COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^ \n\\]+" files "${rule}")
  list(TRANSFORM files REPLACE "^.*/" "")
  set(${result} "${files}" PARENT_SCOPE)
endfunction()

set(umbrella "#include <safe_softmax/safe_softmax.hpp>\n")
headers_of(plain "${umbrella}" -DSMX_NO_XSIMD)
headers_of(dispatch "${umbrella}" -DSMX_DISPATCH=1)
headers_of(with_xsimd "${umbrella}")
headers_of(xsimd "#include <xsimd/xsimd.hpp>\n")
headers_of(seen "#include <regex>\n#include <thread>\n")
if(NOT regex IN_LIST seen OR NOT thread IN_LIST seen OR NOT type_traits IN_LIST plain OR NOT xsimd.hpp IN_LIST with_xsimd)
  message(FATAL_ERROR "the list of headers that were read was not understood: ${seen}; ${plain}")
endif()
list(REMOVE_ITEM with_xsimd ${xsimd})
foreach(mode plain dispatch with_xsimd)
  foreach(header IN LISTS large)
    if(header IN_LIST ${mode})
      message(SEND_ERROR "${mode}: <${header}> is read")
    endif()
  endforeach()
endforeach()
