// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

#include <cmath>

namespace elfatt::cpu {
#define GEN_PASS_DEF_LOWEREXP2PASS
#include "elfatt/CPU/Passes.h.inc"

using namespace mlir;

/// Of so many vectors at most the code is interleaved: one alone is a chain of a dozen
/// instructions, and a core does not look far enough ahead to find the next.
static constexpr size_t kInterleaved = 4;

namespace {
/// 2^x = 2^n 2^f with n an integer and f a fraction, of several vectors of one type step by step.
class Exp2Expansion {
public:
  Exp2Expansion(ImplicitLocOpBuilder &b, VectorType type) : b(b), type(type) {}

  SmallVector<Value> withScalef(ArrayRef<Value> xs);
  SmallVector<Value> portable(ArrayRef<Value> xs);

private:
  Value splat(float value) {
    return arith::ConstantOp::create(b, DenseElementsAttr::get(type, value));
  }
  /// c0 + f (c1 + f (c2 + ..)).
  SmallVector<Value> polynomial(ArrayRef<Value> fs, ArrayRef<float> coefficients);

  ImplicitLocOpBuilder &b;
  VectorType type;
};
} // namespace

static SmallVector<Value> forEach(ArrayRef<Value> values, function_ref<Value(Value)> make) {
  return llvm::map_to_vector(values, make);
}

static SmallVector<Value> forEach(ArrayRef<Value> lhs, ArrayRef<Value> rhs,
                                  function_ref<Value(Value, Value)> make) {
  SmallVector<Value> made;
  for (auto [left, right] : llvm::zip_equal(lhs, rhs))
    made.push_back(make(left, right));
  return made;
}

SmallVector<Value> Exp2Expansion::polynomial(ArrayRef<Value> fs, ArrayRef<float> coefficients) {
  SmallVector<Value> results(fs.size(), splat(coefficients.back()));
  for (float coefficient : llvm::reverse(coefficients.drop_back())) {
    Value constant = splat(coefficient);
    results = forEach(results, fs, [&](Value result, Value f) -> Value {
      return vector::FMAOp::create(b, result, f, constant);
    });
  }
  return results;
}

/// Any machine: n = round(x), |f| <= 1/2, and 2^n an addition to the exponent.
/// Below -126 the result is 0, from 128 on inf, NaN for NaN.
SmallVector<Value> Exp2Expansion::portable(ArrayRef<Value> xs) {
  auto ints = VectorType::get(type.getShape(), b.getI32Type());
  // Relative error 2e-9: minimax on [-1/2, 1/2], by reweighted least squares.
  constexpr float kCoefficients[] = {1.0f,         0.69314718f,   0.24022648f,   0.055503324f,
                                     0.009618438f, 0.0013398873f, 0.00015353342f};
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  Value round = splat(12582912.0f), least = splat(-126.0f), zero = splat(0.0f);
  // At 128 the sum below is inf itself.
  Value most = splat(128.0f);
  Value position = arith::ConstantOp::create(b, DenseElementsAttr::get(ints, int32_t(23)));
  SmallVector<Value> tooSmall = forEach(xs, [&](Value x) -> Value {
    return arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, x, least);
  });
  SmallVector<Value> bounded = forEach(xs, [&](Value x) -> Value {
    Value tooLarge = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, most, x);
    return arith::SelectOp::create(b, tooLarge, most, x);
  });
  SmallVector<Value> shifted =
      forEach(bounded, [&](Value x) -> Value { return arith::AddFOp::create(b, x, round); });
  SmallVector<Value> fs = forEach(bounded, shifted, [&](Value x, Value moved) -> Value {
    return arith::SubFOp::create(b, x, arith::SubFOp::create(b, moved, round));
  });
  SmallVector<Value> exponents = forEach(shifted, [&](Value moved) -> Value {
    return arith::ShLIOp::create(b, arith::BitcastOp::create(b, ints, moved), position);
  });
  SmallVector<Value> results =
      forEach(polynomial(fs, kCoefficients), exponents, [&](Value p, Value exponent) -> Value {
        Value bits = arith::AddIOp::create(b, arith::BitcastOp::create(b, ints, p), exponent);
        return arith::BitcastOp::create(b, type, bits);
      });
  return forEach(tooSmall, results, [&](Value isZero, Value result) -> Value {
    return arith::SelectOp::create(b, isZero, zero, result);
  });
}

