# The documentation as a site: Doxygen's reference of the public headers, and the project's Markdown files as its pages. Any warning of
# Doxygen is an error. Target docs writes site/ in the build folder; the test looks at what was written.
foreach(program doxygen linkchecker awk)
  string(TOUPPER "SMX_${program}" variable)
  find_program(${variable} ${program})
  if(NOT ${variable})
    message(FATAL_ERROR "${program} was not found: the documentation takes it (Debian, Ubuntu: apt-get install doxygen linkchecker)")
  endif()
endforeach()

# Doxygen's own looks, or those of a theme for it where it is installed; ours is a page of style on top of either.
find_path(SMX_DOXYGEN_AWESOME doxygen-awesome.css PATH_SUFFIXES share/doxygen-awesome-css)
set(smx_docs_styles "")
if(SMX_DOXYGEN_AWESOME)
  set(smx_docs_styles "\"${SMX_DOXYGEN_AWESOME}/doxygen-awesome.css\"")
else()
  message(STATUS "docs: in Doxygen's own style, since doxygen-awesome-css was not found (Debian, Ubuntu: apt-get install doxygen-awesome-css)")
endif()
string(APPEND smx_docs_styles " \"${PROJECT_SOURCE_DIR}/cmake/docs/style.css\"")

set(smx_site "${PROJECT_BINARY_DIR}/site")
include(cmake/docs/pages.cmake)
list(JOIN smx_pages " " smx_docs_pages)
file(GLOB headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/safe_softmax/*.hpp")
list(FILTER headers EXCLUDE REGEX "/config.hpp$") # macros of our own
list(TRANSFORM smx_pages PREPEND "${PROJECT_SOURCE_DIR}/" OUTPUT_VARIABLE pages)
list(TRANSFORM smx_page_images PREPEND "${PROJECT_SOURCE_DIR}/" OUTPUT_VARIABLE images)
set(smx_docs_input ${pages} ${headers})
set(smx_docs_images ${images})
foreach(list smx_docs_input smx_docs_images)
  list(JOIN ${list} "\" \\\n \"" ${list})
  set(${list} "\"${${list}}\"")
endforeach()
configure_file(cmake/docs/Doxyfile.in Doxyfile @ONLY)

file(GLOB parts CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/cmake/docs/*")
add_custom_command(OUTPUT site.stamp
  COMMAND "${CMAKE_COMMAND}" -E rm -rf "${smx_site}"
  COMMAND "${CMAKE_COMMAND}" -E make_directory "${smx_site}"
  COMMAND "${SMX_DOXYGEN}" "${PROJECT_BINARY_DIR}/Doxyfile"
  COMMAND "${CMAKE_COMMAND}" "-DSMX_SOURCE=${PROJECT_SOURCE_DIR}" "-DSMX_SITE=${smx_site}"
                             -P "${PROJECT_SOURCE_DIR}/cmake/docs/linked_files.cmake"
  COMMAND "${CMAKE_COMMAND}" -E touch site.stamp
  DEPENDS ${pages} ${headers} ${images} ${parts} "${PROJECT_BINARY_DIR}/Doxyfile"
  COMMENT "Doxygen: ${smx_site}/index.html" VERBATIM)
add_custom_target(docs ALL DEPENDS site.stamp)

enable_testing()
add_test(NAME docs.links COMMAND "${CMAKE_COMMAND}" "-DLINKCHECKER=${SMX_LINKCHECKER}" "-DSITE=${smx_site}"
                                 -P "${PROJECT_SOURCE_DIR}/cmake/docs/links.cmake")
