// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each mma.sync, from LLVM IR to results: fragments element by element, as the PTX ISA manual's
// formulas for rows and columns have them, and values against float64.
#include "SimulatorWarpKernel.h"

#include "elfatt/Target/Instructions.h"

#include <bit>
#include <cmath>
#include <functional>
#include <random>

using namespace elfatt::sim;
using elfatt::target::MmaType;

namespace {
uint16_t halfBits(float x) { return std::bit_cast<uint16_t>(static_cast<_Float16>(x)); }

uint32_t bitsOf(MmaType type, float x) {
  switch (type) {
  case MmaType::F16:
    return halfBits(x);
  case MmaType::BF16:
    return std::bit_cast<uint32_t>(x) >> 16;
  case MmaType::TF32:
    return std::bit_cast<uint32_t>(x);
  case MmaType::S8:
  case MmaType::U8:
    return static_cast<uint8_t>(static_cast<int>(x));
  }
  return 0;
}

using Place = std::pair<int, int>;
/// Row and column of element i of a lane, as the manual gives them.
using Formula = std::function<Place(int lane, int i)>;

struct MmaCase {
  std::string name; ///< behind llvm.nvvm.mma.
  int m, n, k;
  MmaType a, b;
  enum { F32, F16, S32 } sums, result;
  Formula placeA, placeB, placeC, placeD;
  int inA, inB, inC; ///< elements of a lane
  std::function<bool(int lane)> isOfProduct = [](int) { return true; };
};

int g(int lane) { return lane >> 2; }
int t(int lane) { return lane % 4; }
Place sumsOf16(int lane, int i) { return {i < 2 ? g(lane) : g(lane) + 8, t(lane) * 2 + (i & 1)}; }

// PTX ISA, "Matrix Fragments for mma.m16n8k8", "... m16n8k16", "... m16n8k4", "... m8n8k16",
// "... m16n8k16 with integer type", "... m16n8k32": transcribed, one formula each.
std::vector<MmaCase> makeCases() {
  std::vector<MmaCase> cases;
  Formula aK8 = [](int l, int i) { return Place(i < 2 ? g(l) : g(l) + 8, t(l) * 2 + (i & 1)); };
  Formula bK8 = [](int l, int i) { return Place(t(l) * 2 + i, g(l)); };
  Formula aK16 = [](int l, int i) {
    return Place(i < 2 || (4 <= i && i < 6) ? g(l) : g(l) + 8,
                 i < 4 ? t(l) * 2 + (i & 1) : t(l) * 2 + (i & 1) + 8);
  };
  Formula bK16 = [](int l, int i) {
    return Place(i < 2 ? t(l) * 2 + (i & 1) : t(l) * 2 + (i & 1) + 8, g(l));
  };
  for (auto [suffix, sums, result] : {std::tuple("f32.f32", MmaCase::F32, MmaCase::F32),
                                      {"f16.f16", MmaCase::F16, MmaCase::F16}}) {
    cases.push_back({std::string("m16n8k8.row.col.") + suffix, 16, 8, 8, MmaType::F16, MmaType::F16,
                     sums, result, aK8, bK8, sumsOf16, sumsOf16, 4, 2, 4});
    cases.push_back({std::string("m16n8k16.row.col.") + suffix, 16, 8, 16, MmaType::F16,
                     MmaType::F16, sums, result, aK16, bK16, sumsOf16, sumsOf16, 8, 4, 4});
  }
  cases.push_back({"m16n8k8.row.col.bf16", 16, 8, 8, MmaType::BF16, MmaType::BF16, MmaCase::F32,
                   MmaCase::F32, aK8, bK8, sumsOf16, sumsOf16, 4, 2, 4});
  cases.push_back({"m16n8k16.row.col.bf16", 16, 8, 16, MmaType::BF16, MmaType::BF16, MmaCase::F32,
                   MmaCase::F32, aK16, bK16, sumsOf16, sumsOf16, 8, 4, 4});
  cases.push_back({"m16n8k4.row.col.tf32", 16, 8, 4, MmaType::TF32, MmaType::TF32, MmaCase::F32,
                   MmaCase::F32, [](int l, int i) { return Place(i == 0 ? g(l) : g(l) + 8, t(l)); },
                   [](int l, int i) { return Place(t(l), g(l)); }, sumsOf16, sumsOf16, 2, 1, 4});
  cases.push_back({"m16n8k8.row.col.tf32", 16, 8, 8, MmaType::TF32, MmaType::TF32, MmaCase::F32,
                   MmaCase::F32,
                   [](int l, int i) {
                     return Place(i == 0 || i == 2 ? g(l) : g(l) + 8, i < 2 ? t(l) : t(l) + 4);
                   },
                   [](int l, int i) { return Place(i == 0 ? t(l) : t(l) + 4, g(l)); }, sumsOf16,
                   sumsOf16, 4, 2, 4});
  for (auto [types, a, b] : {std::tuple("s8", MmaType::S8, MmaType::S8),
                             {"u8", MmaType::U8, MmaType::U8},
                             {"s8.u8", MmaType::S8, MmaType::U8},
                             {"u8.s8", MmaType::U8, MmaType::S8}}) {
    std::string suffix = std::string(".row.col.") + types;
    Formula sumsOf8 = [](int l, int i) { return Place(g(l), t(l) * 2 + i); };
    cases.push_back({"m8n8k16" + suffix, 8, 8, 16, a, b, MmaCase::S32, MmaCase::S32,
                     [](int l, int i) { return Place(g(l), t(l) * 4 + i); },
                     [](int l, int i) { return Place(t(l) * 4 + i, g(l)); }, sumsOf8, sumsOf8, 4, 4,
                     2});
    cases.push_back(
        {"m16n8k16" + suffix, 16, 8, 16, a, b, MmaCase::S32, MmaCase::S32,
         [](int l, int i) { return Place(i < 4 ? g(l) : g(l) + 8, t(l) * 4 + (i & 3)); },
         [](int l, int i) { return Place(t(l) * 4 + i, g(l)); }, sumsOf16, sumsOf16, 8, 4, 4});
    cases.push_back({"m16n8k32" + suffix, 16, 8, 32, a, b, MmaCase::S32, MmaCase::S32,
                     [](int l, int i) {
                       return Place(i < 4 || (8 <= i && i < 12) ? g(l) : g(l) + 8,
                                    i < 8 ? t(l) * 4 + (i & 3) : t(l) * 4 + (i & 3) + 16);
                     },
                     [](int l, int i) {
                       return Place(i < 4 ? t(l) * 4 + (i & 3) : t(l) * 4 + (i & 3) + 16, g(l));
                     },
                     sumsOf16, sumsOf16, 16, 8, 4});
  }
  // "Matrix Fragments for mma.m8n8k4 with .f16": four products; these formulas are of each.
  for (std::string layoutA : {"row", "col"})
    for (std::string layoutB : {"row", "col"})
      for (auto [suffix, result, sums] : {std::tuple("f32.f32", MmaCase::F32, MmaCase::F32),
                                          {"f16.f16", MmaCase::F16, MmaCase::F16},
                                          {"f32.f16", MmaCase::F32, MmaCase::F16}})
        for (int product = 0; product < 4; ++product) {
          auto line = [](int l) { return l < 16 ? l % 4 : l % 4 + 4; };
          auto across = [](int l, int i) { return l < 16 ? i % 4 : i % 4 + 4; };
          Formula rowA = [=](int l, int i) { return Place(line(l), i); };
          Formula columnA = [=](int l, int i) { return Place(across(l, i), l % 4); };
          Formula rowB = [=](int l, int i) { return Place(l % 4, across(l, i)); };
          Formula columnB = [=](int l, int i) { return Place(i, line(l)); };
          Formula halfC = [=](int l, int i) { return Place(line(l), i); };
          Formula floatC = [=](int l, int i) {
            int x = (l & 0b1) + (i & 0b10);
            return Place(l < 16 ? x : x + 4, (i & 0b100) + (l & 0b10) + (i & 0b1));
          };
          cases.push_back({"m8n8k4." + layoutA + "." + layoutB + "." + suffix, 8, 8, 4,
                           MmaType::F16, MmaType::F16, sums, result,
                           layoutA == "row" ? rowA : columnA, layoutB == "row" ? rowB : columnB,
                           sums == MmaCase::F16 ? halfC : floatC,
                           result == MmaCase::F16 ? halfC : floatC, 4, 4, 8,
                           [product](int lane) { return lane % 16 / 4 == product; }});
        }
  return cases;
}

/// A, B, C of one product to the registers of a warp, and D back.
class Fragments {
public:
  explicit Fragments(const MmaCase &mma)
      : mma(mma), a(mma.m * mma.k), b(mma.k * mma.n), c(mma.m * mma.n) {}
  float &atA(int row, int column) { return a[row * mma.k + column]; }
  float &atB(int row, int column) { return b[row * mma.n + column]; }
  float &atC(int row, int column) { return c[row * mma.n + column]; }

