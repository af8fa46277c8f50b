// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include <limits>

namespace elfatt::cpu {
#define GEN_PASS_DEF_LOWEREXP2PASS
#include "elfatt/CPU/Passes.h.inc"

using namespace mlir;

namespace {
/// 2^x = 2^n 2^f with n = round(x), |f| <= 1/2. 2^f is a polynomial with a relative
/// error of 2e-9 (minimax with c0 = 1, by reweighted least squares), 2^n an
/// addition to the exponent. Beyond the normal range: 0 below -126, inf from 128 on,
/// NaN for NaN.
struct ExpandExp2 : OpRewritePattern<math::Exp2Op> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(math::Exp2Op op, PatternRewriter &rewriter) const override {
    auto type = dyn_cast<VectorType>(op.getType());
    if (!type || !type.getElementType().isF32())
      return rewriter.notifyMatchFailure(op, "not a vector of f32");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    auto ints = VectorType::get(type.getShape(), b.getI32Type());
    auto splat = [&](float value) -> Value {
      return arith::ConstantOp::create(b, DenseElementsAttr::get(type, value));
    };
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    constexpr float kRound = 12582912.0f;
    Value x = op.getOperand();
    Value tooSmall = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, x, splat(-126.0f));
    Value tooLarge = arith::CmpFOp::create(b, arith::CmpFPredicate::OGE, x, splat(128.0f));
    Value bounded = arith::SelectOp::create(b, tooSmall, splat(-126.0f), x);
    Value shifted = arith::AddFOp::create(b, bounded, splat(kRound));
    Value whole = arith::SubFOp::create(b, shifted, splat(kRound));
    Value fraction = arith::SubFOp::create(b, bounded, whole);
    constexpr float kCoefficients[] = {0.69314718f,  0.24022648f,   0.055503324f,
                                       0.009618438f, 0.0013398873f, 0.00015353342f};
    Value polynomial = splat(kCoefficients[5]);
    for (int power = 4; power >= 0; --power)
      polynomial = vector::FMAOp::create(b, polynomial, fraction, splat(kCoefficients[power]));
    polynomial = vector::FMAOp::create(b, polynomial, fraction, splat(1.0f));
    Value exponent = arith::ShLIOp::create(
        b, arith::BitcastOp::create(b, ints, shifted),
        arith::ConstantOp::create(b, DenseElementsAttr::get(ints, int32_t(23))));
    Value bits = arith::AddIOp::create(b, arith::BitcastOp::create(b, ints, polynomial), exponent);
    Value result = arith::BitcastOp::create(b, type, bits);
    result = arith::SelectOp::create(b, tooSmall, splat(0.0f), result);
    result =
        arith::SelectOp::create(b, tooLarge, splat(std::numeric_limits<float>::infinity()), result);
    rewriter.replaceOp(op, result);
    return success();
  }
};

struct LowerExp2Pass : impl::LowerExp2PassBase<LowerExp2Pass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<ExpandExp2>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
} // namespace elfatt::cpu
