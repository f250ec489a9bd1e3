# Every header compiles alone, and twice in one file. Linked together, they show that nothing in them is defined twice:
# each is in its own object, and all of them are in two more.
set(include_dir "${PROJECT_SOURCE_DIR}/include")
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${include_dir}" "${include_dir}/*.hpp")
set(all "")
set(sources "")
if(NOT CMAKE_CROSSCOMPILING)
  find_package(TBB QUIET)
endif()
# Those that need more than the compiler.
if(NOT TBB_FOUND)
  list(REMOVE_ITEM headers safe_softmax/tbb.hpp)
endif()
set(neighbours "")
foreach(adapter IN ITEMS eigen=eigen eigen_tensor=eigen xtensor=xtensor dlpack=dlpack mpi=mpi torch=torch)
  string(REGEX MATCH "^(.*)=(.*)$" adapter "${adapter}")
  if(NOT smx_has_${CMAKE_MATCH_2} OR CMAKE_MATCH_2 STREQUAL "torch") # torch.hpp takes long: documentation_pieces_torch begins with it, twice
    list(REMOVE_ITEM headers safe_softmax/${CMAKE_MATCH_1}.hpp)
  else()
    list(APPEND neighbours smx_neighbour_${CMAKE_MATCH_2})
  endif()
endforeach()
foreach(header IN LISTS headers)
  string(MAKE_C_IDENTIFIER "${header}" name)
  file(CONFIGURE OUTPUT "headers/${name}.cpp" CONTENT "#include <${header}>\n#include <${header}>\n")
  list(APPEND sources "${CMAKE_CURRENT_BINARY_DIR}/headers/${name}.cpp")
  if(NOT header MATCHES "/simd/") # xsimd makes each take ten times as long, and only these know of it
    set_source_files_properties("${CMAKE_CURRENT_BINARY_DIR}/headers/${name}.cpp" PROPERTIES COMPILE_DEFINITIONS SMX_NO_XSIMD)
  endif()
  string(APPEND all "#include <${header}>\n")
endforeach()
file(CONFIGURE OUTPUT headers/all_of_them.cpp CONTENT "${all}")
file(CONFIGURE OUTPUT headers/all_and_main.cpp CONTENT "${all}int main() {}\n")

add_executable(headers_alone ${sources} "${CMAKE_CURRENT_BINARY_DIR}/headers/all_of_them.cpp"
                             "${CMAKE_CURRENT_BINARY_DIR}/headers/all_and_main.cpp")
target_link_libraries(headers_alone PRIVATE safe_softmax smx_warnings $<TARGET_NAME_IF_EXISTS:TBB::tbb> ${neighbours})
target_compile_options(headers_alone PRIVATE $<$<NOT:$<CXX_COMPILER_ID:MSVC>>:-Werror>)
add_test(NAME headers_alone COMMAND headers_alone)