  Words pack() {
    Words words(kLanes);
    for (int lane = 0; lane < kLanes; ++lane) {
      if (!mma.isOfProduct(lane))
        continue;
      int word = 0;
      auto put = [&](int count, int bits, auto bitsAt) {
        for (int i = 0; i < count; ++i)
          words[lane][word + i * bits / 32] |= bitsAt(i) << i * bits % 32;
        word += count * bits / 32;
      };
      put(mma.inA, getBits(mma.a), [&](int i) {
        auto [row, column] = mma.placeA(lane, i);
        return bitsOf(mma.a, atA(row, column));
      });
      put(mma.inB, getBits(mma.b), [&](int i) {
        auto [row, column] = mma.placeB(lane, i);
        return bitsOf(mma.b, atB(row, column));
      });
      put(mma.inC, mma.sums == MmaCase::F16 ? 16 : 32, [&](int i) -> uint32_t {
        auto [row, column] = mma.placeC(lane, i);
        float value = atC(row, column);
        return mma.sums == MmaCase::F16   ? halfBits(value)
               : mma.sums == MmaCase::S32 ? uint32_t(int(value))
                                          : std::bit_cast<uint32_t>(value);
      });
    }
    return words;
  }

  std::vector<float> unpack(const Words &words) {
    std::vector<float> d(mma.m * mma.n, NAN);
    for (int lane = 0; lane < kLanes; ++lane)
      for (int i = 0; i < mma.inC && mma.isOfProduct(lane); ++i) {
        auto [row, column] = mma.placeD(lane, i);
        uint32_t word = words[lane][mma.result == MmaCase::F16 ? i / 2 : i];
        float &to = d[row * mma.n + column];
        if (mma.result == MmaCase::F16)
          to = static_cast<float>(std::bit_cast<_Float16>(uint16_t(word >> 16 * (i % 2))));
        else
          to = mma.result == MmaCase::S32 ? float(int32_t(word)) : std::bit_cast<float>(word);
      }
    return d;
  }

