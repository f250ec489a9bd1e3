# cmake -DCOMPILER=<c++> -DSOURCE=<three_types.cpp> -DINCLUDE=<folder> -DXSIMD=<folder> -DWORK=<scratch folder> -P measure.cmake
# Prints what a source with softmax in three types takes to compile at -O2, as a multiple of <xsimd/xsimd.hpp> alone: the least of three
# times, by turns; of up to twenty while that is above the limit, since what else runs on the machine only ever adds. With run-time
# dispatch it has to be at most 1.6; with the kernels compiled into the source itself it is reported, measured once.
cmake_minimum_required(VERSION 3.23) # microseconds
set(limit 160)
set(ENV{CCACHE_DISABLE} 1)
file(MAKE_DIRECTORY "${WORK}")
file(WRITE "${WORK}/xsimd.cpp" "#include <xsimd/xsimd.hpp>\n")

# Microseconds.
function(time result)
  string(TIMESTAMP begin "%s%f")
  execute_process(COMMAND "${COMPILER}" -std=c++20 -O2 "-I${INCLUDE}" -idirafter "${XSIMD}" ${ARGN} -c -o "${WORK}/object.o" COMMAND_ERROR_IS_FATAL ANY)
  string(TIMESTAMP end "%s%f")
  math(EXPR taken "${end} - ${begin}")
  if(NOT DEFINED ${result} OR taken LESS ${result})
    set(${result} ${taken} PARENT_SCOPE)
  endif()
endfunction()

foreach(round RANGE 19)
  if(round GREATER 2)
    math(EXPR above "100 * ${dispatch} - ${limit} * ${alone}")
    if(above LESS_EQUAL 0)
      break()
    endif()
  endif()
  time(alone "${WORK}/xsimd.cpp")
  time(dispatch -DSMX_DISPATCH=1 "${SOURCE}")
  if(round EQUAL 0)
    time(native_alone -march=native "${WORK}/xsimd.cpp")
    time(native -march=native "${SOURCE}")
    time(plain "${SOURCE}")
  endif()
endforeach()

# Two digits behind the point.
function(report name what base)
  math(EXPR ratio "(100 * ${what} + ${base} / 2) / ${base}")
  math(EXPR whole "${ratio} / 100")
  math(EXPR hundredths "100 + ${ratio} % 100")
  string(SUBSTRING "${hundredths}" 1 2 hundredths)
  math(EXPR ms "${what} / 1000")
  math(EXPR base_ms "${base} / 1000")
  message("compile time, ${name}: ${whole}.${hundredths} x xsimd.hpp alone (${ms} ms, ${base_ms} ms)")
  set(ratio ${ratio} PARENT_SCOPE)
endfunction()
report("kernels in the source, no -march" ${plain} ${alone})
report("kernels in the source, -march=native" ${native} ${native_alone})
report("safe_softmax::dispatch" ${dispatch} ${alone})
if(ratio GREATER limit)
  message(FATAL_ERROR "with safe_softmax::dispatch at most 1.60 was meant to be taken")
endif()
