include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(DIRECTORY include/safe_softmax DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.hpp")
install(TARGETS safe_softmax EXPORT safe_softmax INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")

# For find_package. Under share/ and ARCH_INDEPENDENT: headers suit every word size.
set(smx_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/safe_softmax")
configure_file(cmake/safe_softmax-config.cmake.in safe_softmax-config.cmake @ONLY)
write_basic_package_version_file(safe_softmax-config-version.cmake COMPATIBILITY SameMajorVersion ARCH_INDEPENDENT)
install(EXPORT safe_softmax NAMESPACE safe_softmax:: FILE safe_softmax-targets.cmake DESTINATION "${smx_package_dir}")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/safe_softmax-config.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/safe_softmax-config-version.cmake" DESTINATION "${smx_package_dir}")
install(DIRECTORY cmake/dispatch DESTINATION "${smx_package_dir}")

# For pkg-config. The folder of the headers as seen from the file, so that the prefix can be moved.
set(smx_pkgconfig_dir "${CMAKE_INSTALL_DATADIR}/pkgconfig")
file(RELATIVE_PATH smx_pkgconfig_to_include "${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig" "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
set(smx_pkgconfig_definitions "")
if(NOT SMX_WITH_XSIMD)
  set(smx_pkgconfig_definitions " -DSMX_NO_XSIMD")
endif()
configure_file(cmake/safe_softmax.pc.in safe_softmax.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/safe_softmax.pc" DESTINATION "${smx_pkgconfig_dir}")

# For build systems that read CPS files. Not by default: CMake's own find_package takes a CPS file rather than the package
# above, which alone has the component dispatch and looks for xsimd.
if(SMX_INSTALL_CPS)
  if(CMAKE_VERSION VERSION_LESS 4.3)
    message(FATAL_ERROR "SMX_INSTALL_CPS needs CMake 4.3, and this is ${CMAKE_VERSION}")
  endif()
  install(PACKAGE_INFO safe_softmax EXPORT safe_softmax DESTINATION "${CMAKE_INSTALL_DATADIR}/cps/safe_softmax"
          VERSION ${PROJECT_VERSION} COMPAT_VERSION ${PROJECT_VERSION_MAJOR} LICENSE BSL-1.0)
endif()
