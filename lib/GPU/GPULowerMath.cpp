// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include <cmath>
#include <numbers>

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

/// The same by name, for ops of the LLVM dialect that upstream's conversion of kernels
/// takes for calls of the device library (MLIR 22).
template <typename From> bool replaceWithIntrinsic(Operation *op, StringRef name) {
  if (!isa<From>(op))
    return false;
  OpBuilder b(op);
  op->replaceAllUsesWith(LLVM::CallIntrinsicOp::create(b, op->getLoc(), op->getResult(0).getType(),
                                                       b.getStringAttr(name), op->getOperands()));
  op->erase();
  return true;
}

bool lowerToInstruction(Operation *op) {
  return replaceWith<math::FmaOp, LLVM::FMAOp>(op) ||
         replaceWithIntrinsic<math::AbsFOp>(op, "llvm.fabs") ||
         replaceWithIntrinsic<math::SqrtOp>(op, "llvm.sqrt") ||
         replaceWithIntrinsic<math::FloorOp>(op, "llvm.floor") ||
         replaceWithIntrinsic<math::CeilOp>(op, "llvm.ceil") ||
         replaceWith<arith::MaxNumFOp, LLVM::MaxNumOp>(op) ||
         replaceWith<arith::MinNumFOp, LLVM::MinNumOp>(op);
}

/// base^x = exp2(x * log2(base)), exact for powers of two.
void replaceWithExp2(PatternRewriter &rewriter, Operation *op, Value x, double base) {
  Type type = x.getType();
  TypedAttr log2 = rewriter.getFloatAttr(getElementTypeOrSelf(type), std::log2(base));
  if (auto vector = dyn_cast<VectorType>(type))
    log2 = DenseElementsAttr::get(vector, Attribute(log2));
  Value factor = arith::ConstantOp::create(rewriter, op->getLoc(), log2);
  Value exponent = arith::MulFOp::create(rewriter, op->getLoc(), x, factor);
  rewriter.replaceOpWithNewOp<math::Exp2Op>(op, exponent);
}

struct ExpToExp2 : OpRewritePattern<math::ExpOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::ExpOp op, PatternRewriter &rewriter) const override {
    replaceWithExp2(rewriter, op, op.getOperand(), std::numbers::e);
    return success();
  }
};

/// The slopes of ALiBi are powers of two, by powf.
struct PowFToExp2 : OpRewritePattern<math::PowFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::PowFOp op, PatternRewriter &rewriter) const override {
    FloatAttr base;
    DenseFPElementsAttr bases;
    APFloat value(0.0f);
    if (matchPattern(op.getLhs(), m_Constant(&base)))
      value = base.getValue();
    else if (matchPattern(op.getLhs(), m_Constant(&bases)) && bases.isSplat())
      value = bases.getSplatValue<APFloat>();
    if (!value.isFiniteNonZero() || value.isNegative())
      return rewriter.notifyMatchFailure(op, "its base is no positive constant");
    bool exact;
    value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &exact);
    replaceWithExp2(rewriter, op, op.getRhs(), value.convertToDouble());
    return success();
  }
};

/// Functions without an instruction, as polynomials that keep f32's accuracy to a few
/// units in the last place.
LogicalResult expandFunctions(Operation *module) {
  auto serves = [](StringRef name) {
    return llvm::is_contained({math::ErfOp::getOperationName(), math::TanhOp::getOperationName(),
                               math::LogOp::getOperationName(), math::Log1pOp::getOperationName(),
                               math::ExpM1Op::getOperationName()},
                              name);
  };
  RewritePatternSet patterns(module->getContext());
  populateMathPolynomialApproximationPatterns(patterns, serves);
  patterns.add<ExpToExp2, PowFToExp2>(module->getContext());
  return applyPatternsGreedily(module, std::move(patterns));
}

/// The one op on a lane's vectors that upstream's conversion to NVVM leaves behind.
void lowerShapeCasts(Operation *module) {
  SmallVector<vector::ShapeCastOp> ops;
  module->walk([&](vector::ShapeCastOp op) { ops.push_back(op); });
  for (vector::ShapeCastOp op : ops) {
    OpBuilder b(op);
    ArrayRef<int64_t> shape = op.getSourceVectorType().getShape();
    SmallVector<Value> elements;
    for (int64_t i = 0, n = op.getSourceVectorType().getNumElements(); i < n; ++i)
      elements.push_back(vector::ExtractOp::create(b, op.getLoc(), op.getSource(),
                                                   delinearize(i, computeStrides(shape))));
    op.replaceAllUsesWith(
        vector::FromElementsOp::create(b, op.getLoc(), op.getResultVectorType(), elements)
            .getResult());
    op.erase();
  }
}

struct GPULowerMathPass : impl::GPULowerMathPassBase<GPULowerMathPass> {
  void runOnOperation() override {
    if (failed(expandFunctions(getOperation())))
      return signalPassFailure();
    lowerShapeCasts(getOperation());
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
