// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;

namespace elfatt::cpu {
#define GEN_PASS_DEF_ALLOCATERESULTSPASS
#include "elfatt/CPU/Passes.h.inc"

namespace {

/// A buffer of the shape that `result` has in place of the one of which it is a reshaped view:
/// that one is a view of the new buffer then, by the same reshapes the other way.
Value allocateAs(Value result) {
  SmallVector<Operation *> reshapes;
  Value source = result;
  while (isa_and_nonnull<memref::CollapseShapeOp, memref::ExpandShapeOp>(source.getDefiningOp())) {
    reshapes.push_back(source.getDefiningOp());
    source = source.getDefiningOp()->getOperand(0);
  }
  auto alloc = source.getDefiningOp<memref::AllocOp>();
  auto isPlain = [](Value value) {
    auto type = cast<MemRefType>(value.getType());
    return type.hasStaticShape() && type.getLayout().isIdentity();
  };
  // What is returned as it is keeps its shape.
  auto isReturned = [](Operation *user) { return isa<func::ReturnOp>(user); };
  if (!alloc || reshapes.empty() || llvm::any_of(alloc->getUsers(), isReturned) ||
      !isPlain(result) || !isPlain(source) ||
      !llvm::all_of(reshapes, [&](Operation *op) { return isPlain(op->getOperand(0)); }))
    return {};
  OpBuilder b(alloc);
  Value buffer = memref::AllocOp::create(b, alloc.getLoc(), cast<MemRefType>(result.getType()),
                                         alloc.getAlignmentAttr());
  Value view = buffer;
  for (Operation *op : reshapes) {
    auto before = cast<MemRefType>(op->getOperand(0).getType());
    if (auto collapse = dyn_cast<memref::CollapseShapeOp>(op))
      view = memref::ExpandShapeOp::create(b, op->getLoc(), before.getShape(), view,
                                           collapse.getReassociationIndices());
    else
      view = memref::CollapseShapeOp::create(
          b, op->getLoc(), view, cast<memref::ExpandShapeOp>(op).getReassociationIndices());
  }
  alloc.replaceAllUsesWith(view);
  alloc.erase();
  return buffer;
}

struct AllocateResults : impl::AllocateResultsPassBase<AllocateResults> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isDeclaration() || !function.getBody().hasOneBlock())
      return;
    auto end = cast<func::ReturnOp>(function.getBody().front().getTerminator());
    for (OpOperand &operand : end->getOpOperands())
      if (isa<MemRefType>(operand.get().getType()))
        if (Value buffer = allocateAs(operand.get()))
          operand.set(buffer);
  }
};

} // namespace
} // namespace elfatt::cpu
