// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Functions of one thread against float64, within the errors that the PTX ISA manual gives.
#include "SimulatorKernels.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Intrinsics.h"

#include <bit>
#include <cmath>
#include <functional>

using namespace elfatt::sim;

namespace {
/// f(x[t], ...) of a function by name, for values as words.
std::vector<uint32_t> apply(const std::string &name, const std::string &signature,
                            std::vector<std::vector<uint32_t>> operands, LaunchCounts *counts) {
  // "float(float, float)"
  std::string result = signature.substr(0, signature.find('('));
  std::string types = signature.substr(result.size() + 1);
  types.pop_back();
  llvm::SmallVector<llvm::StringRef> parts;
  llvm::StringRef(types).split(parts, ", ");
  std::string text = "declare " + result + " @" + name + "(" + types + ")\n" +
                     "define ptx_kernel void @k(ptr %out";
  for (size_t i = 0; i < parts.size(); ++i)
    text += ", ptr %in" + std::to_string(i);
  text += ") {\n%t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n";
  std::string call;
  for (auto [i, type] : llvm::enumerate(parts)) {
    std::string n = std::to_string(i);
    text += "%p" + n + " = getelementptr i32, ptr %in" + n + ", i32 %t\n%x" + n + " = load " +
            type.str() + ", ptr %p" + n + ", align 4\n";
    call += (i ? ", " : "") + type.str() + " %x" + n;
  }
  text += "%y = call " + result + " @" + name + "(" + call +
          ")\n%q = getelementptr i32, ptr %out, i32 %t\nstore " + result +
          " %y, ptr %q, align 4\nret void\n}";
  auto program = compile(text);
  std::vector<uint32_t> out(operands[0].size());
  std::vector<Buffer> buffers = {bufferOf(out)};
  for (auto &operand : operands)
    buffers.push_back(bufferOf(operand));
  LaunchConfig config;
  config.block = {static_cast<uint32_t>(out.size())};
  auto launched = launch(*program, "k", config, buffers);
  if (!launched)
    ADD_FAILURE() << name << ": " << llvm::toString(launched.takeError());
  else if (counts)
    *counts = *launched;
  return out;
}

uint32_t bits(float x) { return std::bit_cast<uint32_t>(x); }
float number(uint32_t x) { return std::bit_cast<float>(x); }
uint16_t half(float x) { return std::bit_cast<uint16_t>(static_cast<_Float16>(x)); }
float fromHalf(uint32_t x) { return float(std::bit_cast<_Float16>(uint16_t(x))); }

std::vector<uint32_t> sampled(float from, float to) {
  std::vector<uint32_t> result;
  for (int i = 0; i <= 500; ++i)
    result.push_back(bits(from + (to - from) * i / 500));
  return result;
}

struct Unary {
  std::string name;
  std::function<double(double)> exact;
  float from, to;
  double absolute, relative; ///< errors allowed
  bool countsAsExp2 = false;
};

TEST(SimulatorMath, ApproximationsAreWithinTheManualsErrors) {
  auto rsqrt = [](double x) { return 1 / std::sqrt(x); };
  auto inverse = [](double x) { return 1 / x; };
  auto exp2 = [](double x) { return std::exp2(x); };
  auto log2 = [](double x) { return std::log2(x); };
  const double ulp = std::exp2(-23);
  for (const Unary &unary : {
           Unary{"llvm.nvvm.ex2.approx.ftz.f32", exp2, -125, 126, 0, 2 * ulp, true},
           Unary{"llvm.nvvm.ex2.approx.f32", exp2, -125, 126, 0, 2 * ulp, true},
           Unary{"llvm.nvvm.lg2.approx.f", log2, 2.1f, 1000, 0, 2 * ulp},
           Unary{"llvm.nvvm.lg2.approx.ftz.f", log2, 0.5f, 2, std::exp2(-22), 0},
           Unary{"llvm.nvvm.rcp.approx.ftz.f", inverse, 0.01f, 1000, 0, ulp},
           Unary{"llvm.nvvm.rcp.rn.f", inverse, 0.01f, 1000, 0, ulp / 2},
           Unary{"llvm.nvvm.rsqrt.approx.f", rsqrt, 0.01f, 1000, 0, std::exp2(-22.9)},
           Unary{"llvm.nvvm.rsqrt.approx.ftz.f", rsqrt, 0.01f, 1000, 0, std::exp2(-22.9)},
           Unary{"llvm.nvvm.sqrt.approx.f", [](double x) { return std::sqrt(x); }, 0.01f, 1000, 0,
                 ulp},
           Unary{"llvm.nvvm.sin.approx.f", [](double x) { return std::sin(x); }, -3, 3,
                 std::exp2(-20.5), 0},
           Unary{"llvm.nvvm.cos.approx.f", [](double x) { return std::cos(x); }, -3, 3,
                 std::exp2(-20.5), 0},
           Unary{"llvm.tanh.f32", [](double x) { return std::tanh(x); }, -9, 9, 0,
                 std::ldexp(1, -11)},
           Unary{"__nv_expf", [](double x) { return std::exp(x); }, -80, 80, 0, 2 * ulp, true},
           Unary{"__nv_tanhf", [](double x) { return std::tanh(x); }, -9, 9, 0, 2 * ulp},
       }) {
    auto in = sampled(unary.from, unary.to);
    LaunchCounts counts;
    auto out = apply(unary.name, "float(float)", {in}, &counts);
    for (size_t i = 0; i < in.size(); ++i) {
      double expected = unary.exact(number(in[i]));
      double allowed = unary.absolute + unary.relative * std::abs(expected);
      EXPECT_LE(std::abs(number(out[i]) - expected), allowed)
          << unary.name << "(" << number(in[i]) << ")";
    }
    EXPECT_EQ(counts.exp2, unary.countsAsExp2 ? in.size() : 0) << unary.name;
    EXPECT_EQ(counts.special, unary.countsAsExp2 ? 0 : in.size()) << unary.name;
  }
}

// PTX ISA, tables of "ex2", "rcp", "rsqrt", "lg2" for special operands.
TEST(SimulatorMath, SpecialOperands) {
  const float inf = INFINITY;
  auto check = [&](const std::string &name, std::vector<std::pair<float, float>> cases) {
    std::vector<uint32_t> in;
    for (auto [x, y] : cases)
      in.push_back(bits(x));
    auto out = apply(name, "float(float)", {in}, nullptr);
    for (auto [i, pair] : llvm::enumerate(cases))
      EXPECT_TRUE(out[i] == bits(pair.second) ||
                  (std::isnan(pair.second) && std::isnan(number(out[i]))))
          << name << "(" << pair.first << ") = " << number(out[i]);
  };
  check(
      "llvm.nvvm.ex2.approx.ftz.f32",
      {{-inf, 0}, {1e-40f, 1}, {-0.0f, 1}, {inf, inf}, {-140, 0}, {3, 8}, {NAN, NAN}, {200, inf}});
  check("llvm.nvvm.ex2.approx.f32", {{-140, std::ldexp(1.0f, -140)}, {-inf, 0}});
  check("llvm.nvvm.rcp.approx.ftz.f",
        {{inf, 0}, {0, inf}, {-0.0f, -inf}, {1e-40f, inf}, {4, 0.25f}});
  check("llvm.nvvm.rsqrt.approx.ftz.f", {{-1, NAN}, {0, inf}, {inf, 0}, {4, 0.5f}});
  check("llvm.nvvm.lg2.approx.ftz.f", {{0, -inf}, {1e-40f, -inf}, {-1, NAN}, {inf, inf}, {8, 3}});
}

TEST(SimulatorMath, MinimaAndMaxima) {
  std::vector<uint32_t> a = {bits(1), bits(NAN), bits(2), bits(-0.0f)};
  std::vector<uint32_t> b = {bits(3), bits(5), bits(NAN), bits(0.0f)};
  auto run = [&](const std::string &name) {
    return apply("llvm.nvvm." + name, "float(float, float)", {a, b}, nullptr);
  };
  auto same = [](const std::vector<uint32_t> &out, std::vector<float> expected) {
    for (size_t i = 0; i < out.size(); ++i)
      EXPECT_TRUE(out[i] == bits(expected[i]) ||
                  (std::isnan(expected[i]) && std::isnan(number(out[i]))))
          << i << ": " << number(out[i]);
  };
  same(run("fmax.f"), {3, 5, 2, 0});
  same(run("fmin.f"), {1, 5, 2, -0.0f});
  same(run("fmax.nan.f"), {3, NAN, NAN, 0});
  same(run("fmin.nan.f"), {1, NAN, NAN, -0.0f});
}

TEST(SimulatorMath, ConversionsRoundToNearest) {
  // A tie to even in bf16 (7 bits): 1 + 2^-8 -> 1, 1 + 3 2^-8 -> 1 + 2^-6.
  std::vector<uint32_t> low = {bits(1 + 0x1p-8f), bits(1 + 3 * 0x1p-8f), bits(-3.5f)};
  std::vector<uint32_t> high = {bits(2), bits(INFINITY), bits(0)};
  auto bf16 = apply("llvm.nvvm.ff2bf16x2.rn", "<2 x bfloat>(float, float)", {high, low}, nullptr);
  EXPECT_EQ(bf16[0], 0x40003f80u);
  EXPECT_EQ(bf16[1], 0x7f803f82u);
  EXPECT_EQ(bf16[2], 0x0000c060u);
  auto f16 = apply("llvm.nvvm.ff2f16x2.rn", "<2 x half>(float, float)", {high, low}, nullptr);
  EXPECT_EQ(f16[2], uint32_t(half(-3.5f)));
  EXPECT_EQ(f16[0] >> 16, uint32_t(half(2)));
  // cvt.rna.tf32: 10 bits, ties away from zero.
  auto tf32 = apply("llvm.nvvm.f2tf32.rna", "i32(float)",
                    {{bits(1 + 0x1p-11f), bits(1 + 0x1p-12f), bits(INFINITY)}}, nullptr);
  EXPECT_EQ(tf32, (std::vector<uint32_t>{bits(1 + 0x1p-10f), bits(1), bits(INFINITY)}));
}

TEST(SimulatorMath, PairsOfHalves) {
  std::vector<uint32_t> in = {uint32_t(half(-1)) | uint32_t(half(3)) << 16, uint32_t(half(-30))
                                                                                << 16};
  LaunchCounts counts;
  auto out = apply("llvm.nvvm.ex2.approx.v2f16", "<2 x half>(<2 x half>)", {in}, &counts);
  EXPECT_EQ(fromHalf(out[0]), 0.5f);
  EXPECT_EQ(fromHalf(out[0] >> 16), 8.0f);
  EXPECT_EQ(fromHalf(out[1]), 1.0f);
  EXPECT_EQ(counts.exp2, 4u);
}
} // namespace
