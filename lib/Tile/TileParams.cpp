// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/TileParams.h"

#include <algorithm>

using namespace elfatt::tile;

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

/// Rows of up to this many keys are one block: one maximum, no state in memory.
static constexpr int64_t kWholeRow = 256;
/// Registers of keys in a block of a longer row: K^T and V of a block stay in L1.
static constexpr int64_t kLongRowBlock = 8;
/// Rows of a register tile: with two registers of keys, 16 accumulators hide the
/// latency of two multiply-adds a cycle.
static constexpr int64_t kRegisterRows = 8;
/// Registers of a tile of scores, and of a tile of channels or values. Code is unrolled
/// over them: this bounds its size and the time to compile it.
static constexpr int64_t kScoreRegisters = 128;
static constexpr int64_t kTileRegisters = 64;

static TileParams cpuParams(const MachineLimits &limits, const TileExtents &extents) {
  const int64_t lanes = std::max<int64_t>(1, limits.vectorBits / extents.bits);
  auto registersOf = [&](int64_t extent) {
    return std::max<int64_t>(1, roundUp(extent, lanes) / lanes);
  };
  // Four registers hold one row of B and broadcasts; the others accumulate.
  const int64_t accumulators = std::max<int64_t>(4, limits.vectorRegisters - 4);
  TileParams params;
  const bool wholeRow = extents.keys > 0 && extents.keys <= kWholeRow;
  params.keys = (wholeRow ? registersOf(extents.keys) : kLongRowBlock) * lanes;
  int64_t rows = kTileRegisters / registersOf(std::max(extents.channels, extents.values));
  if (wholeRow)
    rows = std::min(rows, kScoreRegisters * lanes / params.keys);
  params.rows = preferDivisor(extents.rows, std::clamp<int64_t>(rows, 1, kRegisterRows));
  params.rowsPerWorker = 16 * params.rows;
  params.contextTokens = std::clamp<int64_t>(kTileRegisters / registersOf(extents.channels), 4, 32);
  params.contextRows = preferDivisor(
      extents.channels, std::clamp<int64_t>(accumulators / registersOf(extents.values), 1, 8));
  params.padTo = lanes;
  params.staged = false;
  params.narrowOperands = false;
  return params;
}

/// Shared memory that every chip gives a block without asking.
static constexpr int64_t kSharedBytes = 48 * 1024;

/// Rows and keys of one block: as many as shared memory holds. In bytes, with D
/// and E padded: Q and O take rows * (D + E), acc rows * E, K and V keys * (D + E),
/// a bias rows * keys, max and sum two values a row.
static TileParams gpuParams(const TileExtents &extents) {
  TileParams params;
  params.padTo = 16;
  params.staged = true;
  params.narrowOperands = true;
  params.rows = 16;
  const int64_t channels = roundUp(std::max<int64_t>(extents.channels, 1), params.padTo);
  const int64_t values = roundUp(std::max<int64_t>(extents.values, 1), params.padTo);
  const int64_t stored = extents.storageBits / 8, computed = extents.bits / 8;
  const int64_t mostKeys =
      extents.keys > 0 ? std::min<int64_t>(roundUp(extents.keys, params.padTo), 64) : 64;
  params.rowsPerWorker = params.keys = params.padTo;
  for (int64_t rows = params.rows; rows <= 64; rows += params.rows)
    for (int64_t keys = params.padTo; keys <= mostKeys; keys += params.padTo) {
      const int64_t state = rows * (values + 2) * computed;
      int64_t bytes = (rows + keys) * (channels + values) * stored + state +
                      (extents.hasBias ? (rows + params.rows) * keys * computed : 0);
      // Several steps hand the state on in scratch of its own.
      if (extents.steps > 1)
        bytes = bytes * extents.steps + state;
      if (bytes <= kSharedBytes && rows * keys >= params.rowsPerWorker * params.keys) {
        params.rowsPerWorker = rows;
        params.keys = keys;
      }
    }
  // The context: acc and its state stay, a block of K and V passes.
  const int64_t left = kSharedBytes - channels * (values + 2) * computed;
  const int64_t perToken = (channels + values) * stored;
  params.contextTokens = std::clamp<int64_t>(left / perToken / 16 * 16, 16, 64);
  params.contextRows = channels;
  return params;
}

TileParams elfatt::tile::getTileParams(const MachineLimits &limits, const TileExtents &extents) {
  return limits.machine == Machine::CPU ? cpuParams(limits, extents) : gpuParams(extents);
}
