# What is needed is looked for on the machine first. What is missing is downloaded at the version pinned here,
# unless SMX_FETCH_DEPENDENCIES is off. Declared only then: the first declaration in a project wins, and it is not for us to
# choose a parent's GoogleTest.
include(FetchContent)

# Warnings in other people's headers are not ours to mend. (It has to stand before URL: CMake 3.25 appends it to the
# last argument.)
if(CMAKE_VERSION VERSION_GREATER_EQUAL 3.25)
  set(smx_fetch_system SYSTEM)
endif()

# Says what is about to be downloaded, or stops where that is not allowed.
function(smx_announce_download name package)
  if(NOT SMX_FETCH_DEPENDENCIES)
    message(FATAL_ERROR "${name} was not found: install it (Debian, Ubuntu: apt-get install ${package}), "
                        "or allow its download with -DSMX_FETCH_DEPENDENCIES=ON")
  endif()
  message(STATUS "${name} was not found (Debian, Ubuntu: apt-get install ${package}): downloading it; "
                 "-DSMX_FETCH_DEPENDENCIES=OFF turns this off")
endfunction()

# Puts xsimd's include folder into `result`. Where there is none it is empty, which only the tests and benchmarks mind.
function(smx_find_xsimd result)
  if(SMX_XSIMD_INCLUDE)
    if(NOT EXISTS "${SMX_XSIMD_INCLUDE}/xsimd/xsimd.hpp")
      message(FATAL_ERROR "SMX_XSIMD_INCLUDE is ${SMX_XSIMD_INCLUDE}, but there is no xsimd/xsimd.hpp in it")
    endif()
    set(${result} "${SMX_XSIMD_INCLUDE}" PARENT_SCOPE)
    return()
  endif()
  set(folder "")
  if(NOT TARGET xsimd)
    find_package(xsimd QUIET) # no version: its version file refuses every other major version
  endif()
  if(TARGET xsimd)
    get_target_property(folder xsimd INTERFACE_INCLUDE_DIRECTORIES)
  elseif(SMX_BUILD_TESTS OR SMX_BUILD_BENCH OR
         (SMX_FETCH_DEPENDENCIES AND (SMX_BUILD_EXAMPLES OR NOT PROJECT_IS_TOP_LEVEL)))
    smx_announce_download(xsimd libxsimd-dev)
    # SOURCE_SUBDIR names a folder without a CMakeLists.txt: xsimd's headers are wanted, not its targets and install rules.
    FetchContent_Declare(xsimd
      URL https://github.com/xtensor-stack/xsimd/archive/refs/tags/14.3.0.tar.gz
      URL_HASH SHA256=b3d50e7a73fbf4642ceef30131c93414901d69eee41c2a5302db650b03e2c792
      SOURCE_SUBDIR include)
    FetchContent_MakeAvailable(xsimd)
    set(folder "${xsimd_SOURCE_DIR}/include")
  else()
    message(STATUS "xsimd was not found (Debian, Ubuntu: apt-get install libxsimd-dev): the scalar backend is used")
  endif()
  set(${result} "${folder}" PARENT_SCOPE)
endfunction()

# Afterwards there is GTest::gtest_main.
macro(smx_find_googletest)
  find_package(GTest QUIET)
  if(NOT TARGET GTest::gtest_main)
    smx_announce_download(GoogleTest libgtest-dev)
    set(INSTALL_GTEST OFF)
    set(BUILD_GMOCK OFF)
    FetchContent_Declare(googletest ${smx_fetch_system}
      URL https://github.com/google/googletest/archive/refs/tags/v1.17.0.tar.gz
      URL_HASH SHA256=65fab701d9829d38cb77c14acdc431d2108bfdbf8979e40eb8ae567edf10b27c)
    FetchContent_MakeAvailable(googletest)
  endif()
endmacro()

# Afterwards there is benchmark::benchmark_main.
macro(smx_find_benchmark)
  find_package(benchmark QUIET)
  if(NOT TARGET benchmark::benchmark_main)
    smx_announce_download("Google Benchmark" libbenchmark-dev)
    set(BENCHMARK_ENABLE_TESTING OFF)
    set(BENCHMARK_ENABLE_INSTALL OFF)
    set(BENCHMARK_INSTALL_DOCS OFF)
    FetchContent_Declare(benchmark ${smx_fetch_system}
      URL https://github.com/google/benchmark/archive/refs/tags/v1.9.4.tar.gz
      URL_HASH SHA256=b334658edd35efcf06a99d9be21e4e93e092bd5f95074c1673d5c8705d95c104)
    FetchContent_MakeAvailable(benchmark)
  endif()
endmacro()
