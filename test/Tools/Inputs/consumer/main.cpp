// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/InitAll.h"

#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/raw_ostream.h"

int main() {
  mlir::DialectRegistry registry;
  elfatt::registerAllDialects(registry);
  elfatt::registerAllPasses();
  elfatt::registerAllPipelines();
  mlir::MLIRContext context(registry);
  auto *dialect = context.getOrLoadDialect<elfatt::attention::AttentionDialect>();
  llvm::outs() << "loaded dialect " << dialect->getNamespace() << "\n";
  return 0;
}
