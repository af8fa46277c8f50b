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
/// 2^x = 2^n 2^f with n an integer and f a fraction, of several vectors step by step.
class Exp2Expansion {
public:
  explicit Exp2Expansion(ImplicitLocOpBuilder &b) : b(b) {}

  SmallVector<Value> withScalef(ArrayRef<Value> xs);
  SmallVector<Value> portable(ArrayRef<Value> xs);

private:
  Value constant(DenseElementsAttr elements) {
    Value &made = constants[elements];
    if (!made)
      made = arith::ConstantOp::create(b, elements);
    return made;
  }
  Value integer(int64_t value, unsigned width) {
    auto attribute = b.getIntegerAttr(b.getIntegerType(width), value);
    Value &made = constants[attribute];
    if (!made)
      made = LLVM::ConstantOp::create(b, attribute.getType(), attribute);
    return made;
  }
  Value splat(Value like, float value) {
    return constant(DenseElementsAttr::get(cast<VectorType>(like.getType()), value));
  }
  Value asIntegers(Value floats) {
    return arith::BitcastOp::create(b, cast<VectorType>(floats.getType()).clone(b.getI32Type()),
                                    floats);
  }
  /// c0 + f (c1 + f (c2 + ..)).
  SmallVector<Value> polynomial(ArrayRef<Value> fs, ArrayRef<float> coefficients);

  ImplicitLocOpBuilder &b;
  llvm::DenseMap<Attribute, Value> constants;
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
  SmallVector<Value> results = forEach(fs, [&](Value f) { return splat(f, coefficients.back()); });
  for (float coefficient : llvm::reverse(coefficients.drop_back()))
    results = forEach(results, fs, [&](Value result, Value f) -> Value {
      return vector::FMAOp::create(b, result, f, splat(f, coefficient));
    });
  return results;
}

/// Any machine: n = round(x), |f| <= 1/2, and 2^n an addition to the exponent.
/// Below -126 the result is 0, from 128 on inf, NaN for NaN.
SmallVector<Value> Exp2Expansion::portable(ArrayRef<Value> xs) {
  // Relative error 2e-9: minimax on [-1/2, 1/2], by reweighted least squares.
  constexpr float kCoefficients[] = {1.0f,         0.69314718f,   0.24022648f,   0.055503324f,
                                     0.009618438f, 0.0013398873f, 0.00015353342f};
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  constexpr float kRound = 12582912.0f;
  SmallVector<Value> tooSmall = forEach(xs, [&](Value x) -> Value {
    return arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, x, splat(x, -126.0f));
  });
  // At 128 the sum below is inf itself.
  SmallVector<Value> bounded = forEach(xs, [&](Value x) -> Value {
    Value most = splat(x, 128.0f);
    Value tooLarge = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, most, x);
    return arith::SelectOp::create(b, tooLarge, most, x);
  });
  SmallVector<Value> shifted = forEach(
      bounded, [&](Value x) -> Value { return arith::AddFOp::create(b, x, splat(x, kRound)); });
  SmallVector<Value> fs = forEach(bounded, shifted, [&](Value x, Value moved) -> Value {
    return arith::SubFOp::create(b, x, arith::SubFOp::create(b, moved, splat(x, kRound)));
  });
  SmallVector<Value> exponents = forEach(shifted, [&](Value moved) -> Value {
    Value bits = asIntegers(moved);
    auto position = DenseElementsAttr::get(cast<VectorType>(bits.getType()), int32_t(23));
    return arith::ShLIOp::create(b, bits, constant(position));
  });
  SmallVector<Value> results =
      forEach(polynomial(fs, kCoefficients), exponents, [&](Value p, Value exponent) -> Value {
        Value bits = arith::AddIOp::create(b, asIntegers(p), exponent);
        return arith::BitcastOp::create(b, p.getType(), bits);
      });
  return forEach(tooSmall, results, [&](Value isZero, Value result) -> Value {
    return arith::SelectOp::create(b, isZero, splat(result, 0.0f), result);
  });
}

/// Registers of 512 bits, and halves of them where a row ends.
static bool isWhole(Value x) { return cast<VectorType>(x.getType()).getDimSize(0) == 16; }