/// AVX-512: x = n + i/16 + f with 0 <= f < 1/16, 2^(i/16) from a register that holds all 16: two
/// multiply-adds fewer than for f < 1. f is 0 for x infinite; the product with 2^floor(x) rounds,
/// underflows and overflows as it should.
SmallVector<Value> Exp2Expansion::withScalef(ArrayRef<Value> xs) {
  // (2^f - 1) / f on [0, 1/16], interpolated at Chebyshev's nodes: relative error of 2^f 2e-9.
  constexpr float kCoefficients[] = {0.693147242f, 0.240205109f, 0.0564146638f};
  constexpr int32_t kParts = 16;
  auto ints = VectorType::get(type.getShape(), b.getI32Type());
  auto integer = [&](int64_t value, unsigned width) -> Value {
    return LLVM::ConstantOp::create(b, b.getIntegerType(width),
                                    b.getIntegerAttr(b.getIntegerType(width), value));
  };
  auto call = [&](StringRef name, ValueRange args) -> Value {
    return LLVM::CallIntrinsicOp::create(b, type, b.getStringAttr(name), args).getResult(0);
  };
  SmallVector<float> powers;
  for (int32_t part = 0; part < kParts; ++part)
    powers.push_back(std::exp2(double(part) / kParts));
  Value table = arith::ConstantOp::create(b, DenseElementsAttr::get(type, ArrayRef(powers)));
  // Adding 1.5 * 2^19 rounds to sixteenths and leaves them in the low bits.
  Value round = splat(786432.0f);
  // All lanes; the rounding that is set; down; down to sixteenths. Exceptions are not raised.
  Value lanes = integer(-1, 16), current = integer(4, 32), down = integer(9, 32);
  Value sixteenths = integer((4 << 4) | 9, 32);
  SmallVector<Value> fs = forEach(xs, [&](Value x) {
    return call("llvm.x86.avx512.mask.reduce.ps.512", {x, sixteenths, x, lanes, current});
  });
  SmallVector<Value> roots = forEach(xs, [&](Value x) {
    Value moved = call("llvm.x86.avx512.add.ps.512", {x, round, down});
    return call("llvm.x86.avx512.permvar.sf.512",
                {table, arith::BitcastOp::create(b, ints, moved)});
  });
  SmallVector<Value> slopes = polynomial(fs, kCoefficients);
  SmallVector<Value> steps = forEach(
      roots, fs, [&](Value root, Value f) -> Value { return arith::MulFOp::create(b, root, f); });
  for (auto [step, slope, root] : llvm::zip_equal(steps, slopes, roots))
    step = vector::FMAOp::create(b, step, slope, root);
  return forEach(steps, xs, [&](Value step, Value x) {
    return call("llvm.x86.avx512.mask.scalef.ps.512", {step, x, step, lanes, current});
  });
}

namespace {
struct LowerExp2Pass : impl::LowerExp2PassBase<LowerExp2Pass> {
  using LowerExp2PassBase::LowerExp2PassBase;

  void runOnOperation() override {
    SmallVector<SmallVector<math::Exp2Op>> groups;
    getOperation()->walk([&](math::Exp2Op op) {
      auto type = dyn_cast<VectorType>(op.getType());
      if (!type || !type.getElementType().isF32())
        return;
      if (!groups.empty() && belongsTo(groups.back(), op))
        groups.back().push_back(op);
      else
        groups.push_back({op});
    });
    for (ArrayRef<math::Exp2Op> group : groups)
      expand(group);
  }

  /// Whether `op` is the next one of neighbours.
  static bool belongsTo(ArrayRef<math::Exp2Op> group, math::Exp2Op op) {
    math::Exp2Op previous = group.back();
    return group.size() < kInterleaved && op->getPrevNode() == previous &&
           op.getType() == previous.getType() &&
           !llvm::is_contained(group, op.getOperand().getDefiningOp<math::Exp2Op>());
  }

  void expand(ArrayRef<math::Exp2Op> group) {
    math::Exp2Op last = group.back();
    OpBuilder builder(last);
    ImplicitLocOpBuilder b(last.getLoc(), builder);
    auto type = cast<VectorType>(last.getType());
    Exp2Expansion expansion(b, type);
    SmallVector<Value> xs;
    for (math::Exp2Op op : group)
      xs.push_back(op.getOperand());
    const bool scales = vectorBits == 512 && type.getRank() == 1 && type.getDimSize(0) == 16;
    SmallVector<Value> results = scales ? expansion.withScalef(xs) : expansion.portable(xs);
    for (auto [at, op] : llvm::enumerate(SmallVector<math::Exp2Op>(group))) {
      op.replaceAllUsesWith(results[at]);
      op.erase();
    }
  }
};
} // namespace
} // namespace elfatt::cpu
