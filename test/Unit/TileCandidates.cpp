// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/TileCandidates.h"

#include "gtest/gtest.h"

#include <set>

using namespace elfatt::tile;

static constexpr int64_t kDynamic = INT64_MIN;

TEST(TileOverrides, AreReadAsTheyAreWritten) {
  llvm::Expected<TileOverrides> read =
      parseTileOverrides("keys-per-step=24  rows-per-block=64 context-warps=2");
  ASSERT_TRUE(static_cast<bool>(read));
  EXPECT_EQ(read->str(), "rows-per-block=64 keys-per-step=24 context-warps=2");
  EXPECT_TRUE(parseTileOverrides("")->isEmpty());
}

TEST(TileOverrides, RefuseWhatIsNoSize) {
  auto message = [](const char *text) {
    llvm::Expected<TileOverrides> read = parseTileOverrides(text);
    return read ? "none" : llvm::toString(read.takeError());
  };
  EXPECT_EQ(message("rows-per-block=24"),
            "expected rows-per-block to be a multiple of 16 from 16 to 1024, got 24");
  EXPECT_EQ(message("warps-per-block=33"), "expected warps-per-block to be from 1 to 32, got 33");
  EXPECT_EQ(message("keys-per-step=-8"),
            "expected keys-per-step to be a multiple of 8 from 8 to 4096, got -8");
  EXPECT_EQ(message("heads-per-block=9"), "expected heads-per-block to be from 1 to 8, got 9");
  EXPECT_EQ(message("context-tokens"), "expected context-tokens=NUMBER, got 'context-tokens'");
  EXPECT_EQ(message("context-tokens=0"), "expected context-tokens=NUMBER, got 'context-tokens=0'");
  EXPECT_EQ(message("rows=16"), "unknown tile size 'rows', expected one of rows-per-block, "
                                "warps-per-block, keys-per-step, context-tokens, context-warps, "
                                "heads-per-block");
}

static CandidatePart makePart(CandidatePart::Kind kind, TileExtents extents, int64_t rows) {
  extents.storageBits = 16;
  return {kind, "part", extents, rows};
}

TEST(TileCandidates, DifferInWhatTheyMake) {
  // 49 rows are four fragments, and 49 keys one block of 56.
  CandidatePart window = makePart(CandidatePart::Softmax, {7, 49, 32, 32}, 49);
  MachineLimits limits = MachineLimits::gpu(80 * 1024);
  std::vector<TileOverrides> candidates = listCandidates(limits, window);
  EXPECT_GT(candidates.size(), 10u);
  std::set<std::string> names;
  for (const TileOverrides &sizes : candidates) {
    EXPECT_FALSE(static_cast<bool>(checkTileOverrides(sizes)));
    EXPECT_TRUE(names.insert(sizes.str()).second) << sizes.str();
    EXPECT_LE(sizes.rowsPerBlock, 64) << "more rows than there are";
    EXPECT_LE(sizes.warpsPerBlock * 16, sizes.rowsPerBlock) << "warps without rows";
    EXPECT_EQ(sizes.contextTokens, 0) << "there is no context";
  }
  TileParams chosen = getTileParams(limits, window.extents);
  for (const TileOverrides &sizes : candidates) {
    TileParams params = getTileParams(MachineLimits::gpu(80 * 1024, 16, sizes), window.extents);
    bool isSame =
        params.rowsPerWorker >= 64 && params.warps == chosen.warps && params.keys == chosen.keys;
    EXPECT_FALSE(isSame) << sizes.str() << " is what is chosen";
  }
}

TEST(TileCandidates, KeepWhatIsSet) {
  CandidatePart rows = makePart(CandidatePart::Softmax, {3136, 3136, 32, 32}, 3136);
  MachineLimits limits = MachineLimits::gpu(80 * 1024);
  limits.overrides.keysPerStep = 64;
  limits.overrides.warpsPerBlock = 2;
  std::vector<TileOverrides> candidates = listCandidates(limits, rows);
  EXPECT_FALSE(candidates.empty());
  for (const TileOverrides &sizes : candidates) {
    EXPECT_EQ(sizes.keysPerStep, 64);
    EXPECT_EQ(sizes.warpsPerBlock, 2);
  }
}

TEST(TileCandidates, ContextsVaryInTokensAndWarps) {
  CandidatePart context = makePart(CandidatePart::Context, {128, 3136, 128, 128}, 128);
  MachineLimits limits = MachineLimits::gpu(80 * 1024);
  std::vector<TileOverrides> candidates = listCandidates(limits, context);
  EXPECT_FALSE(candidates.empty());
  for (const TileOverrides &sizes : candidates) {
    EXPECT_EQ(sizes.rowsPerBlock, 0);
    TileParams params = getTileParams(MachineLimits::gpu(80 * 1024, 16, sizes), context.extents);
    EXPECT_LE(128 / params.contextRows * params.contextWarps, 32) << "warps of a block";
  }
}

TEST(TileCandidates, UnknownExtentsHaveSizesToo) {
  CandidatePart part = makePart(CandidatePart::Softmax, {kDynamic, kDynamic, 64, 64}, kDynamic);
  EXPECT_FALSE(listCandidates(MachineLimits::gpu(80 * 1024), part).empty());
  CandidatePart one = makePart(CandidatePart::Apply, {1, 0, 1, 1}, 1);
  EXPECT_TRUE(listCandidates(MachineLimits::gpu(80 * 1024), one).empty()) << "one row, one way";
}
