// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ElementwiseMerge.h"

#include "ElementwiseTerm.h"

#include "mlir/Dialect/Linalg/Transforms/Transforms.h"

using namespace mlir;
using namespace elfatt::tile;

bool elfatt::tile::isElementwiseOp(linalg::LinalgOp op) {
  return op && op.hasPureTensorSemantics() && op->getNumResults() == 1 &&
         op.getNumLoops() == op.getNumParallelLoops() && op.getNumLoops() > 0;
}

bool elfatt::tile::canMerge(OpOperand &operand, Machine machine) {
  auto producer = operand.get().getDefiningOp<linalg::LinalgOp>();
  if (!producer || !producer->hasOneUse() || producer->getBlock() != operand.getOwner()->getBlock())
    return false;
  if (isa<linalg::FillOp>(producer))
    return true;
  // One that the op would repeat is cheap only if it moves data.
  auto consumer = cast<linalg::LinalgOp>(operand.getOwner());
  bool repeats = consumer.getNumLoops() > producer.getNumLoops();
  if (!isElementwiseOp(producer) || (repeats && !llvm::hasSingleElement(*producer.getBlock())))
    return false;
  return llvm::all_of(producer->getOperands(),
                      [&](Value from) { return isa<FloatType>(getElementTypeOrSelf(from)); }) &&
         llvm::all_of(producer.getBlock()->without_terminator(),
                      [&](Operation &inner) { return hasTileForm(inner, machine); });
}

/// An op that reads each element of a tensor through one operand alone.
static linalg::GenericOp dropRepeatedInputs(IRRewriter &rewriter, linalg::GenericOp op) {
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  SmallVector<unsigned> places; // of each input among those that are left
  for (OpOperand *operand : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(operand);
    unsigned place = 0;
    while (place < inputs.size() && (inputs[place] != operand->get() || maps[place] != map))
      ++place;
    places.push_back(place);
    if (place < inputs.size())
      continue;
    inputs.push_back(operand->get());
    maps.push_back(map);
  }
  if (inputs.size() == places.size())
    return op;
  maps.push_back(op.getMatchingIndexingMap(op.getDpsInitOperand(0)));
  rewriter.setInsertionPoint(op);
  auto unique = linalg::GenericOp::create(rewriter, op.getLoc(), op.getResultTypes(), inputs,
                                          op.getDpsInits(), maps, op.getIteratorTypesArray());
  unique.getRegion().takeBody(op.getRegion());
  Block *body = unique.getBody();
  for (unsigned number = places.size(); number-- > 0;)
    if (unsigned place = places[number];
        llvm::is_contained(ArrayRef(places).take_front(number), place)) {
      unsigned first = llvm::find(places, place) - places.begin();
      body->getArgument(number).replaceAllUsesWith(body->getArgument(first));
      body->eraseArgument(number);
    }
  rewriter.replaceOp(op, unique);
  return unique;
}

linalg::GenericOp elfatt::tile::mergeProducers(IRRewriter &rewriter, linalg::LinalgOp op,
                                               Machine machine,
                                               function_ref<void(linalg::GenericOp)> notifyMerged) {
  auto asGeneric = [&](linalg::LinalgOp named) -> linalg::GenericOp {
    if (auto generic = dyn_cast<linalg::GenericOp>(named.getOperation()))
      return generic;
    rewriter.setInsertionPoint(named);
    FailureOr<linalg::GenericOp> generic = linalg::generalizeNamedOp(rewriter, named);
    return succeeded(generic) ? *generic : nullptr;
  };
  linalg::GenericOp generic = asGeneric(op);
  for (bool changed = true; changed && generic;) {
    changed = false;
    for (OpOperand *operand : generic.getDpsInputOperands()) {
      if (!canMerge(*operand, machine))
        continue;
      auto producer = asGeneric(operand->get().getDefiningOp<linalg::LinalgOp>());
      if (!producer || !linalg::areElementwiseOpsFusable(operand))
        continue;
      rewriter.setInsertionPoint(generic);
      FailureOr<linalg::ElementwiseOpFusionResult> fused =
          linalg::fuseElementwiseOps(rewriter, operand);
      if (failed(fused))
        continue;
      for (auto [from, to] : fused->replacements)
        rewriter.replaceAllUsesWith(from, to);
      rewriter.eraseOp(generic);
      notifyMerged(producer);
      rewriter.eraseOp(producer);
      generic = cast<linalg::GenericOp>(fused->fusedOp);
      changed = true;
      break;
    }
  }
  return generic ? dropRepeatedInputs(rewriter, generic) : nullptr;
}
