// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Target/Core.h"

#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <limits>

using namespace elfatt::target;

/// Code is unrolled over the registers of a tile of scores, and of one of channels or
/// values: this bounds its size and the time to compile it.
static constexpr int64_t kScoreRegisters = 128, kTileRegisters = 64;
/// Rows of a register tile: scalars of so many rows are at hand.
static constexpr int64_t kMostRows = 8;
/// Registers of keys in one block.
static constexpr int64_t kMostKeyRegisters = 32;
/// Tokens of a step of the context, whose positions are unrolled too.
static constexpr int64_t kLeastTokens = 4, kMostTokens = 32;
/// What stands for an extent that is not known: a long row.
static constexpr int64_t kUnknown = 4096;

static int64_t known(int64_t extent) {
  return extent < 0 ? kUnknown : std::max<int64_t>(extent, 1);
}

Core Core::of(int64_t registerBits, int64_t registers, int64_t elementBits) {
  Core core{std::max<int64_t>(1, registerBits / elementBits), registers, elementBits / 8};
  return core;
}

int64_t Core::registersOf(int64_t extent) const {
  return std::max<int64_t>(1, llvm::divideCeilSigned(extent, lanes));
}

double elfatt::target::getProductCycles(const Core &core, int64_t rows, int64_t columns,
                                        int64_t depth) {
  // Beside the accumulators, one broadcast and a row of the right operand.
  const int64_t together = std::max<int64_t>(1, (core.registers - 1) / (rows + 1));
  double cycles = 0;
  for (int64_t left = columns, panels = llvm::divideCeilSigned(columns, together); panels > 0;
       --panels) {
    const int64_t width = llvm::divideCeilSigned(left, panels);
    const double sums = rows * width;
    cycles +=
        depth * std::max({sums / core.multiplyAdds, (rows + width) / core.loads, core.latency}) +
        core.panel + sums * core.accumulator;
    left -= width;
  }
  return cycles;
}

double elfatt::target::getSoftmaxCycles(const Core &core, const SoftmaxSizes &sizes,
                                        const SoftmaxTiles &tiles) {
  const int64_t rows = known(sizes.rows), keys = known(sizes.keys);
  const int64_t channels = known(sizes.channels), values = known(sizes.values);
  const int64_t blocks = tiles.wholeRow ? 1 : llvm::divideCeilSigned(keys, tiles.keys);
  const int64_t keyRegisters = core.registersOf(llvm::divideCeilSigned(keys, blocks));
  const int64_t valueRegisters = core.registersOf(values);
  const double scores = tiles.rows * keyRegisters, result = tiles.rows * valueRegisters;
  // Q K^T, the weights, P V and, from block to block of the keys, the state.
  double cycles = getProductCycles(core, tiles.rows, keyRegisters, channels) +
                  getProductCycles(core, tiles.rows, valueRegisters,
                                   std::min(keys, keyRegisters * core.lanes)) +
                  scores * core.exponential + core.rowBlock;
  if (scores > core.registers)
    cycles += scores * core.spilled;
  if (blocks * keyRegisters * core.lanes != keys)
    cycles += scores * core.masked;
  cycles += tiles.wholeRow ? result : result * core.state;
  // K^T and V of a block stay in the first cache, if that is large enough.
  const int64_t blockBytes = keyRegisters * core.lanes * (channels + values) * core.bytes;
  if (blockBytes > core.l1Bytes)
    cycles += (blockBytes - core.l1Bytes) / core.l2Bytes;
  const int64_t rowBlocks = llvm::divideCeilSigned(rows, tiles.rows);
  const double staged =
      llvm::divideCeilSigned(rowBlocks, kRowBlocksOfWorker) * keyRegisters * core.lanes * channels;
  return blocks * (rowBlocks * cycles + staged * core.transposed);
}

