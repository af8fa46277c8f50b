// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/TileParams.h"

#include <algorithm>

using namespace elfatt::tile;

static int64_t roundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// The largest divisor of `extent` that is at most `most`, unless a remainder block
/// costs less: where it is small, or where there are many blocks; then `most`.
static int64_t preferDivisor(int64_t extent, int64_t most) {
  if (extent <= 0 || extent > 8 * most)
    return most;
  if (extent <= most)
    return extent;
  for (int64_t divisor = most; 2 * divisor > most; --divisor)
    if (extent % divisor == 0)
      return divisor;
  return most;
}

static TileParams cpuParams(const MachineLimits &limits, const TileExtents &extents) {
  const int64_t lanes = std::max<int64_t>(1, limits.vectorBits / extents.bits);
  // Four registers hold one row of B and broadcasts; the others accumulate.
  const int64_t accumulators = std::max<int64_t>(4, limits.vectorRegisters - 4);
  // Four vectors of keys: enough reuse of each broadcast of Q.
  const int64_t mostKeys = (limits.vectorRegisters >= 32 ? 4 : 2) * lanes;
  TileParams params;
  params.keys = extents.keys > 0 ? std::min(roundUp(extents.keys, lanes), mostKeys) : mostKeys;
  const int64_t rowsThatFit =
      std::clamp<int64_t>(accumulators / (params.keys / lanes), 1, 14);
  params.rows = preferDivisor(extents.rows, rowsThatFit);
  params.rowsPerWorker = 16 * params.rows;
  params.contextTokens = 32;
  const int64_t valueVectors = std::max<int64_t>(1, roundUp(extents.values, lanes) / lanes);
  params.contextRows =
      preferDivisor(extents.channels, std::clamp<int64_t>(accumulators / valueVectors, 1, 8));
  params.padTo = lanes;
  params.staged = false;
  params.narrowOperands = false;
  return params;
}

static TileParams gpuParams(const TileExtents &extents) {
  TileParams params;
  params.rows = 16;
  params.keys = extents.keys > 0 ? std::min<int64_t>(roundUp(extents.keys, 16), 64) : 64;
  params.rowsPerWorker = 64;
  params.contextTokens = 64;
  params.contextRows = roundUp(std::max<int64_t>(extents.channels, 1), 16);
  params.padTo = 16;
  params.staged = true;
  params.narrowOperands = true;
  return params;
}

TileParams elfatt::tile::getTileParams(const MachineLimits &limits, const TileExtents &extents) {
  return limits.machine == Machine::CPU ? cpuParams(limits, extents) : gpuParams(extents);
}
