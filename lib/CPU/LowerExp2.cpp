// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace elfatt::cpu {
#define GEN_PASS_DEF_LOWEREXP2PASS
#include "elfatt/CPU/Passes.h.inc"

using namespace mlir;

namespace {
/// 2^x = 2^n 2^f with n an integer and 2^f a polynomial.
struct ExpandExp2 : OpRewritePattern<math::Exp2Op> {
  ExpandExp2(MLIRContext *context, int64_t vectorBits)
      : OpRewritePattern(context), vectorBits(vectorBits) {}

  LogicalResult matchAndRewrite(math::Exp2Op op, PatternRewriter &rewriter) const override {
    auto type = dyn_cast<VectorType>(op.getType());
    if (!type || !type.getElementType().isF32())
      return rewriter.notifyMatchFailure(op, "not a vector of f32");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    bool scales = vectorBits == 512 && type.getRank() == 1 && type.getDimSize(0) == 16;
    rewriter.replaceOp(op, scales ? withScalef(b, op.getOperand()) : portable(b, op.getOperand()));
    return success();
  }

  static Value splat(ImplicitLocOpBuilder &b, Type type, float value) {
    return arith::ConstantOp::create(b, DenseElementsAttr::get(cast<VectorType>(type), value));
  }

  /// 1 + f (c1 + f (c2 + ..)).
  static Value polynomial(ImplicitLocOpBuilder &b, Value f, ArrayRef<float> coefficients) {
    Value result = splat(b, f.getType(), coefficients.back());
    for (float coefficient : llvm::reverse(coefficients.drop_back()))
      result = vector::FMAOp::create(b, result, f, splat(b, f.getType(), coefficient));
    return vector::FMAOp::create(b, result, f, splat(b, f.getType(), 1.0f));
  }

  /// Any machine: n = round(x), |f| <= 1/2, and 2^n an addition to the exponent.
  /// Below -126 the result is 0, from 128 on inf, NaN for NaN.
  static Value portable(ImplicitLocOpBuilder &b, Value x) {
    auto type = cast<VectorType>(x.getType());
    auto ints = VectorType::get(type.getShape(), b.getI32Type());
    // Relative error 2e-9: minimax on [-1/2, 1/2], by reweighted least squares.
    constexpr float kCoefficients[] = {0.69314718f,  0.24022648f,   0.055503324f,
                                       0.009618438f, 0.0013398873f, 0.00015353342f};
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    Value round = splat(b, type, 12582912.0f);
    Value tooSmall =
        arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, x, splat(b, type, -126.0f));
    // At 128 the sum below is inf itself.
    Value most = splat(b, type, 128.0f);
    Value tooLarge = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, most, x);
    x = arith::SelectOp::create(b, tooLarge, most, x);
    Value shifted = arith::AddFOp::create(b, x, round);
    Value f = arith::SubFOp::create(b, x, arith::SubFOp::create(b, shifted, round));
    Value exponent = arith::ShLIOp::create(
        b, arith::BitcastOp::create(b, ints, shifted),
        arith::ConstantOp::create(b, DenseElementsAttr::get(ints, int32_t(23))));
    Value bits = arith::BitcastOp::create(b, ints, polynomial(b, f, kCoefficients));
    bits = arith::AddIOp::create(b, bits, exponent);
    Value result = arith::BitcastOp::create(b, type, bits);
    return arith::SelectOp::create(b, tooSmall, splat(b, type, 0.0f), result);
  }

  /// AVX-512: f = x - floor(x), 0 for x infinite, is one instruction, and so is the
  /// product with 2^floor(x), which rounds, underflows and overflows as it should.
  static Value withScalef(ImplicitLocOpBuilder &b, Value x) {
    // Relative error 2e-9: minimax on [0, 1], by reweighted least squares.
    constexpr float kCoefficients[] = {0.693147063f,   0.240229309f, 0.0554852821f,
                                       0.00967545249f, 0.001246784f, 0.000216129396f};
    auto integer = [&](int64_t value, unsigned width) -> Value {
      return LLVM::ConstantOp::create(b, b.getIntegerType(width),
                                      b.getIntegerAttr(b.getIntegerType(width), value));
    };
    auto call = [&](StringRef name, ValueRange args) -> Value {
      return LLVM::CallIntrinsicOp::create(b, x.getType(), b.getStringAttr(name), args)
          .getResult(0);
    };
    // All lanes; the rounding that is set; round down, raise nothing.
    Value lanes = integer(-1, 16), current = integer(4, 32), down = integer(9, 32);
    Value f = call("llvm.x86.avx512.mask.reduce.ps.512", {x, down, x, lanes, current});
    Value p = polynomial(b, f, kCoefficients);
    return call("llvm.x86.avx512.mask.scalef.ps.512", {p, x, p, lanes, current});
  }

  int64_t vectorBits;
};

struct LowerExp2Pass : impl::LowerExp2PassBase<LowerExp2Pass> {
  using LowerExp2PassBase::LowerExp2PassBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<ExpandExp2>(&getContext(), vectorBits);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
} // namespace elfatt::cpu
