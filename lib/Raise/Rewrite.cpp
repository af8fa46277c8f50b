// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Rewrite.h"

#include "mlir/IR/RegionKindInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

bool elfatt::raise::isInOrderedCode(Operation *op, DominanceInfo &dominance) {
  for (; op && !op->hasTrait<OpTrait::IsIsolatedFromAbove>(); op = op->getParentOp()) {
    Region *region = op->getParentRegion();
    if (!region)
      return true;
    if (!dominance.hasSSADominance(op->getBlock()) ||
        !dominance.isReachableFromEntry(op->getBlock()))
      return false;
  }
  return true;
}

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
