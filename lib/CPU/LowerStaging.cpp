// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace elfatt::cpu {
#define GEN_PASS_DEF_LOWERSTAGINGPASS
#include "elfatt/CPU/Passes.h.inc"

using namespace mlir;

/// Rows of this many elements at most are moved as one vector.
static constexpr int64_t kLongestRow = 512;

static bool hasUnitStride(MemRefType type) {
  SmallVector<int64_t> strides;
  int64_t offset;
  return type.getRank() > 0 && succeeded(type.getStridesAndOffset(strides, offset)) &&
         strides.back() == 1;
}

/// A copy whose rows are static and contiguous on both sides: loops over the outer
/// dims, a row a vector.
static bool lowerRowCopy(IRRewriter &rewriter, linalg::CopyOp op) {
  auto source = dyn_cast<MemRefType>(op.getInputs()[0].getType());
  auto target = dyn_cast<MemRefType>(op.getOutputs()[0].getType());
  if (!source || !target || source.getElementType() != target.getElementType() ||
      !hasUnitStride(source) || !hasUnitStride(target))
    return false;
  int64_t columns = target.getShape().back();
  if (ShapedType::isDynamic(columns) || columns == 0 || columns > kLongestRow)
    return false;
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  b.setInsertionPoint(op);
  Value zero = arith::ConstantIndexOp::create(b, 0), one = arith::ConstantIndexOp::create(b, 1);
  SmallVector<Value> indices;
  for (int64_t dim = 0; dim + 1 < target.getRank(); ++dim) {
    Value extent = memref::DimOp::create(b, op.getOutputs()[0], dim);
    auto loop = scf::ForOp::create(b, zero, extent, one);
    b.setInsertionPointToStart(loop.getBody());
    indices.push_back(loop.getInductionVar());
  }
  indices.push_back(zero);
  Value padding = arith::ConstantOp::create(b, b.getZeroAttr(target.getElementType()));
  Value row =
      vector::TransferReadOp::create(b, VectorType::get({columns}, target.getElementType()),
                                     op.getInputs()[0], indices, padding, ArrayRef<bool>{true});
  vector::TransferWriteOp::create(b, row, op.getOutputs()[0], indices, ArrayRef<bool>{true});
  rewriter.eraseOp(op);
  return true;
}

namespace {
struct LowerStagingPass : impl::LowerStagingPassBase<LowerStagingPass> {
  void runOnOperation() override {
    SmallVector<linalg::LinalgOp> ops;
    getOperation()->walk([&](linalg::LinalgOp op) {
      if (op.hasPureBufferSemantics() && op->getParentOfType<scf::ForallOp>())
        ops.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (linalg::LinalgOp op : ops) {
      ++numLowered;
      if (auto copy = dyn_cast<linalg::CopyOp>(op.getOperation()))
        if (lowerRowCopy(rewriter, copy))
          continue;
      rewriter.setInsertionPoint(op);
      if (failed(linalg::linalgOpToLoops(rewriter, op))) {
        op->emitOpError("cannot be lowered to loops");
        return signalPassFailure();
      }
      rewriter.eraseOp(op);
    }
  }
};
} // namespace
} // namespace elfatt::cpu
