// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "WarpOps.h"

#include <bit>

namespace elfatt::sim {

const char *getName(WarpOp op) {
  switch (op) {
  case WarpOp::ShflIdx:
    return "shfl.sync.idx";
  case WarpOp::ShflBfly:
    return "shfl.sync.bfly";
  case WarpOp::ShflUp:
    return "shfl.sync.up";
  case WarpOp::ShflDown:
    return "shfl.sync.down";
  case WarpOp::MmaF16:
    return "mma.sync.m16n8k16.f16";
  case WarpOp::MmaBF16:
    return "mma.sync.m16n8k16.bf16";
  }
  __builtin_unreachable();
}

static bool isMma(WarpOp op) { return op == WarpOp::MmaF16 || op == WarpOp::MmaBF16; }

int getNumOperands(WarpOp op) { return isMma(op) ? 10 : 4; }

int getNumResults(WarpOp op) { return isMma(op) ? 4 : 2; }

/// PTX ISA, "shfl.sync": the source lane and whether it is in the segment.
static void shuffle(WarpOp op, uint32_t mask, const WarpRegisters &in, WarpRegisters &out) {
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    if (!(mask >> lane & 1))
      continue;
    uint32_t b = in[lane][2] & 31, clamp = in[lane][3] & 31, segment = in[lane][3] >> 8 & 31;
    uint32_t maxLane = (lane & segment) | (clamp & ~segment);
    uint32_t minLane = lane & segment;
    int64_t source = 0;
    bool inside = false;
    switch (op) {
    case WarpOp::ShflUp:
      source = int64_t(lane) - b;
      inside = source >= int64_t(maxLane);
      break;
    case WarpOp::ShflDown:
      source = lane + b;
      inside = source <= maxLane;
      break;
    case WarpOp::ShflBfly:
      source = lane ^ b;
      inside = source <= maxLane;
      break;
    default:
      source = minLane | (b & ~segment);
      inside = source <= maxLane;
      break;
    }
    if (!inside)
      source = lane;
    out[lane][0] = in[source][1];
    out[lane][1] = inside;
  }
}

/// Half `half` (0: low) of a register of two 16-bit floats.
static float element(bool isBF16, uint32_t word, int half) {
  uint16_t bits = word >> (16 * half);
  if (isBF16)
    return std::bit_cast<float>(uint32_t(bits) << 16);
  return static_cast<float>(std::bit_cast<_Float16>(bits));
}

/// PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type": which
/// element of A (16 x 16), B (16 x 8) and C (16 x 8) each register holds.
static void mma(bool isBF16, const WarpRegisters &in, WarpRegisters &out) {
  static thread_local float a[16][16], b[16][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    int group = lane >> 2, inGroup = lane % 4;
    for (int i = 0; i < 8; ++i) {
      int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
      int column = inGroup * 2 + (i & 1) + (i >= 4 ? 8 : 0);
      a[row][column] = element(isBF16, in[lane][i / 2], i & 1);
    }
    for (int i = 0; i < 4; ++i) {
      int row = inGroup * 2 + (i & 1) + (i >= 2 ? 8 : 0);
      b[row][group] = element(isBF16, in[lane][4 + i / 2], i & 1);
    }
  }
  for (int lane = 0; lane < kLanes; ++lane)
    for (int i = 0; i < 4; ++i) {
      int row = (lane >> 2) + (i < 2 ? 0 : 8), column = (lane % 4) * 2 + (i & 1);
      float sum = std::bit_cast<float>(in[lane][6 + i]);
      for (int k = 0; k < 16; ++k)
        sum += a[row][k] * b[k][column];
      out[lane][i] = std::bit_cast<uint32_t>(sum);
    }
}

void execute(WarpOp op, uint32_t mask, const WarpRegisters &in, WarpRegisters &out) {
  if (isMma(op))
    mma(op == WarpOp::MmaBF16, in, out);
  else
    shuffle(op, mask, in, out);
}

} // namespace elfatt::sim
