// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/InitAll.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  elfatt::registerUpstreamDialects(registry);
  elfatt::registerAllDialects(registry);
  elfatt::registerUpstreamPasses();
  elfatt::registerAllPasses();
  elfatt::registerAllPipelines();
  return mlir::failed(mlir::MlirOptMain(argc, argv, "ELFATT optimizer driver\n", registry)) ? 2 : 0;
}
