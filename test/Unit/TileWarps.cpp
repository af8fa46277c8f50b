// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/TileParams.h"

#include "gtest/gtest.h"

using namespace elfatt::tile;

TEST(TileWarps, BlocksHaveNoMoreWarpsThanRegisters) {
  MachineLimits limits = MachineLimits::gpu(32 * 1024);
  TileExtents window{9, 81, 24, 24};
  window.storageBits = 16;
  TileExtents rows = window;
  rows.keys = 0;
  EXPECT_EQ(getTileParams(limits, window).mostWarps, 32);
  EXPECT_EQ(getTileParams(limits, rows).mostWarps, 32);
  // Half of the registers are 128 for each of eight warps: enough for scores alone, but neither
  // beside LePE nor for rows that meet a context, however few columns a worker makes of them.
  limits.blockRegisters = 32 * 1024;
  EXPECT_EQ(getTileParams(limits, window).warps, 8);
  EXPECT_EQ(getTileParams(limits, window).mostWarps, 32);
  window.hasLepe = true;
  EXPECT_EQ(getTileParams(limits, window).mostWarps, 4);
  for (int64_t columns : {1, 8, 24}) {
    rows.values = columns;
    EXPECT_EQ(getTileParams(limits, rows).warps, 4) << columns;
    EXPECT_EQ(getTileParams(limits, rows).mostWarps, 4) << columns;
  }
  limits.overrides.warpsPerBlock = 8;
  EXPECT_EQ(getTileParams(limits, rows).mostWarps, 8);
}
