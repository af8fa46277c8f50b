// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/ContextSplit.h"

#include "gtest/gtest.h"

using namespace elfatt::tile;

TEST(TileContextSplit, KernelsSplitContextsOfFewHeads) {
  auto split = [](int64_t processors, int64_t tokens, int64_t heads) {
    ContextSplit split =
        getKernelContextSplit(MachineLimits::gpu(49152, processors), tokens, heads, 256);
    return std::pair(split.segments, split.tokens);
  };
  EXPECT_EQ(split(16, 3136, 2), std::pair(int64_t(1), int64_t(3136))); // a worker a head
  EXPECT_EQ(split(16, 3136, 1), std::pair(int64_t(4), int64_t(784)));
  EXPECT_EQ(split(132, 3136, 1), std::pair(int64_t(8), int64_t(392)));
  EXPECT_EQ(split(132, 65536, 1), std::pair(int64_t(16), int64_t(4096)));
  EXPECT_EQ(split(132, 196, 1), std::pair(int64_t(1), int64_t(196))); // one step
  // A prime number leaves a rest.
  EXPECT_EQ(split(132, 4099, 1), std::pair(int64_t(8), int64_t(512)));
}

TEST(TileContextSplit, FewLongContextsAreSplit) {
  // One head of one image, in whole steps where that leaves no rest.
  ContextSplit split = getContextSplit(65536, 1, 32);
  EXPECT_EQ(split.segments, 32);
  EXPECT_EQ(split.tokens, 2048);
  split = getContextSplit(3136, 1, 32);
  EXPECT_EQ(split.segments, 2);
  EXPECT_EQ(split.tokens, 1568);
  // A rest is one segment more.
  split = getContextSplit(4099, 2, 32);
  EXPECT_EQ(split.segments, 4);
  EXPECT_EQ(split.tokens, 1024);
  // Workers enough, or tokens too few.
  EXPECT_EQ(getContextSplit(65536, 16, 32).segments, 1);
  // Two even segments rather than three and a rest.
  EXPECT_EQ(getContextSplit(65536, 15, 32).segments, 2);
  EXPECT_EQ(getContextSplit(2047, 1, 32).segments, 1);
  EXPECT_EQ(getContextSplit(0, 0, 32).segments, 1);
}

TEST(TileContextSplit, RowsThatMeetContextsOfSegmentsReadThemOnce) {
  TileExtents extents{64, 0, 40, 40};
  extents.storageBits = 16;
  extents.hasLepe = extents.ownsContext = true;
  const auto large = MachineLimits::gpu(113 * 1024, 132, {}, 227 * 1024, true, true);
  const auto small = MachineLimits::gpu(49 * 1024, 170, {}, 99 * 1024, true, true);
  // Stable Diffusion's 64 x 64 in two images, four heads of each: the states of two heads are as
  // large as 168 of their rows.
  const AppliedRows rows{8, 64, 64, 4};
  for (const MachineLimits &limits : {large, small}) {
    const AppliedTiles tiles = chooseAppliedTiles(limits, extents, 2, rows);
    EXPECT_EQ(tiles.heads, 2);
    EXPECT_EQ(tiles.linesOfTurns, 4);
    EXPECT_EQ(tiles.linesOfTurns % tiles.lines, 0);
    extents.heads = 2;
    extents.hasProcessor = true;
    EXPECT_LE(tiles.lines * 64, getTileParams(limits, extents).rowsPerWorker);
    extents.heads = 1;
    extents.hasProcessor = false;
  }
  // Of few rows rather all multiprocessors have some.
  EXPECT_LT(chooseAppliedTiles(large, extents, 2, {2, 64, 64, 4}).linesOfTurns, 4);
  // Many heads leave work for all of them.
  EXPECT_GT(chooseAppliedTiles(small, extents, 2, {64, 64, 64, 4}).linesOfTurns, 4);
  // Turns are equal: 61 lines have no divisor.
  const AppliedTiles prime = chooseAppliedTiles(small, extents, 2, {64, 61, 64, 4});
  EXPECT_TRUE(prime.lines == prime.linesOfTurns || prime.linesOfTurns == 61);
}
