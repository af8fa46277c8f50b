// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPULOWERMATHPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;

Value emitExp2(OpBuilder &b, Location loc, Value x) {
  return LLVM::CallIntrinsicOp::create(
             b, loc, b.getF32Type(), b.getStringAttr("llvm.nvvm.ex2.approx.ftz.f32"), ValueRange{x})
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

/// Upstream would call a device library where the chip has an instruction.
template <typename From, typename To> bool replaceWith(Operation *op) {
  if (!isa<From>(op))
    return false;
  OpBuilder b(op);
  op->replaceAllUsesWith(To::create(b, op->getLoc(), op->getResultTypes(), op->getOperands()));
  op->erase();
  return true;
}

bool lowerToInstruction(Operation *op) {
  return replaceWith<math::FmaOp, LLVM::FMAOp>(op) || replaceWith<math::AbsFOp, LLVM::FAbsOp>(op) ||
         replaceWith<math::SqrtOp, LLVM::SqrtOp>(op) ||
         replaceWith<math::FloorOp, LLVM::FFloorOp>(op) ||
         replaceWith<math::CeilOp, LLVM::FCeilOp>(op) ||
         replaceWith<arith::MaxNumFOp, LLVM::MaxNumOp>(op) ||
         replaceWith<arith::MinNumFOp, LLVM::MinNumOp>(op);
}

struct GPULowerMathPass : impl::GPULowerMathPassBase<GPULowerMathPass> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation().walk([&](Operation *op) {
      if (isa_and_nonnull<math::MathDialect>(op->getDialect()) ||
          isa<arith::MaxNumFOp, arith::MinNumFOp, arith::RemFOp>(op))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      if (auto exp2 = dyn_cast<math::Exp2Op>(op)) {
        if (failed(lower(exp2)))
          return signalPassFailure();
      } else if (!lowerToInstruction(op)) {
        op->emitOpError("would call a device library, which kernels do not link with");
        return signalPassFailure();
      }
    }
  }
};
} // namespace
} // namespace elfatt::gpu
