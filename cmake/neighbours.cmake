# The libraries that adapters, their tests and their examples go with. All are optional: what is not found is left out, and said.
# Nothing is downloaded for them.
include_guard(GLOBAL)

set(SMX_NEIGHBOURS ON CACHE BOOL "Look for Eigen, xtensor, DLPack, mdspan, PyTorch, Open MPI and CLI11 for tests and examples")
set(SMX_KOKKOS_MDSPAN_INCLUDE "" CACHE PATH "The folder with mdspan/mdspan.hpp of Kokkos, if it is not where the compiler looks")

# Afterwards smx_has_<name> says whether target smx_neighbour_<name> is there to be linked. A target of ours, since those that
# packages make are seen only in the folder that looked for them.
set(smx_neighbours eigen xtensor dlpack torch mpi cli11 kokkos_mdspan)
foreach(name IN LISTS smx_neighbours)
  set(smx_has_${name} NO)
endforeach()
if(NOT SMX_NEIGHBOURS OR CMAKE_CROSSCOMPILING)
  return()
endif()

# smx_neighbour(<name> <where to get it> <target>...): there, if the first target is.
macro(smx_neighbour name package)
  set(smx_targets ${ARGN})
  list(GET smx_targets 0 smx_first)
  if(TARGET ${smx_first})
    set(smx_has_${name} YES)
    add_library(smx_neighbour_${name} INTERFACE)
    target_link_libraries(smx_neighbour_${name} INTERFACE ${smx_targets})
  else()
    message(STATUS "neighbours: without ${name}, which was not found (${package})")
  endif()
endmacro()

# Only the folders of headers, as system folders: packages of headers bring more than that, or link what need not be there.
function(smx_headers_of name file)
  find_path(smx_${name}_include "${file}" ${ARGN})
  mark_as_advanced(smx_${name}_include)
  if(smx_${name}_include)
    add_library(smx_headers_${name} INTERFACE)
    target_include_directories(smx_headers_${name} SYSTEM INTERFACE "${smx_${name}_include}")
  endif()
endfunction()

smx_headers_of(eigen Eigen/Core PATH_SUFFIXES eigen3)
smx_neighbour(eigen "Debian, Ubuntu: apt-get install libeigen3-dev" smx_headers_eigen)
smx_headers_of(xtensor xtensor/xarray.hpp)
smx_neighbour(xtensor "Debian, Ubuntu: apt-get install libxtensor-dev" smx_headers_xtensor)
smx_headers_of(dlpack dlpack/dlpack.h)
smx_neighbour(dlpack "Debian, Ubuntu: apt-get install libdlpack-dev" smx_headers_dlpack)
smx_headers_of(kokkos_mdspan mdspan/mdspan.hpp HINTS "${SMX_KOKKOS_MDSPAN_INCLUDE}")
smx_neighbour(kokkos_mdspan "github.com/kokkos/mdspan; -DSMX_KOKKOS_MDSPAN_INCLUDE names its folder include" smx_headers_kokkos_mdspan)
if(UNIX)
  find_package(CLI11 QUIET)
  smx_neighbour(cli11 "Debian, Ubuntu: apt-get install libcli11-dev" CLI11::CLI11)
endif()
find_package(MPI QUIET COMPONENTS CXX)
set(smx_mpi_target no_mpi) # CMake makes the other target where it finds nothing, too
if(MPI_CXX_FOUND)
  set(smx_mpi_target MPI::MPI_CXX)
endif()
smx_neighbour(mpi "Debian, Ubuntu: apt-get install libopenmpi-dev openmpi-bin" ${smx_mpi_target})

# PyTorch's own package looks for CUDA and the like, and sets flags for all: only what is needed is taken.
find_path(smx_torch_include torch/csrc/api/include/torch/torch.h)
find_library(smx_torch_library torch)
find_library(smx_torch_cpu_library torch_cpu)
find_library(smx_c10_library c10)
mark_as_advanced(smx_torch_include smx_torch_library smx_torch_cpu_library smx_c10_library)
if(smx_torch_include AND smx_torch_library AND smx_torch_cpu_library AND smx_c10_library)
  add_library(smx_headers_torch INTERFACE)
  target_include_directories(smx_headers_torch SYSTEM INTERFACE "${smx_torch_include}" "${smx_torch_include}/torch/csrc/api/include")
  target_link_libraries(smx_headers_torch INTERFACE "${smx_torch_library}" "${smx_torch_cpu_library}" "${smx_c10_library}")
  include(CheckCXXSourceCompiles)
  set(CMAKE_REQUIRED_FLAGS "${CMAKE_CXX20_STANDARD_COMPILE_OPTION}")
  set(CMAKE_REQUIRED_INCLUDES "${smx_torch_include}")
  set(CMAKE_REQUIRED_LIBRARIES "${smx_torch_library}" "${smx_torch_cpu_library}" "${smx_c10_library}")
  check_cxx_source_compiles("#include <torch/csrc/autograd/custom_function.h>
    int main() { return at::zeros({1}).dim() - 1; }" SMX_COMPILES_TORCH)
  unset(CMAKE_REQUIRED_FLAGS)
  unset(CMAKE_REQUIRED_INCLUDES)
  unset(CMAKE_REQUIRED_LIBRARIES)
endif()
if(TARGET smx_headers_torch AND NOT SMX_COMPILES_TORCH) # PyTorch 1.13 with clang
  message(STATUS "neighbours: without torch, whose headers this compiler does not take as C++20")
else()
  smx_neighbour(torch "Debian, Ubuntu: apt-get install libtorch-dev" smx_headers_torch)
endif()
