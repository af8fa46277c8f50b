// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace elfatt::cpu {
#define GEN_PASS_DEF_EXPANDMATHPASS
#include "elfatt/CPU/Passes.h.inc"

namespace {

/// The upper half of f32, to which half of what is cut off is added, or a little less where that is
/// even; NaNs become quiet. No choice is the last step: LLVM would move it behind the truncation
/// and choose between elements of bf16, one at a time.
struct RoundToBF16 : OpRewritePattern<arith::TruncFOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(arith::TruncFOp op, PatternRewriter &rewriter) const override {
    Value x = op.getIn();
    if (!getElementTypeOrSelf(x).isF32() || !getElementTypeOrSelf(op.getType()).isBF16())
      return rewriter.notifyMatchFailure(op, "is not from f32 to bf16");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    auto withElement = [&](Type element) -> Type {
      auto shaped = dyn_cast<ShapedType>(x.getType());
      return shaped ? Type(shaped.clone(element)) : element;
    };
    Type words = withElement(b.getI32Type());
    auto constant = [&](int32_t value) -> Value {
      return arith::ConstantOp::create(b, makeSplat(words, value));
    };
    Value bits = arith::BitcastOp::create(b, words, x), sixteen = constant(16);
    Value odd = arith::AndIOp::create(b, arith::ShRUIOp::create(b, bits, sixteen), constant(1));
    Value half = arith::AddIOp::create(b, odd, constant(0x7fff));
    Value isNaN = arith::CmpFOp::create(b, arith::CmpFPredicate::UNO, x, x);
    Value zero = constant(0);
    half = arith::SelectOp::create(b, isNaN, zero, half);
    Value quiet = arith::SelectOp::create(b, isNaN, constant(0x400000), zero);
    Value result = arith::OrIOp::create(b, arith::AddIOp::create(b, bits, half), quiet);
    result = arith::ShRUIOp::create(b, result, sixteen);
    result = arith::TruncIOp::create(b, withElement(b.getI16Type()), result);
    rewriter.replaceOpWithNewOp<arith::BitcastOp>(op, op.getType(), result);
    return success();
  }

  static TypedAttr makeSplat(Type type, int32_t value) {
    auto element = IntegerAttr::get(getElementTypeOrSelf(type), value);
    auto shaped = dyn_cast<ShapedType>(type);
    return shaped ? TypedAttr(DenseElementsAttr::get(shaped, element)) : TypedAttr(element);
  }
};

struct ExpandMath : impl::ExpandMathPassBase<ExpandMath> {
  using ExpandMathPassBase::ExpandMathPassBase;

  void runOnOperation() override {
    // Those whose polynomial keeps f32's accuracy to a few units in the last
    // place, and that models call on large tensors.
    auto serves = [](StringRef name) {
      return llvm::is_contained({math::ErfOp::getOperationName(), math::ExpOp::getOperationName(),
                                 math::TanhOp::getOperationName(), math::LogOp::getOperationName(),
                                 math::Log1pOp::getOperationName(),
                                 math::ExpM1Op::getOperationName()},
                                name);
    };
    RewritePatternSet patterns(&getContext());
    populateMathPolynomialApproximationPatterns(patterns, serves);
    if (convertsBF16) {
      arith::populateExpandBFloat16Patterns(patterns);
      patterns.add<RoundToBF16>(&getContext(), /*benefit=*/2);
    }
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
} // namespace elfatt::cpu