SoftmaxTiles elfatt::target::chooseSoftmaxTiles(const Core &core, const SoftmaxSizes &sizes) {
  const int64_t mostRows = std::clamp<int64_t>(
      kTileRegisters / core.registersOf(std::max(sizes.channels, sizes.values)), 1, kMostRows);
  SoftmaxTiles best{};
  double least = std::numeric_limits<double>::infinity();
  auto consider = [&](SoftmaxTiles tiles) {
    if (tiles.rows * core.registersOf(tiles.keys) > kScoreRegisters)
      return;
    const double cycles = getSoftmaxCycles(core, sizes, tiles);
    if (cycles < least) {
      least = cycles;
      best = tiles;
    }
  };
  // Of equals the first: whole rows, and as many as there can be.
  for (bool wholeRow : {true, false})
    for (int64_t rows = mostRows; rows >= 1; --rows) {
      if (wholeRow && sizes.keys >= 0)
        consider({rows, core.registersOf(sizes.keys) * core.lanes, true});
      for (int64_t block = 1; !wholeRow && block <= kMostKeyRegisters; ++block)
        consider({rows, block * core.lanes, false});
    }
  return best;
}

double elfatt::target::getContextCycles(const Core &core, int64_t channels, int64_t values,
                                        const ContextTiles &tiles) {
  channels = known(channels);
  values = known(values);
  const int64_t channelRegisters = core.registersOf(channels);
  const int64_t valueRegisters = core.registersOf(values);
  // Weights of the step's tokens, then the context in blocks of rows, each rescaled and
  // kept in memory.
  const double state = tiles.rows * valueRegisters * core.state;
  const double products =
      llvm::divideCeilSigned(channels, tiles.rows) *
      (getProductCycles(core, tiles.rows, valueRegisters, tiles.tokens) + state);
  const double weights = tiles.tokens * channelRegisters * (core.exponential + core.spilled);
  return (weights + products + core.rowBlock + channelRegisters * core.exponential) / tiles.tokens;
}

int64_t elfatt::target::getContextColumns(const Core &core, int64_t tokens) {
  return std::max<int64_t>(1, kTileRegisters / tokens) * core.lanes;
}

ContextTiles elfatt::target::chooseContextTiles(const Core &core, int64_t channels, int64_t values,
                                                int64_t tokens) {
  ContextTiles best{};
  double least = std::numeric_limits<double>::infinity();
  // All tokens: steps, and one of what is left, which is code of its own.
  auto getCycles = [&](const ContextTiles &tiles) {
    const int64_t rest = tokens < 0 ? 0 : tokens % tiles.tokens;
    double cycles = (known(tokens) - rest) * getContextCycles(core, channels, values, tiles);
    if (rest != 0)
      cycles += rest * getContextCycles(core, channels, values, {rest, tiles.rows}) + core.rowBlock;
    return cycles;
  };
  for (int64_t step = kMostTokens; step >= kLeastTokens; step = tokens < 0 ? step / 2 : step - 1)
    for (int64_t rows = kMostRows; rows >= 1; --rows) {
      const double cycles = getCycles({step, rows});
      if (cycles < least) {
        least = cycles;
        best = {step, rows};
      }
    }
  return best;
}

double elfatt::target::getApplyCycles(const Core &core, int64_t rows, int64_t channels,
                                      int64_t values, int64_t tileRows) {
  channels = known(channels);
  const int64_t valueRegisters = core.registersOf(known(values));
  const double weights = tileRows * core.registersOf(channels) * core.exponential;
  return llvm::divideCeilSigned(known(rows), tileRows) *
         (getProductCycles(core, tileRows, valueRegisters, channels) + weights + core.rowBlock +
          tileRows * valueRegisters);
}

int64_t elfatt::target::chooseApplyRows(const Core &core, int64_t rows, int64_t channels,
                                        int64_t values) {
  int64_t most = std::clamp<int64_t>(kTileRegisters / core.registersOf(std::max(channels, values)),
                                     1, kMostRows);
  int64_t best = most;
  for (int64_t tileRows = most - 1; tileRows >= 1; --tileRows)
    if (getApplyCycles(core, rows, channels, values, tileRows) <
        getApplyCycles(core, rows, channels, values, best))
      best = tileRows;
  return best;
}
