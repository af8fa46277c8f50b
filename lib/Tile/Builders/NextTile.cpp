// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "NextTile.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace elfatt::tile;

/// The loop's indices, one iteration on: a dim that ends begins anew and advances the one
/// before it.
void NextTile::advance(Operation *op) {
  if (of == op)
    return;
  of = op;
  mapping = IRMapping();
  auto loop = cast<scf::ForallOp>(op);
  auto value = [&](OpFoldResult v) { return getValueOrCreateConstantIndexOp(b, b.getLoc(), v); };
  Value carries;
  for (int64_t dim = loop.getRank() - 1; dim >= 0; --dim) {
    Value index = loop.getInductionVar(dim);
    Value next = arith::AddIOp::create(b, index, value(loop.getMixedStep()[dim]));
    Value ends = arith::CmpIOp::create(b, arith::CmpIPredicate::sge, next,
                                       value(loop.getMixedUpperBound()[dim]));
    next = arith::SelectOp::create(b, ends, value(loop.getMixedLowerBound()[dim]), next);
    if (carries)
      next = arith::SelectOp::create(b, carries, next, index);
    carries = carries ? arith::AndIOp::create(b, carries, ends).getResult() : ends;
    mapping.map(index, next);
  }
}

bool NextTile::canMove(Value value, Operation *loop, bool &depends) {
  if (value.getParentBlock() == &loop->getRegion(0).front() && isa<BlockArgument>(value))
    return depends = true;
  Operation *def = value.getDefiningOp();
  if (!def || !loop->isProperAncestor(def))
    return !loop->isAncestor(value.getParentBlock()->getParentOp());
  return def->getNumRegions() == 0 && isMemoryEffectFree(def) &&
         llvm::all_of(def->getOperands(),
                      [&](Value operand) { return canMove(operand, loop, depends); });
}

Value NextTile::move(Value value) {
  if (Value known = mapping.lookupOrNull(value))
    return known;
  Operation *def = value.getDefiningOp();
  if (!def || !of->isProperAncestor(def))
    return value;
  for (Value operand : def->getOperands())
    mapping.map(operand, move(operand));
  b.clone(*def, mapping);
  return mapping.lookup(value);
}

Value NextTile::get(Value view) {
  Operation *inside = b.getInsertionBlock()->getParentOp();
  auto loop = dyn_cast<scf::ForallOp>(inside);
  if (!loop)
    loop = inside->getParentOfType<scf::ForallOp>();
  bool depends = false;
  if (!loop || !canMove(view, loop, depends) || !depends)
    return {};
  advance(loop);
  return move(view);
}
