# Flags of ours would change how users' own code is compiled.
foreach(property COMPILE_OPTIONS COMPILE_DEFINITIONS LINK_OPTIONS)
  get_target_property(value safe_softmax::safe_softmax INTERFACE_${property})
  if(value)
    message(FATAL_ERROR "safe_softmax::safe_softmax hands ${property} to its users: ${value}")
  endif()
endforeach()
