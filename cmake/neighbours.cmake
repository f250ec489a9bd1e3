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

# smx_neighbour(<name> <Debian's package> <target>...): there, if the first target is.
macro(smx_neighbour name package)
  set(smx_targets ${ARGN})
  list(GET smx_targets 0 smx_first)
  if(TARGET ${smx_first})
    set(smx_has_${name} YES)
    add_library(smx_neighbour_${name} INTERFACE)
    target_link_libraries(smx_neighbour_${name} INTERFACE ${smx_targets})
  else()
    message(STATUS "neighbours: without ${name}, which was not found (Debian, Ubuntu: apt-get install ${package})")
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
smx_neighbour(eigen libeigen3-dev smx_headers_eigen)
smx_headers_of(xtensor xtensor/xarray.hpp)
smx_neighbour(xtensor libxtensor-dev smx_headers_xtensor)
smx_headers_of(dlpack dlpack/dlpack.h)
smx_neighbour(dlpack libdlpack-dev smx_headers_dlpack)
smx_headers_of(kokkos_mdspan mdspan/mdspan.hpp HINTS "${SMX_KOKKOS_MDSPAN_INCLUDE}")
smx_neighbour(kokkos_mdspan "none; see SMX_KOKKOS_MDSPAN_INCLUDE" smx_headers_kokkos_mdspan)
if(UNIX)
  find_package(CLI11 QUIET)
  smx_neighbour(cli11 libcli11-dev CLI11::CLI11)
endif()
find_package(MPI QUIET COMPONENTS CXX)
smx_neighbour(mpi "libopenmpi-dev openmpi-bin" MPI::MPI_CXX)

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
endif()
smx_neighbour(torch libtorch-dev smx_headers_torch)
