# cpack -G DEB, in the build folder: libsafe-softmax-dev_<version>_all.deb
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME safe_softmax)
# dpkg wants somebody's name in it: -DCPACK_PACKAGE_CONTACT="name <address>" puts in that of whoever hands it out.
if(NOT CPACK_PACKAGE_CONTACT)
  set(CPACK_PACKAGE_CONTACT "safe_softmax")
endif()
set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE")
set(CPACK_DEBIAN_PACKAGE_NAME libsafe-softmax-dev)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS libxsimd-dev) # not needed, but without it the compiler has to vectorise
set(CPACK_STRIP_FILES OFF)
include(CPack)
