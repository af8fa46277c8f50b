// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Rewrite.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/RegionKindInterface.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

/// How far the destination of a destination is followed.
static constexpr unsigned kMaxDestinations = 16;

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

/// Where only the sizes of a result are asked for, the destination has them too.
static void askDestination(Operation *op) {
  auto dps = dyn_cast<DestinationStyleOpInterface>(op);
  if (!dps ||
      llvm::any_of(op->getUsers(), [](Operation *user) { return !isa<tensor::DimOp>(user); }))
    return;
  for (OpResult result : op->getResults()) {
    // Past destinations that would be dead as well, of which there may be a cycle.
    Value init = dps.getTiedOpOperand(result)->get();
    for (unsigned steps = 0; steps < kMaxDestinations; ++steps) {
      auto producer = init.getDefiningOp<DestinationStyleOpInterface>();
      if (!producer)
        break;
      init = producer.getTiedOpOperand(cast<OpResult>(init))->get();
    }
    result.replaceAllUsesWith(init);
  }
}

void elfatt::raise::eraseDead(Operation *root) {
  llvm::SmallSetVector<Operation *, 16> work;
  work.insert(root);
  while (!work.empty()) {
    Operation *op = work.pop_back_val();
    askDestination(op);
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
