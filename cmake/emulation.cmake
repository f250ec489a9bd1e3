# smx_emulated_tests(<test> <target> [<argument>...]): the same test on older processors, where qemu-x86_64 is installed. With
# SMX_ISA empty, so that run-time dispatch makes its own choice.
find_program(SMX_QEMU_X86_64 qemu-x86_64)
function(smx_emulated_tests test target)
  if(SMX_TARGETS_X86_64 AND SMX_QEMU_X86_64 AND NOT CMAKE_CROSSCOMPILING)
    foreach(processor IN ITEMS Nehalem Haswell)
      add_test(NAME ${test}.${processor}
               COMMAND "${SMX_QEMU_X86_64}" -cpu ${processor} "$<TARGET_FILE:${target}>" ${ARGN})
      set_tests_properties(${test}.${processor} PROPERTIES LABELS emulated)
    endforeach()
  endif()
endfunction()
