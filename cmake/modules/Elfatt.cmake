# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Small wrappers so that one line declares a library, a dialect or a stage.

# What every C++ target of the project is compiled with. LLVM is built without
# RTTI and exceptions, and so is all code that includes its headers.
add_library(elfatt_options INTERFACE)
separate_arguments(llvm_definitions NATIVE_COMMAND "${LLVM_DEFINITIONS}")
target_compile_definitions(elfatt_options INTERFACE ${llvm_definitions})
target_compile_options(elfatt_options INTERFACE
  -fno-rtti -fno-exceptions -Wall -Wextra -Wno-unused-parameter
  $<$<CXX_COMPILER_ID:Clang>:-Wcovered-switch-default>)
# Debian's libMLIR.so leaves some of its inline functions undefined; dead code
# must be dropped for it to link.
target_compile_options(elfatt_options INTERFACE -ffunction-sections -fdata-sections)
target_link_options(elfatt_options INTERFACE -fuse-ld=lld -Wl,--gc-sections)
target_include_directories(elfatt_options INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
  $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_include_directories(elfatt_options SYSTEM INTERFACE
  ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
if(ELFATT_SANITIZE)
  target_compile_options(elfatt_options INTERFACE
    -fsanitize=${ELFATT_SANITIZE} -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer -fno-sanitize=vptr,function)
  target_link_options(elfatt_options INTERFACE -fsanitize=${ELFATT_SANITIZE})
endif()

# The precompiled header: one for all libraries that use MLIR. It halves the
# time of a full build.
add_library(elfatt_pch STATIC ${PROJECT_SOURCE_DIR}/cmake/modules/pch.cpp)
target_link_libraries(elfatt_pch PRIVATE elfatt_options)
target_precompile_headers(elfatt_pch PRIVATE ${PROJECT_SOURCE_DIR}/cmake/modules/pch.h)

# elfatt_add_library(Name src.cpp... [DEPENDS tablegen-target...] [LINK_LIBS lib...])
# A static library on MLIR's shared one.
function(elfatt_add_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LINK_LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_precompile_headers(${name} REUSE_FROM elfatt_pch)
  target_link_libraries(${name} PUBLIC elfatt_options ${ARG_LINK_LIBS} MLIR LLVM)
  # Generated headers come first, for every library: few targets, no races.
  add_dependencies(${name} elfatt-headers ${ARG_DEPENDS})
  set_property(GLOBAL APPEND PROPERTY ELFATT_LIBS ${name})
endfunction()

# elfatt_add_executable(name src.cpp... [LINK_LIBS lib...])
function(elfatt_add_executable name)
  cmake_parse_arguments(ARG "" "" "LINK_LIBS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE elfatt_options ${ARG_LINK_LIBS} MLIR LLVM)
  add_dependencies(${name} elfatt-headers)
endfunction()

# elfatt_add_tool(name src.cpp... [LINK_LIBS lib...]) A command, in build/bin.
function(elfatt_add_tool name)
  elfatt_add_executable(${name} ${ARGN})
  set_property(GLOBAL APPEND PROPERTY ELFATT_TOOLS ${name})
endfunction()

add_custom_target(elfatt-headers)
add_custom_target(elfatt-docs)

# elfatt_add_stage(Name) The passes of one stage, from Passes.td beside it, and
# their page in build/docs.
function(elfatt_add_stage name)
  set(LLVM_TARGET_DEFINITIONS Passes.td)
  mlir_tablegen(Passes.h.inc -gen-pass-decls -name ${name})
  add_public_tablegen_target(Elfatt${name}PassesIncGen)
  add_dependencies(elfatt-headers Elfatt${name}PassesIncGen)
  elfatt_add_doc(${name}Passes Passes.td -gen-pass-doc)
endfunction()

# elfatt_add_doc(Name file.td generator-option...) One page in build/docs.
function(elfatt_add_doc name td)
  set(out ${PROJECT_BINARY_DIR}/docs/${name}.md)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/docs
    COMMAND mlir-tblgen ${ARGN} -I ${PROJECT_SOURCE_DIR}/include
            -I ${MLIR_INCLUDE_DIRS} ${CMAKE_CURRENT_SOURCE_DIR}/${td} -o ${out}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${td})
  add_custom_target(elfatt-doc-${name} DEPENDS ${out})
  add_dependencies(elfatt-docs elfatt-doc-${name})
endfunction()
