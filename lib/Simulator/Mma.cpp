// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// PTX ISA, "Matrix Fragments for mma": which element of A (m x k), B (k x n) and C (m x n)
// each register of each lane holds. A register has as many neighbours in k as its 32 bits take.
#include "Collectives.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace elfatt::sim {
namespace {
using target::MmaShape;
using target::MmaType;

/// Element i of a register.
double readElement(MmaType type, uint32_t word, int i) {
  switch (type) {
  case MmaType::F16:
    return static_cast<float>(std::bit_cast<_Float16>(static_cast<uint16_t>(word >> (16 * i))));
  case MmaType::BF16:
    return std::bit_cast<float>(word >> (16 * i) << 16);
  case MmaType::TF32:
    // The low 13 bits are not looked at.
    return std::bit_cast<float>(word & ~uint32_t(0x1fff));
  case MmaType::S8:
    return static_cast<int8_t>(word >> (8 * i));
  case MmaType::U8:
    return static_cast<uint8_t>(word >> (8 * i));
  }
  __builtin_unreachable();
}

uint16_t toHalf(double x) { return std::bit_cast<uint16_t>(static_cast<_Float16>(x)); }

/// A product of doubles: exact for each kind but the last bits of long f32 sums.
struct Matrices {
  double a[16][32], b[32][8], c[16][8];
  void multiply(const MmaShape &shape) {
    for (int row = 0; row < shape.m; ++row)
      for (int k = 0; k < shape.k; ++k)
        for (int column = 0; column < shape.n; ++column)
          c[row][column] += a[row][k] * b[k][column];
  }
};

/// m16n8k*, m8n8k16: groups of four lanes share a row of A and a column of B.
void loadFragments(const Collective &mma, const WarpRegisters &in, Matrices &x) {
  const MmaShape &shape = *mma.shape;
  int each = 32 / getBits(shape.type);
  int rowHalves = shape.m / 8, kSteps = shape.k / (4 * each);
  for (int lane = 0; lane < kLanes; ++lane) {
    int group = lane >> 2, inGroup = lane % 4;
    const uint32_t *registers = in[lane].data();
    for (int step = 0; step < kSteps; ++step)
      for (int half = 0; half < rowHalves; ++half, ++registers)
        for (int i = 0; i < each; ++i)
          x.a[group + 8 * half][(inGroup + 4 * step) * each + i] =
              readElement(shape.type, *registers, i);
    MmaType type = mma.isBUnsigned             ? MmaType::U8
                   : shape.type == MmaType::U8 ? MmaType::S8
                                               : shape.type;
    for (int step = 0; step < kSteps; ++step, ++registers)
      for (int i = 0; i < each; ++i)
        x.b[(inGroup + 4 * step) * each + i][group] = readElement(type, *registers, i);
    for (int i = 0; i < 2 * rowHalves; ++i) {
      int row = group + 8 * (i / 2), column = 2 * inGroup + i % 2;
      if (getBits(shape.type) == 8)
        x.c[row][column] = static_cast<int32_t>(registers[i]);
      else if (mma.sumsF16)
        x.c[row][column] = readElement(MmaType::F16, registers[i / 2], i % 2);
      else
        x.c[row][column] = std::bit_cast<float>(registers[i]);
    }
  }
}

void storeFragments(const Collective &mma, const Matrices &x, WarpRegisters &out) {
  int rowHalves = mma.shape->m / 8;
  for (int lane = 0; lane < kLanes; ++lane)
    for (int i = 0; i < 2 * rowHalves; ++i) {
      double value = x.c[(lane >> 2) + 8 * (i / 2)][2 * (lane % 4) + i % 2];
      if (getBits(mma.shape->type) == 8) {
        // Sums wrap around, unless they saturate.
        double low = std::numeric_limits<int32_t>::min(),
               high = std::numeric_limits<int32_t>::max();
        if (mma.saturates)
          value = std::clamp(value, low, high);
        out[lane][i] = static_cast<uint32_t>(static_cast<int64_t>(value));
      } else if (mma.resultF16) {
        uint32_t bits = toHalf(value);
        out[lane][i / 2] = i % 2 ? out[lane][i / 2] | bits << 16 : bits;
      } else {
        out[lane][i] = std::bit_cast<uint32_t>(static_cast<float>(value));
      }
    }
}

/// m8n8k4: four products, each of four lanes of the lower half of the warp and four of the
/// upper half.
void multiplyQuadPairs(const Collective &mma, const WarpRegisters &in, WarpRegisters &out) {
  for (int pair = 0; pair < 4; ++pair) {
    Matrices x;
    // Row of A or column of B that a lane holds, where its elements go along k.
    auto lineOf = [](int lane) { return lane % 4 + (lane < 16 ? 0 : 4); };
    auto isOfPair = [&](int lane) { return lane % 16 / 4 == pair; };
    auto placeOfSum = [&](bool isF16, int lane, int i) {
      if (isF16)
        return std::pair(lineOf(lane), i);
      return std::pair((lane & 1) + (i & 2) + (lane < 16 ? 0 : 4), (i & 4) + (lane & 2) + (i & 1));
    };
    for (int lane = 0; lane < kLanes; ++lane) {
      if (!isOfPair(lane))
        continue;
      for (int i = 0; i < 4; ++i) {
        double a = readElement(MmaType::F16, in[lane][i / 2], i % 2);
        double b = readElement(MmaType::F16, in[lane][2 + i / 2], i % 2);
        int across = i + (lane < 16 ? 0 : 4);
        (mma.isAColumnMajor ? x.a[across][lane % 4] : x.a[lineOf(lane)][i]) = a;
        (mma.isBRowMajor ? x.b[lane % 4][across] : x.b[i][lineOf(lane)]) = b;
      }
      for (int i = 0; i < 8; ++i) {
        auto [row, column] = placeOfSum(mma.sumsF16, lane, i);
        x.c[row][column] = mma.sumsF16 ? readElement(MmaType::F16, in[lane][4 + i / 2], i % 2)
                                       : std::bit_cast<float>(in[lane][4 + i]);
      }
    }
    x.multiply(*mma.shape);
    for (int lane = 0; lane < kLanes; ++lane)
      for (int i = 0; i < 8 && isOfPair(lane); ++i) {
        auto [row, column] = placeOfSum(mma.resultF16, lane, i);
        if (mma.resultF16) {
          uint32_t bits = toHalf(x.c[row][column]);
          out[lane][i / 2] = i % 2 ? out[lane][i / 2] | bits << 16 : bits;
        } else {
          out[lane][i] = std::bit_cast<uint32_t>(static_cast<float>(x.c[row][column]));
        }
      }
  }
}
} // namespace

void executeMma(const Collective &mma, const WarpRegisters &in, WarpRegisters &out) {
  if (mma.shape->k == 4 && mma.shape->type == MmaType::F16)
    return multiplyQuadPairs(mma, in, out);
  Matrices x;
  loadFragments(mma, in, x);
  x.multiply(*mma.shape);
  storeFragments(mma, x, out);
}

} // namespace elfatt::sim
