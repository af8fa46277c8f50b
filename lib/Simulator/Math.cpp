// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Functions of one thread. Approximations are computed exactly and rounded once, which is
// within the bounds that the PTX ISA manual gives.
#include "Intrinsics.h"

#include "llvm/ADT/STLExtras.h"

#include <bit>
#include <cmath>

using namespace llvm;
using namespace elfatt::sim;

namespace {
void countSpecial() { ++Block::current()->getCounts().special; }
void countExp2() { ++Block::current()->getCounts().exp2; }

/// .ftz: subnormal operands and results are zero, with their sign.
float flush(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }

float toFloat(uint16_t half) { return static_cast<float>(std::bit_cast<_Float16>(half)); }
uint16_t toHalf(float x) { return std::bit_cast<uint16_t>(static_cast<_Float16>(x)); }
float bfloatToFloat(uint16_t x) { return std::bit_cast<float>(uint32_t(x) << 16); }
uint16_t toBFloat(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  return (std::isnan(x) ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
uint32_t pack(uint16_t low, uint16_t high) { return low | uint32_t(high) << 16; }

/// The one that is a number, and -0 below +0.
float maximum(float a, float b) {
  return std::isnan(a) ? b : std::isnan(b) ? a : a == b ? (std::signbit(a) ? b : a) : a > b ? a : b;
}
float minimum(float a, float b) { return -maximum(-a, -b); }
float maximumNaN(float a, float b) { return std::isnan(a) || std::isnan(b) ? NAN : maximum(a, b); }
float minimumNaN(float a, float b) { return -maximumNaN(-a, -b); }

/// Round to nearest, halves away from zero, to 10 bits of mantissa.
uint32_t toTF32(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  return std::isfinite(x) ? (bits + 0x1000) & ~uint32_t(0x1fff) : bits;
}

template <typename F> void *address(F function) { return reinterpret_cast<void *>(+function); }
#define UNARY(expression) address([](float x) -> float { return expression; })
#define SPECIAL(expression)                                                                        \
  address([](float x) -> float {                                                                   \
    countSpecial();                                                                                \
    return expression;                                                                             \
  })
#define BINARY(expression) address([](float x, float y) -> float { return expression; })
#define TERNARY(expression) address([](float x, float y, float z) -> float { return expression; })
#define DOUBLE(expression) address([](double x) -> double { return expression; })
} // namespace

ArrayRef<MathFunction> elfatt::sim::getMathFunctions() {
  static const MathFunction functions[] = {
      {"llvm.nvvm.ex2.approx.ftz.f32", address([](float x) -> float {
         countExp2();
         return flush(std::exp2(flush(x)));
       }),
       true},
      {"llvm.nvvm.ex2.approx.f32", address([](float x) -> float {
         countExp2();
         return std::exp2(x);
       }),
       true},
      {"llvm.nvvm.ex2.approx.f16", address([](uint16_t x) -> uint16_t {
         countExp2();
         return toHalf(std::exp2(toFloat(x)));
       }),
       true},
      {"llvm.nvvm.ex2.approx.v2f16", address([](uint32_t x) -> uint32_t {
         countExp2();
         countExp2();
         return pack(toHalf(std::exp2(toFloat(x))), toHalf(std::exp2(toFloat(x >> 16))));
       }),
       true},
      {"llvm.nvvm.ex2.approx.ftz.bf16", address([](uint16_t x) -> uint16_t {
         countExp2();
         return toBFloat(flush(std::exp2(flush(bfloatToFloat(x)))));
       }),
       true},
      {"llvm.nvvm.ex2.approx.ftz.v2bf16", address([](uint32_t x) -> uint32_t {
         countExp2();
         countExp2();
         auto one = [](uint16_t x) { return toBFloat(flush(std::exp2(flush(bfloatToFloat(x))))); };
         return pack(one(x), one(x >> 16));
       }),
       true},
      {"llvm.nvvm.lg2.approx.f", SPECIAL(std::log2(x)), true},
      {"llvm.nvvm.lg2.approx.ftz.f", SPECIAL(flush(std::log2(flush(x)))), true},
      {"llvm.nvvm.rcp.approx.ftz.f", SPECIAL(flush(1 / flush(x))), true},
      {"llvm.nvvm.rcp.rn.f", SPECIAL(1 / x), true},
      {"llvm.nvvm.rcp.rn.ftz.f", SPECIAL(flush(1 / flush(x))), true},
      {"llvm.nvvm.rsqrt.approx.f", SPECIAL(static_cast<float>(1 / std::sqrt(double(x)))), true},
      {"llvm.nvvm.rsqrt.approx.ftz.f", SPECIAL(static_cast<float>(1 / std::sqrt(double(flush(x))))),
       true},
      {"llvm.nvvm.sqrt.approx.f", SPECIAL(std::sqrt(x)), true},
      {"llvm.nvvm.sqrt.approx.ftz.f", SPECIAL(std::sqrt(flush(x))), true},
      {"llvm.nvvm.sqrt.rn.f", SPECIAL(std::sqrt(x)), true},
      {"llvm.nvvm.sqrt.rn.ftz.f", SPECIAL(std::sqrt(flush(x))), true},
      {"llvm.nvvm.sin.approx.f", SPECIAL(std::sin(x)), true},
      {"llvm.nvvm.sin.approx.ftz.f", SPECIAL(flush(std::sin(flush(x)))), true},
      {"llvm.nvvm.cos.approx.f", SPECIAL(std::cos(x)), true},
      {"llvm.nvvm.cos.approx.ftz.f", SPECIAL(flush(std::cos(flush(x)))), true},
      {"llvm.nvvm.fabs.f32", UNARY(std::fabs(x)), false},
      {"llvm.nvvm.fabs.ftz.f32", UNARY(flush(std::fabs(x))), false},
      {"llvm.nvvm.floor.f", UNARY(std::floor(x)), false},
      {"llvm.nvvm.ceil.f", UNARY(std::ceil(x)), false},
      {"llvm.nvvm.saturate.f", UNARY(minimum(maximum(x, 0), 1)), false},
      {"llvm.nvvm.add.rn.f", BINARY(x + y), false},
      {"llvm.nvvm.add.rn.ftz.f", BINARY(flush(flush(x) + flush(y))), false},
      {"llvm.nvvm.mul.rn.f", BINARY(x * y), false},
      {"llvm.nvvm.mul.rn.ftz.f", BINARY(flush(flush(x) * flush(y))), false},
      {"llvm.nvvm.div.rn.f", BINARY((countSpecial(), x / y)), true},
      {"llvm.nvvm.div.approx.f", BINARY((countSpecial(), x / y)), true},
      {"llvm.nvvm.div.approx.ftz.f", BINARY((countSpecial(), flush(flush(x) / flush(y)))), true},
      {"llvm.nvvm.fma.rn.f", TERNARY(std::fma(x, y, z)), false},
      {"llvm.nvvm.fma.rn.ftz.f", TERNARY(flush(std::fma(flush(x), flush(y), flush(z)))), false},
      {"llvm.nvvm.fmax.f", BINARY(maximum(x, y)), false},
      {"llvm.nvvm.fmax.ftz.f", BINARY(flush(maximum(x, y))), false},
      {"llvm.nvvm.fmax.nan.f", BINARY(maximumNaN(x, y)), false},
      {"llvm.nvvm.fmax.ftz.nan.f", BINARY(flush(maximumNaN(x, y))), false},
      {"llvm.nvvm.fmin.f", BINARY(minimum(x, y)), false},
      {"llvm.nvvm.fmin.ftz.f", BINARY(flush(minimum(x, y))), false},
      {"llvm.nvvm.fmin.nan.f", BINARY(minimumNaN(x, y)), false},
      {"llvm.nvvm.fmin.ftz.nan.f", BINARY(flush(minimumNaN(x, y))), false},
      {"llvm.nvvm.f2bf16.rn", address([](float x) -> uint16_t { return toBFloat(x); }), false},
      {"llvm.nvvm.ff2bf16x2.rn", address([](float high, float low) -> uint32_t {
         return pack(toBFloat(low), toBFloat(high));
       }),
       false},
      {"llvm.nvvm.ff2f16x2.rn",
       address([](float high, float low) -> uint32_t { return pack(toHalf(low), toHalf(high)); }),
       false},
      {"llvm.nvvm.f2tf32.rna", address([](float x) -> uint32_t { return toTF32(x); }), false},
      // What NVPTX has one instruction for.
      {"llvm.tanh.f32", SPECIAL(std::tanh(x)), true},
      {"llvm.sqrt.f32", SPECIAL(std::sqrt(x)), true},
      {"llvm.sin.f32", SPECIAL(std::sin(x)), true},
      {"llvm.cos.f32", SPECIAL(std::cos(x)), true},
      {"llvm.log2.f32", SPECIAL(std::log2(x)), true},
      {"llvm.exp2.f32", address([](float x) -> float {
         countExp2();
         return std::exp2(x);
       }),
       true},
      // The device library, as upstream's lowering of `math` calls it.
      {"__nv_expf", address([](float x) -> float {
         countExp2();
         return std::exp(x);
       }),
       true},
      {"__nv_exp2f", address([](float x) -> float {
         countExp2();
         return std::exp2(x);
       }),
       true},
      {"__nv_logf", SPECIAL(std::log(x)), true},
      {"__nv_log2f", SPECIAL(std::log2(x)), true},
      {"__nv_sinf", SPECIAL(std::sin(x)), true},
      {"__nv_cosf", SPECIAL(std::cos(x)), true},
      {"__nv_tanhf", SPECIAL(std::tanh(x)), true},
      {"__nv_erff", SPECIAL(std::erf(x)), true},
      {"__nv_sqrtf", SPECIAL(std::sqrt(x)), true},
      {"__nv_rsqrtf", SPECIAL(static_cast<float>(1 / std::sqrt(double(x)))), true},
      {"__nv_powf", BINARY((countSpecial(), std::pow(x, y))), true},
      {"__nv_fabsf", UNARY(std::fabs(x)), false},
      {"__nv_floorf", UNARY(std::floor(x)), false},
      {"__nv_ceilf", UNARY(std::ceil(x)), false},
      {"__nv_roundf", UNARY(std::round(x)), false},
      {"__nv_fmaf", TERNARY(std::fma(x, y, z)), false},
      {"__nv_fmaxf", BINARY(maximum(x, y)), false},
      {"__nv_fminf", BINARY(minimum(x, y)), false},
      {"__nv_exp", DOUBLE(std::exp(x)), false},
      {"__nv_log", DOUBLE(std::log(x)), false},
      {"__nv_sqrt", DOUBLE(std::sqrt(x)), false},
      {"__nv_tanh", DOUBLE(std::tanh(x)), false},
      {"__nv_fabs", DOUBLE(std::fabs(x)), false},
  };
  return functions;
}

const MathFunction *elfatt::sim::findMath(StringRef name) {
  for (const MathFunction &function : getMathFunctions())
    if (name == function.name)
      return &function;
  return nullptr;
}
