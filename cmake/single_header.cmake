# The single header as it stands in this build: a folder safe_softmax/ in which safe_softmax.hpp is the whole library, and
# every other header does nothing but include it, so that whatever a test includes it gets that. Adapters to other libraries,
# which the single header leaves out, stand there as they are.
set(smx_single_header_include "${PROJECT_BINARY_DIR}/single_header")
file(GLOB_RECURSE smx_headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/include/*.hpp")
list(TRANSFORM smx_headers PREPEND "${PROJECT_SOURCE_DIR}/include/" OUTPUT_VARIABLE smx_sources)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/amalgamate.cmake" ${smx_sources})

execute_process(COMMAND "${CMAKE_COMMAND}" -P "${CMAKE_CURRENT_LIST_DIR}/amalgamate.cmake"
                        "${PROJECT_BINARY_DIR}/single_header.hpp"
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
file(STRINGS "${PROJECT_BINARY_DIR}/single_header.hpp" smx_parts REGEX "^// ---- ")
foreach(smx_header IN LISTS smx_headers)
  if(smx_header STREQUAL "safe_softmax/safe_softmax.hpp")
    configure_file("${PROJECT_BINARY_DIR}/single_header.hpp" "${smx_single_header_include}/${smx_header}" COPYONLY)
  elseif(NOT "// ---- ${smx_header}" IN_LIST smx_parts)
    configure_file("${PROJECT_SOURCE_DIR}/include/${smx_header}" "${smx_single_header_include}/${smx_header}" COPYONLY)
  else()
    file(CONFIGURE OUTPUT "${smx_single_header_include}/${smx_header}" CONTENT "#include <safe_softmax/safe_softmax.hpp>\n")
  endif()
endforeach()
