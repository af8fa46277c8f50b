// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Warps of a block by the registers that it has.
#include "elfatt/Tile/TileParams.h"

#include "gtest/gtest.h"

using namespace elfatt::tile;

namespace {

MachineLimits withRegisters(int64_t blockRegisters) {
  return MachineLimits::gpu(48 * 1024, 1, {}, 48 * 1024, false, false, false, blockRegisters);
}

TileExtents window(int64_t width, int64_t bits, bool hasLepe) {
  TileExtents extents{7, 49, width, width, 32, bits};
  extents.hasLepe = extents.lepeReadsKeys = hasLepe;
  return extents;
}

TEST(TileRegisters, FewerWarpsShareHalfTheRegisters) {
  const MachineLimits half = withRegisters(32 * 1024), all = withRegisters(64 * 1024);
  for (int64_t bits : {16, 32}) {
    EXPECT_EQ(getTileParams(half, window(32, bits, true)).warps, 4) << "LePE's taps beside O";
    EXPECT_EQ(getTileParams(half, {577, 577, 64, 64, 32, bits}).warps, 4) << "wide heads";
    EXPECT_EQ(getTileParams(half, {577, 577, 16, 16, 32, bits}).warps, 8) << "narrow ones";
    EXPECT_EQ(getTileParams(all, {577, 577, 64, 64, 32, bits}).warps, 8);
  }
  EXPECT_EQ(getTileParams(all, window(32, 16, true)).warps, 8);
}

TEST(TileRegisters, FewWarpsHoldAllChannelsOfAContext) {
  const MachineLimits half = withRegisters(32 * 1024);
  for (int64_t width : {8, 32, 40, 72, 80, 128, 256})
    for (int64_t columns : {8, 32, 64, 128}) {
      TileExtents extents{width, 3136, width, columns, 32, 16};
      if (columns > width || !fitsBlock(half, PartKind::Context, extents, 16, 16))
        continue;
      const TileParams params = getTileParams(half, extents);
      const int64_t warps = (width + params.contextRows - 1) / params.contextRows;
      EXPECT_LE(warps * params.contextWarps, 4) << width << " x " << columns;
      EXPECT_LE(params.contextRows * columns / 32 + 64, 255) << width << " x " << columns;
    }
  TileExtents wide{256, 3136, 256, 256, 32, 16};
  EXPECT_FALSE(fitsBlock(half, PartKind::Context, wide, 16, 16)) << "some of its columns do";
}

TEST(TileRegisters, WeightsOfAContextOfFewColumnsAreNoMoreThanItsState) {
  for (int64_t blockRegisters : {32 * 1024, 64 * 1024})
    for (int64_t width : {8, 64, 80, 104, 127, 128, 256})
      for (int64_t columns : {1, 2, 8, 16, 64}) {
        const TileParams params =
            getTileParams(withRegisters(blockRegisters), {width, 3136, width, columns, 32, 16});
        EXPECT_LE(params.contextRows * params.contextTokens / 32, 64) << width << " x " << columns;
        EXPECT_LE(params.contextRows, 64) << width << " x " << columns;
      }
}

TEST(TileRegisters, AContextHasNoRemainderWhereMultiplyAddsTakeIt) {
  const MachineLimits none = withRegisters(64 * 1024);
  MachineLimits f16 = none, quadPairs = none, both = none;
  f16.tensorF16 = quadPairs.quadPairsF16 = both.tensorF16 = both.tensorBF16 = true;
  TileExtents rows{56, 0, 32, 32, 32, 16};
  EXPECT_EQ(getContextForm(none, rows), ContextForm::Wide);
  EXPECT_EQ(getContextForm(f16, rows), ContextForm::WithRemainder);
  EXPECT_EQ(getContextForm(quadPairs, rows), ContextForm::WithRemainder);
  rows.isBF16 = true;
  EXPECT_EQ(getContextForm(f16, rows), ContextForm::Wide);
  EXPECT_EQ(getContextForm(quadPairs, rows), ContextForm::Wide);
  EXPECT_EQ(getContextForm(both, rows), ContextForm::WithRemainder);
  rows.channels = rows.values = 128;
  EXPECT_EQ(getContextForm(none, rows), ContextForm::Rounded) << "no room for twice as much";
  rows.storageBits = 32;
  EXPECT_EQ(getContextForm(none, rows), ContextForm::Rounded) << "nothing is rounded";
}

} // namespace
