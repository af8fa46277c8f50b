// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/InitAll.h"
#include "elfatt/Tools/Tool.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"
#include "llvm/Support/LogicalResult.h"

int main(int argc, char **argv) {
  return elfatt::runTool("elfatt-lsp-server", [&](elfatt::Tool &) -> int {
    mlir::DialectRegistry registry;
    elfatt::registerUpstreamDialects(registry);
    elfatt::registerAllDialects(registry);
    return llvm::succeeded(mlir::MlirLspServerMain(argc, argv, registry)) ? elfatt::kDone
                                                                          : elfatt::kBadInput;
  });
}
