// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Target/Core.h"

#include "gtest/gtest.h"

using namespace elfatt::target;

namespace {

const Core kAVX512 = Core::of(512, 32, 32), kAVX2 = Core::of(256, 16, 32),
           kNEON = Core::of(128, 32, 32);

TEST(TargetCore, RegistersHoldElements) {
  EXPECT_EQ(kAVX512.lanes, 16);
  EXPECT_EQ(Core::of(512, 32, 64).lanes, 8);
  EXPECT_EQ(kAVX512.registersOf(49), 4);
  EXPECT_EQ(kAVX512.registersOf(0), 1);
}

TEST(TargetCore, ProductsAreBoundByTheirUnits) {
  // Sixteen sums a step on two pipes; twelve loads and broadcasts on two as well.
  double steps = getProductCycles(kAVX512, 8, 2, 1064) - getProductCycles(kAVX512, 8, 2, 64);
  EXPECT_DOUBLE_EQ(steps, 1000 * 8);
  // One sum waits for itself.
  steps = getProductCycles(kAVX512, 1, 1, 1064) - getProductCycles(kAVX512, 1, 1, 64);
  EXPECT_DOUBLE_EQ(steps, 1000 * kAVX512.latency);
  // One column of many rows is bound by its broadcasts.
  steps = getProductCycles(kAVX512, 20, 1, 1064) - getProductCycles(kAVX512, 20, 1, 64);
  EXPECT_DOUBLE_EQ(steps, 1000 * 10.5);
}

TEST(TargetCore, WideProductsArePanels) {
  // Three columns of eight rows fill the registers: six are two panels.
  EXPECT_DOUBLE_EQ(getProductCycles(kAVX512, 8, 6, 64), 2 * getProductCycles(kAVX512, 8, 3, 64));
}

TEST(TargetCore, OnlinePaysForItsState) {
  SoftmaxSizes sizes = {64, 256, 32, 32};
  EXPECT_LT(getSoftmaxCycles(kAVX512, sizes, {8, 256, true}),
            getSoftmaxCycles(kAVX512, sizes, {8, 64, false}));
}

TEST(TargetCore, PaddingIsPaidFor) {
  SoftmaxSizes exact = {8, 64, 32, 32}, padded = {8, 65, 32, 32};
  EXPECT_LT(getSoftmaxCycles(kAVX512, exact, {8, 64, true}) * 1.1,
            getSoftmaxCycles(kAVX512, padded, {8, 80, true}));
  // A row more is a row block more.
  exact.rows = 9;
  EXPECT_LT(getSoftmaxCycles(kAVX512, {8, 64, 32, 32}, {8, 64, true}) * 1.5,
            getSoftmaxCycles(kAVX512, exact, {8, 64, true}));
}

TEST(TargetCore, ShortRowsAreWholeAndLongOnesOnline) {
  for (int64_t keys : {1, 16, 49, 64, 77, 144, 197, 256}) {
    SoftmaxTiles tiles = chooseSoftmaxTiles(kAVX512, {keys, keys, 32, 32});
    EXPECT_TRUE(tiles.wholeRow) << keys;
    EXPECT_GE(tiles.keys, keys);
  }
  for (int64_t keys : {784, 1024, 3136, 65536, -1})
    EXPECT_FALSE(chooseSoftmaxTiles(kAVX512, {keys, keys, 32, 32}).wholeRow) << keys;
  // Fewer registers hold fewer scores.
  EXPECT_TRUE(chooseSoftmaxTiles(kAVX512, {18, 324, 32, 32}).wholeRow);
  EXPECT_FALSE(chooseSoftmaxTiles(kAVX2, {18, 324, 32, 32}).wholeRow);
}

TEST(TargetCore, RowsLeaveNoRest) {
  EXPECT_EQ(chooseSoftmaxTiles(kAVX512, {7, 49, 32, 32}).rows, 7);
  EXPECT_EQ(chooseSoftmaxTiles(kAVX512, {14, 196, 32, 32}).rows, 7);
  EXPECT_EQ(chooseSoftmaxTiles(kAVX512, {12, 144, 32, 32}).rows, 6);
  // 784 keys in blocks of 112 need no mask.
  EXPECT_EQ(784 % chooseSoftmaxTiles(kAVX512, {28, 784, 32, 32}).keys, 0);
  EXPECT_EQ(chooseApplyRows(kAVX512, 7, 32, 32), 7);
}

TEST(TargetCore, FewRegistersTakeFewRows) {
  // Sixteen registers: four rows by three columns, or six by two, as libraries have them.
  for (int64_t channels : {32, 64, 80})
    EXPECT_LE(chooseSoftmaxTiles(kAVX2, {1024, 1024, channels, channels}).rows, 6) << channels;
}

TEST(TargetCore, NoOtherTilesCostLess) {
  for (const Core &core : {kAVX512, kAVX2, kNEON})
    for (int64_t keys : {49, 197, 784})
      for (int64_t channels : {20, 64, 160}) {
        SoftmaxSizes sizes = {keys, keys, channels, channels};
        SoftmaxTiles best = chooseSoftmaxTiles(core, sizes);
        for (int64_t rows = 1; rows <= best.rows; ++rows)
          for (int64_t keys : {core.lanes, best.keys})
            EXPECT_LE(
                getSoftmaxCycles(core, sizes, best),
                getSoftmaxCycles(core, sizes, {rows, keys, best.wholeRow && keys == best.keys}))
                << keys << " keys, " << channels << " channels";
      }
}

TEST(TargetCore, UnknownExtentsAreLong) {
  constexpr int64_t unknown = INT64_MIN;
  SoftmaxTiles tiles = chooseSoftmaxTiles(kAVX512, {unknown, unknown, unknown, unknown});
  EXPECT_FALSE(tiles.wholeRow);
  EXPECT_GE(tiles.rows, 1);
  EXPECT_GE(chooseContextTiles(kAVX512, unknown, unknown).tokens, 1);
  EXPECT_GE(chooseApplyRows(kAVX512, unknown, unknown, unknown), 1);
}

TEST(TargetCore, ContextAmortizesItsState) {
  EXPECT_LT(getContextCycles(kAVX512, 32, 32, {32, 8}), getContextCycles(kAVX512, 32, 32, {4, 8}));
  ContextTiles tiles = chooseContextTiles(kAVX512, 32, 32);
  EXPECT_EQ(tiles.tokens, 32);
  EXPECT_EQ(tiles.rows, 8);
}

TEST(TargetCore, StepsOfAContextLeaveNoRestIfThatCostsNoStep) {
  EXPECT_EQ(chooseContextTiles(kAVX512, 32, 32, 196).tokens, 28);
  EXPECT_EQ(chooseContextTiles(kAVX512, 32, 32, 50).tokens, 25);
  EXPECT_EQ(chooseContextTiles(kAVX512, 64, 64, 3136).tokens, 32);
  // Of 49 tokens 7 at a time would.
  EXPECT_GT(chooseContextTiles(kAVX512, 32, 32, 49).tokens, 16);
  for (int64_t tokens : {0, 1, 5, 31, 197})
    EXPECT_GE(chooseContextTiles(kAVX512, 32, 32, tokens).tokens, 4) << tokens;
}

TEST(TargetCore, ContextOfWideHeadsAmortizesItsStateToo) {
  // Weights of so many channels are a loop over some of them.
  for (int64_t channels : {64, 80, 160, 256}) {
    EXPECT_EQ(chooseContextTiles(kAVX512, channels, channels).tokens, 32) << channels;
    EXPECT_EQ(getContextColumns(kAVX512, 32), 32);
  }
  for (const Core &core : {kAVX512, kAVX2, kNEON})
    for (int64_t tokens : {4, 8, 16, 32})
      EXPECT_LE(tokens * core.registersOf(getContextColumns(core, tokens)), 64);
}

} // namespace
