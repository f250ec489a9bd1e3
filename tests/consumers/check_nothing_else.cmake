# The two targets came along, and nothing else: no test, no option of theirs switched on, no target of a dependency.
get_property(targets DIRECTORY "${SMX_SOURCE}" PROPERTY BUILDSYSTEM_TARGETS)
get_property(tests DIRECTORY "${SMX_SOURCE}" PROPERTY TESTS)
get_property(folders DIRECTORY "${SMX_SOURCE}" PROPERTY SUBDIRECTORIES)
if(NOT targets STREQUAL "safe_softmax;safe_softmax_dispatch" OR tests OR folders)
  message(FATAL_ERROR "more than the library came along: ${targets} ${tests} ${folders}")
endif()
