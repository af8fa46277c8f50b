# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# `cmake --install build`, and find_package(Elfatt) for an installed tree and
# for the build tree (Elfatt_DIR=build/lib/cmake/elfatt) alike. The component
# `tools` is what runs, and what a Python wheel holds; the rest is for those who
# build on it.
include(CMakePackageConfigHelpers)

set(config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/elfatt)
get_property(libraries GLOBAL PROPERTY ELFATT_LIBS)
get_property(tools GLOBAL PROPERTY ELFATT_TOOLS)

list(REMOVE_ITEM libraries ElfattRuntime)
install(TARGETS ElfattRuntime EXPORT ElfattTargets COMPONENT tools)
install(TARGETS elfatt_options ${libraries} EXPORT ElfattTargets)
install(TARGETS ${tools} COMPONENT tools)
install(TARGETS ElfattPlugin LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ ${PROJECT_BINARY_DIR}/include/
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "*.td" PATTERN "*.inc" PATTERN "CMakeFiles" EXCLUDE)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(EXPORT ElfattTargets NAMESPACE Elfatt:: DESTINATION ${config_folder})

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/ElfattConfig.cmake.in
  ${PROJECT_BINARY_DIR}/lib/cmake/elfatt/ElfattConfig.cmake
  INSTALL_DESTINATION ${config_folder})
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/lib/cmake/elfatt/ElfattConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
export(EXPORT ElfattTargets NAMESPACE Elfatt::
  FILE ${PROJECT_BINARY_DIR}/lib/cmake/elfatt/ElfattTargets.cmake)
install(FILES ${PROJECT_BINARY_DIR}/lib/cmake/elfatt/ElfattConfig.cmake
  ${PROJECT_BINARY_DIR}/lib/cmake/elfatt/ElfattConfigVersion.cmake
  DESTINATION ${config_folder})