/// AVX-512: x = n + i/16 + f with 0 <= f < 1/16, 2^(i/16) from a register that holds all 16: two
/// multiply-adds fewer than for f < 1. f is 0 for x infinite; the product with 2^floor(x) rounds,
/// underflows and overflows as it should.
SmallVector<Value> Exp2Expansion::withScalef(ArrayRef<Value> xs) {
  // (2^f - 1) / f on [0, 1/16], interpolated at Chebyshev's nodes: relative error of 2^f 2e-9.
  constexpr float kCoefficients[] = {0.693147242f, 0.240205109f, 0.0564146638f};
  // Adding 1.5 * 2^19 rounds to sixteenths and leaves them in the low bits.
  constexpr int32_t kParts = 16;
  constexpr float kRound = 786432.0f;
  auto call = [&](const Twine &name, ValueRange args) -> Value {
    Value x = args.front();
    StringAttr full = b.getStringAttr("llvm.x86.avx512." + name + (isWhole(x) ? ".512" : ".256"));
    return LLVM::CallIntrinsicOp::create(b, x.getType(), full, args).getResult(0);
  };
  SmallVector<float> powers;
  for (int32_t part = 0; part < kParts; ++part)
    powers.push_back(std::exp2(double(part) / kParts));
  // Of all lanes.
  auto callMasked = [&](const Twine &name, Value x, Value y) {
    SmallVector<Value> args = {x, y, x, integer(-1, isWhole(x) ? 16 : 8)};
    if (isWhole(x))
      args.push_back(integer(4, 32)); // the rounding that is set
    return call(name, args);
  };
  // Down to sixteenths; down. Exceptions are not raised.
  Value sixteenths = integer((4 << 4) | 9, 32), down = integer(9, 32);
  SmallVector<Value> fs =
      forEach(xs, [&](Value x) { return callMasked("mask.reduce.ps", x, sixteenths); });
  SmallVector<Value> roots = forEach(xs, fs, [&](Value x, Value f) {
    auto type = cast<VectorType>(x.getType());
    auto powersFrom = [&](int64_t first) {
      auto part = ArrayRef(powers).slice(first, type.getDimSize(0));
      return constant(DenseElementsAttr::get(type, part));
    };
    Value round = splat(x, kRound);
    if (isWhole(x)) {
      Value moved = call("add.ps", {x, round, down});
      return call("permvar.sf", {powersFrom(0), asIntegers(moved)});
    }
    // Sums of halves have no rounding of their own, and need none beside f.
    Value moved = arith::AddFOp::create(b, arith::SubFOp::create(b, x, f), round);
    return call("vpermi2var.ps", {powersFrom(0), asIntegers(moved), powersFrom(kParts / 2)});
  });
  SmallVector<Value> slopes = polynomial(fs, kCoefficients);
  SmallVector<Value> steps = forEach(
      roots, fs, [&](Value root, Value f) -> Value { return arith::MulFOp::create(b, root, f); });
  for (auto [step, slope, root] : llvm::zip_equal(steps, slopes, roots))
    step = vector::FMAOp::create(b, step, slope, root);
  return forEach(steps, xs,
                 [&](Value step, Value x) { return callMasked("mask.scalef.ps", step, x); });
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

  /// Whether there are instructions that put 2^n together.
  bool scales(math::Exp2Op op) {
    auto type = cast<VectorType>(op.getType());
    return vectorBits == 512 && type.getRank() == 1 &&
           llvm::is_contained({8, 16}, type.getDimSize(0));
  }

  /// Whether `op` is the next one of neighbours.
  bool belongsTo(ArrayRef<math::Exp2Op> group, math::Exp2Op op) {
    math::Exp2Op previous = group.back();
    return group.size() < kInterleaved && op->getPrevNode() == previous &&
           scales(op) == scales(previous) &&
           !llvm::is_contained(group, op.getOperand().getDefiningOp<math::Exp2Op>());
  }

  void expand(ArrayRef<math::Exp2Op> group) {
    math::Exp2Op last = group.back();
    OpBuilder builder(last);
    ImplicitLocOpBuilder b(last.getLoc(), builder);
    Exp2Expansion expansion(b);
    SmallVector<Value> xs;
    for (math::Exp2Op op : group)
      xs.push_back(op.getOperand());
    SmallVector<Value> results = scales(last) ? expansion.withScalef(xs) : expansion.portable(xs);
    for (auto [at, op] : llvm::enumerate(SmallVector<math::Exp2Op>(group))) {
      op.replaceAllUsesWith(results[at]);
      op.erase();
    }
  }
};
} // namespace
} // namespace elfatt::cpu
