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
