// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPULOWERMATHPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;

Value emitExp2(OpBuilder &b, Location loc, Value x) {
  return LLVM::CallIntrinsicOp::create(b, loc, b.getF32Type(),
                                       b.getStringAttr("llvm.nvvm.ex2.approx.ftz.f32"),
                                       ValueRange{x})
      .getResults();
}

LogicalResult lower(math::Exp2Op op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  Value x = op.getOperand();
  auto vector = dyn_cast<VectorType>(x.getType());
  if (!getElementTypeOrSelf(x.getType()).isF32() || (vector && vector.getRank() != 1))
    return op.emitOpError("expected f32 or a one-dimensional vector of it, got ") << x.getType();
  Value result;
  if (!vector) {
    result = emitExp2(b, loc, x);
  } else {
    SmallVector<Value> elements;
    for (int64_t i = 0; i < vector.getNumElements(); ++i)
      elements.push_back(emitExp2(b, loc, vector::ExtractOp::create(b, loc, x, i)));
    result = vector::FromElementsOp::create(b, loc, vector, elements);
  }
  op.replaceAllUsesWith(result);
  op.erase();
  return success();
}

/// What LLVM's NVPTX backend selects by itself.
bool needsNoLibrary(Operation *op) {
  return isa<math::AbsFOp, math::FmaOp, math::SqrtOp, math::FloorOp, math::CeilOp,
             math::RoundEvenOp, math::CopySignOp, math::TruncOp>(op);
}

struct GPULowerMathPass : impl::GPULowerMathPassBase<GPULowerMathPass> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation().walk([&](Operation *op) {
      if (isa<math::MathDialect>(op->getDialect()))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      if (auto exp2 = dyn_cast<math::Exp2Op>(op)) {
        if (failed(lower(exp2)))
          return signalPassFailure();
      } else if (!needsNoLibrary(op)) {
        op->emitOpError("would call a device library, which kernels do not link with");
        return signalPassFailure();
      }
    }
  }
};
} // namespace
} // namespace elfatt::gpu
