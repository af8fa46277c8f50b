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

/// The element of a load that `value` is, or a null load.
std::pair<vector::LoadOp, int64_t> findLoaded(Value value) {
  auto extract = value.getDefiningOp<vector::ExtractOp>();
  if (!extract || extract.getStaticPosition().size() != 1 || !extract.getDynamicPosition().empty())
    return {};
  return {extract.getSource().getDefiningOp<vector::LoadOp>(), extract.getStaticPosition()[0]};
}

/// An element of bf16 as f32: where it was loaded with another, from the word that holds both in
/// its halves. They are upper halves of f32, and need not be taken out of the word first.
Value widen(OpBuilder &b, Location loc, Value element) {
  auto [load, at] = findLoaded(element);
  if (!load || load.getVectorType().getNumElements() % 2 != 0)
    return arith::ExtFOp::create(b, loc, b.getF32Type(), element);
  auto words = VectorType::get(load.getVectorType().getNumElements() / 2, b.getI32Type());
  Value bits = vector::BitCastOp::create(b, loc, words, load);
  Value word = vector::ExtractOp::create(b, loc, bits, at / 2);
  auto constant = [&](uint32_t value) {
    return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(static_cast<int32_t>(value)));
  };
  Value upper = at % 2 == 0 ? arith::ShLIOp::create(b, loc, word, constant(16)).getResult()
                            : arith::AndIOp::create(b, loc, word, constant(0xffff0000));
  return arith::BitcastOp::create(b, loc, b.getF32Type(), upper);
}

/// Widens vectors of bf16 an element at a time.
void lowerWidenedVectors(Operation *module) {
  SmallVector<arith::ExtFOp> ops;
  module->walk([&](arith::ExtFOp op) {
    auto from = dyn_cast<VectorType>(op.getIn().getType());
    if (from && from.getRank() == 1 && from.getElementType().isBF16() &&
        getElementTypeOrSelf(op.getType()).isF32())
      ops.push_back(op);
  });
  for (arith::ExtFOp op : ops) {
    OpBuilder b(op);
    auto type = cast<VectorType>(op.getType());
    auto from = op.getIn().getDefiningOp<vector::FromElementsOp>();
    SmallVector<Value> elements;
    for (int64_t i = 0; i < type.getNumElements(); ++i) {
      Value element = from ? from.getElements()[i]
                           : vector::ExtractOp::create(b, op.getLoc(), op.getIn(), i).getResult();
      elements.push_back(widen(b, op.getLoc(), element));
    }
    op.replaceAllUsesWith(
        vector::FromElementsOp::create(b, op.getLoc(), type, elements).getResult());
    op.erase();
  }
}

struct GPULowerMathPass : impl::GPULowerMathPassBase<GPULowerMathPass> {
  void runOnOperation() override {
    if (failed(expandFunctions(getOperation())))
      return signalPassFailure();
    lowerShapeCasts(getOperation());
    lowerWidenedVectors(getOperation());
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
