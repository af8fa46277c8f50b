// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The dialect and the passes for a stock mlir-opt of the same LLVM version:
//
//   mlir-opt --load-dialect-plugin=ElfattPlugin.so --load-pass-plugin=ElfattPlugin.so
//            --pass-pipeline='builtin.module(elfatt-raise)'
#include "elfatt/InitAll.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/Plugins/DialectPlugin.h"
#include "mlir/Tools/Plugins/PassPlugin.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/Compiler.h"

extern "C" LLVM_ATTRIBUTE_VISIBILITY_DEFAULT mlir::DialectPluginLibraryInfo
mlirGetDialectPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "Elfatt", LLVM_VERSION_STRING,
          [](mlir::DialectRegistry *registry) { elfatt::registerAllDialects(*registry); }};
}

extern "C" LLVM_ATTRIBUTE_VISIBILITY_DEFAULT mlir::PassPluginLibraryInfo mlirGetPassPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "Elfatt", LLVM_VERSION_STRING, [] {
            elfatt::registerAllPasses();
            elfatt::registerAllPipelines();
          }};
}
