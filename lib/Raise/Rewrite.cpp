// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Rewrite.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

void elfatt::raise::eraseDead(Operation *root) {
  llvm::SmallSetVector<Operation *, 16> work;
  work.insert(root);
  while (!work.empty()) {
    Operation *op = work.pop_back_val();
    if (!isOpTriviallyDead(op))
      continue;
    op->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        if (Operation *def = operand.getDefiningOp(); def && !op->isAncestor(def))
          work.insert(def);
    });
    op->erase();
  }
}