  /// In float64, rounded once.
  std::vector<float> multiply() {
    std::vector<float> d;
    for (int row = 0; row < mma.m; ++row)
      for (int column = 0; column < mma.n; ++column) {
        double sum = atC(row, column);
        for (int k = 0; k < mma.k; ++k)
          sum += double(atA(row, k)) * atB(k, column);
        d.push_back(mma.result == MmaCase::F16 ? float(static_cast<_Float16>(sum)) : float(sum));
      }
    return d;
  }

private:
  const MmaCase &mma;
  std::vector<float> a, b, c;
};

TEST(SimulatorMma, CasesAreAllOfTheTable) {
  std::vector<bool> seen(elfatt::target::getMmaShapes().size());
  for (const MmaCase &mma : makeCases()) {
    const elfatt::target::MmaShape *shape = elfatt::target::findMma("llvm.nvvm.mma." + mma.name);
    ASSERT_TRUE(shape) << mma.name;
    seen[shape - elfatt::target::getMmaShapes().data()] = true;
  }
  EXPECT_TRUE(llvm::all_of(seen, [](bool x) { return x; }));
}

// One element of A and one of B at a time: the product must land at its place and nowhere else.
TEST(SimulatorMma, EveryElementIsAtTheManualsPlace) {
  for (const MmaCase &mma : makeCases()) {
    WarpKernel kernel("llvm.nvvm.mma." + mma.name);
    // Each element of A once, B's columns in turn: every element of both.
    for (int row = 0; row < mma.m; ++row)
      for (int k = 0; k < mma.k; ++k) {
        int column = (row + k) % mma.n;
        Fragments x(mma);
        x.atA(row, k) = 3;
        x.atB(k, column) = 5;
        x.atC(mma.m - 1 - row, column) += 7;
        ASSERT_EQ(x.unpack(kernel.run(x.pack())), x.multiply())
            << mma.name << " A[" << row << "][" << k << "]";
      }
  }
}

TEST(SimulatorMma, RandomProducts) {
  std::mt19937 random(1);
  for (const MmaCase &mma : makeCases()) {
    WarpKernel kernel("llvm.nvvm.mma." + mma.name);
    Fragments x(mma);
    // Values that each type holds, and whose sums f16 holds.
    auto draw = [&](MmaType type) {
      int value = int(random() % 17);
      if (type == MmaType::U8)
        return float(value * 15);
      if (type == MmaType::S8)
        return float(value * 15 - 120);
      return float(value - 8) / 8;
    };
    for (int row = 0; row < mma.m; ++row)
      for (int k = 0; k < mma.k; ++k)
        x.atA(row, k) = draw(mma.a);
    for (int k = 0; k < mma.k; ++k)
      for (int column = 0; column < mma.n; ++column)
        x.atB(k, column) = draw(mma.b);
    for (int row = 0; row < mma.m; ++row)
      for (int column = 0; column < mma.n; ++column)
        x.atC(row, column) = draw(MmaType::F16) * (mma.result == MmaCase::S32 ? 8 : 1);
    EXPECT_EQ(x.unpack(kernel.run(x.pack())), x.multiply()) << mma.name;
    EXPECT_EQ(kernel.last.mma, 1u);
    uint64_t operations = 0;
    for (uint64_t n : kernel.last.tensorOps)
      operations += n;
    uint64_t products = mma.k == 4 && mma.a == MmaType::F16 ? 4 : 1;
    EXPECT_EQ(operations, 2u * mma.m * mma.n * mma.k * products) << mma.name;
  }
}

TEST(SimulatorMma, IntegersWrapOrSaturate) {
  for (bool saturates : {false, true}) {
    WarpKernel kernel(std::string("llvm.nvvm.mma.m8n8k16.row.col.") +
                      (saturates ? "satfinite." : "") + "s8");
    Words in(kLanes);
    for (auto &lane : in)
      lane = {0x01010101, 0x01010101, 0x7fffffff, 0x7fffffff};
    EXPECT_EQ(int32_t(kernel.run(in)[5][1]), saturates ? 0x7fffffff : int32_t(0x8000000f));
  }
}

TEST(SimulatorMma, LowBitsOfTF32AreNotLookedAt) {
  WarpKernel kernel("llvm.nvvm.mma.m16n8k4.row.col.tf32");
  Words in(kLanes);
  for (auto &lane : in)
    lane = {0x3f801fff, 0x3f801fff, 0x3f801fff};
  EXPECT_EQ(std::bit_cast<float>(kernel.run(in)[0][0]), 4.0f);
}
} // namespace
