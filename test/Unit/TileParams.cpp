// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/TileParams.h"

#include "gtest/gtest.h"

#include <set>

using namespace elfatt::tile;

static constexpr int64_t kDynamic = INT64_MIN;

TEST(TileParams, WindowOf49KeysIsOneBlockOfLines) {
  TileParams params = getTileParams(MachineLimits::cpu(512, 32), {7, 49, 32, 32});
  EXPECT_EQ(params.rows, 7);
  EXPECT_EQ(params.keys, 64);
}

TEST(TileParams, LongRowsAreBlocks) {
  EXPECT_GE(getTileParams(MachineLimits::cpu(512, 32), {7, 256, 32, 32}).keys, 256);
  EXPECT_LT(getTileParams(MachineLimits::cpu(512, 32), {7, 785, 32, 32}).keys, 785);
  EXPECT_LT(getTileParams(MachineLimits::cpu(256, 16), {7, 785, 32, 32}).keys, 785);
  EXPECT_LE(getTileParams(MachineLimits::cpu(128, 32), {7, kDynamic, 32, 32}).keys, 128);
}

TEST(TileParams, TilesBoundTheCode) {
  for (auto [bits, registers] : {std::pair{512, 32}, {256, 16}, {128, 32}, {128, 16}})
    for (int64_t keys : {int64_t(1), int64_t(8), int64_t(49), int64_t(197), kDynamic})
      for (int64_t channels : {1, 8, 40, 64, 160, 256})
        for (int64_t rows : {int64_t(1), int64_t(7), int64_t(14), int64_t(197), kDynamic}) {
          TileParams params =
              getTileParams(MachineLimits::cpu(bits, registers), {rows, keys, channels, channels});
          int64_t lanes = bits / 32, columns = (channels + lanes - 1) / lanes;
          auto message = [&] {
            return ::testing::Message() << bits << " bits, " << keys << " keys, " << rows
                                        << " rows, " << channels << " channels";
          };
          EXPECT_GE(params.rows, 1) << message();
          EXPECT_EQ(params.keys % lanes, 0) << message();
          EXPECT_LE(params.rows * params.keys / lanes, 128) << message();
          EXPECT_LE(params.rows * columns, 128) << message();
          EXPECT_GE(params.contextTokens, 4) << message();
          EXPECT_LE(params.contextTokens, 32) << message();
        }
}

TEST(TileParams, RowsPreferADivisor) {
  EXPECT_EQ(getTileParams(MachineLimits::cpu(512, 32), {14, 196, 32, 32}).rows, 7);
  EXPECT_EQ(getTileParams(MachineLimits::cpu(512, 32), {12, 144, 32, 32}).rows, 6);
  EXPECT_EQ(getTileParams(MachineLimits::cpu(512, 32), {1000, 1000, 64, 64}).rows, 8);
  // 197 is prime: full blocks and one short one.
  EXPECT_EQ(getTileParams(MachineLimits::cpu(512, 32), {197, 197, 64, 64}).rows, 8);
}

TEST(TileParams, DoublesTakeHalfTheLanes) {
  TileParams params = getTileParams(MachineLimits::cpu(512, 32), {7, 49, 32, 32, 64});
  EXPECT_EQ(params.keys, 56);
}

TEST(TileParams, SharedMemoryHoldsABlock) {
  for (int64_t width : {8, 32, 40, 64, 80, 128})
    for (int64_t stored : {16, 32})
      for (int64_t biases : {0, 1, 3}) {
        TileExtents extents{kDynamic, kDynamic, width, width};
        extents.storageBits = stored;
        extents.biases = biases;
        TileParams params = getTileParams(MachineLimits::gpu(), extents);
        int64_t bytes =
            (params.rowsPerWorker + 2 * params.keys) * stagedPitch(width, stored) * stored / 8 +
            biases * (params.rowsPerWorker + 16) * params.keys * 4;
        EXPECT_LE(bytes, 48 * 1024) << width << " channels of " << stored << " bits";
      }
}

TEST(TileParams, ColumnsFitABlock) {
  auto columns = [](int64_t channels, int64_t stored, int64_t shared, PartKind kind, int64_t rows) {
    return chooseColumns(channels, [&](int64_t columns) {
      TileExtents extents{rows, kind == PartKind::Softmax ? 64 : 0, channels, columns};
      extents.storageBits = stored;
      return fitsBlock(MachineLimits::gpu(shared), kind, extents, rows, 1);
    });
  };
  // What fits is not split; what does not is split evenly.
  EXPECT_EQ(columns(64, 16, 49152, PartKind::Apply, 16), 64);
  EXPECT_EQ(columns(160, 16, 49152, PartKind::Apply, 16), 80);
  EXPECT_EQ(columns(251, 32, 49152, PartKind::Apply, 16), 1);
  EXPECT_EQ(columns(256, 32, 49152, PartKind::Softmax, 16), 256);
  // 16 warps hold the state of 256 channels, half of the values each time.
  EXPECT_EQ(columns(256, 16, 166912, PartKind::Context, 1), 128);
  EXPECT_EQ(columns(256, 32, 49152, PartKind::Softmax, 64), std::nullopt);
}

TEST(TileParams, FragmentsAreWhole) {
  TileParams params = getTileParams(MachineLimits::gpu(), {7, 49, 40, 40});
  EXPECT_EQ(params.rows, 16);
  EXPECT_EQ(params.keys, 56);
  EXPECT_EQ(params.keyTile, 56);
  EXPECT_EQ(params.contextRows, 16);
  EXPECT_TRUE(params.staged);
}

TEST(TileParams, LongerRowsShareShortTilesEvenly) {
  TileExtents extents{14, 196, 32, 32};
  extents.storageBits = 16;
  TileParams params = getTileParams(MachineLimits::gpu(80 * 1024), extents);
  EXPECT_EQ(params.keyTile, 72);
  EXPECT_EQ(params.keys, 216);
  EXPECT_EQ(params.rowsPerWorker, 256);
  // Beyond that blocks of keys pass by, and each warp has sixteen rows.
  extents.keys = 784;
  params = getTileParams(MachineLimits::gpu(80 * 1024), extents);
  EXPECT_EQ(params.keys, 48);
  EXPECT_EQ(params.rowsPerWorker, 16 * params.warps);
}

TEST(TileParams, RowsThatNearlyFitHaveLessPaddedKeys) {
  // A window of 196 keys beside all its rows: with tiles of 72 keys 1 KB more than there is.
  TileExtents window{14, 196, 32, 32};
  window.storageBits = 16;
  const MachineLimits limits = MachineLimits::gpu(49 * 1024);
  TileParams params = getTileParams(limits, window);
  EXPECT_EQ(params.keyTile, 40);
  EXPECT_EQ(params.keys, 200);
  EXPECT_GE(params.rowsPerWorker, 196);
  // With LePE's rows and weights they pass by in two turns, not in three.
  window.hasLepe = window.lepeReadsKeys = true;
  MachineLimits tensor = limits;
  tensor.tensorBF16 = true;
  EXPECT_GE(getTileParams(tensor, window).rowsPerWorker, 7 * 14);
  // A few rows beside all keys would be few warps: rather keys in blocks.
  EXPECT_EQ(getTileParams(MachineLimits::gpu(36 * 1024), window).keys, 48);
}

TEST(TileParams, BlocksOfWholeRowsMakeUpTheWarps) {
  TileExtents image{197, 197, 64, 64};
  image.storageBits = 16;
  TileParams params = getTileParams(MachineLimits::gpu(80 * 1024), image);
  EXPECT_EQ(params.occupancy % params.warps, 0);
  EXPECT_TRUE(params.fillsWarps);
  // Blocks of keys: each warp holds the state of its own rows.
  image.keys = 1024;
  EXPECT_FALSE(getTileParams(MachineLimits::gpu(80 * 1024), image).fillsWarps);
  // Wide heads have registers for few warps.
  image = {197, 197, 128, 128};
  image.storageBits = 16;
  EXPECT_FALSE(getTileParams(MachineLimits::gpu(160 * 1024), image).fillsWarps);
}

TEST(TileParams, AContextIsGoneBeforeItsRowsCome) {
  TileExtents rows{56, 0, 32, 32};
  rows.storageBits = 16;
  rows.hasLepe = true;
  TileExtents owner = rows;
  owner.ownsContext = true;
  const MachineLimits limits = MachineLimits::gpu(49 * 1024);
  EXPECT_EQ(getTileParams(limits, owner).rowsPerWorker, getTileParams(limits, rows).rowsPerWorker);
}

TEST(TileParams, WiderHeadsHaveNarrowerTilesOfKeys) {
  const MachineLimits limits = MachineLimits::gpu(80 * 1024);
  for (int64_t width : {40, 48, 56, 64}) {
    TileExtents image{197, 197, width, width};
    image.storageBits = 16;
    TileParams params = getTileParams(limits, image);
    EXPECT_LE(params.keyTile, 56) << width;
    // Of five tiles of 40 and four of 56 those with less padding.
    EXPECT_EQ(params.keys, 200) << width;
  }
}

TEST(TileParams, ABiasOfAWideHeadTakesRegistersOfItsKeys) {
  for (int64_t width : {72, 96, 128}) {
    TileExtents plain{577, 1024, width, width};
    plain.storageBits = 16;
    TileExtents biased = plain;
    biased.biases = 1;
    const MachineLimits limits = MachineLimits::gpu(160 * 1024);
    EXPECT_EQ(getTileParams(limits, plain).keyTile, 64) << width;
    TileParams params = getTileParams(limits, biased);
    EXPECT_EQ(params.keyTile, width < 96 ? 64 : 48) << width;
    EXPECT_EQ(params.keys, params.keyTile) << width;
  }
}

TEST(TileParams, NarrowHeadsLeaveRegistersForASecondBlock) {
  TileExtents rows{56, 0, 32, 32};
  rows.storageBits = 16;
  MachineLimits limits = MachineLimits::gpu(80 * 1024);
  TileParams params = getTileParams(limits, rows);
  EXPECT_EQ(params.occupancy, 16);
  // Warps of a long worker take two fragments of rows at a time, those of a short one one.
  EXPECT_EQ(forRows(params, 16 * params.warps).rows, 16);
  EXPECT_EQ(forRows(params, 16 * params.warps + 1).rows, 32);
  // But not where the padding to two has no room.
  params.rowsPerWorker = 16 * params.warps + 16;
  EXPECT_EQ(forRows(params, 16 * params.warps + 1).rows, 16);
  // Beside scores, in wider heads and of f32 there is no room for two.
  TileExtents window{14, 196, 32, 32};
  window.storageBits = 16;
  EXPECT_EQ(getTileParams(limits, window).manyRows, 16);
  rows.channels = rows.values = 64;
  EXPECT_EQ(getTileParams(limits, rows).manyRows, 16);
  rows.channels = rows.values = 72;
  EXPECT_EQ(getTileParams(limits, rows).occupancy, 0);
  EXPECT_EQ(getTileParams(limits, {56, 0, 32, 32}).occupancy, 0);
}

TEST(TileParams, DiagonalsOfLepeTakeTheirShare) {
  TileExtents window{7, 49, 32, 32};
  window.storageBits = 16;
  window.hasLepe = window.lepeReadsKeys = true;
  // Room for a window of 49 rows and keys, but not for the matrices beside them.
  const int64_t shared = 18 * 1024;
  MachineLimits without = MachineLimits::gpu(shared), with = without;
  with.tensorBF16 = true;
  EXPECT_GE(getTileParams(without, window).rowsPerWorker, 49);
  EXPECT_LT(getTileParams(with, window).rowsPerWorker, 49);
}

TEST(TileParams, ContextWarpsHoldAllChannels) {
  for (int64_t width : {8, 16, 24, 32, 40, 64, 72, 80, 96, 128, 160, 256}) {
    TileParams params = getTileParams(MachineLimits::gpu(), {49, kDynamic, width, width});
    int64_t channels = roundUp(width, 16);
    EXPECT_EQ(channels % params.contextRows, 0) << width;
    EXPECT_LE(channels / params.contextRows * params.contextWarps, 16) << width;
    EXPECT_EQ(params.contextTokens % 8, 0) << width;
  }
}

TileParams withOverrides(const TileOverrides &overrides, TileExtents extents) {
  extents.storageBits = 16;
  return getTileParams(MachineLimits::gpu(80 * 1024, 16, overrides), extents);
}

TEST(TileParams, OverridesTakeThePlaceOfWhatIsChosen) {
  TileOverrides overrides;
  overrides.rowsPerBlock = 32;
  overrides.warpsPerBlock = 2;
  overrides.keysPerStep = 24;
  overrides.contextTokens = 48;
  overrides.contextWarps = 3;
  TileParams params = withOverrides(overrides, {14, 196, 32, 32});
  EXPECT_EQ(params.rowsPerWorker, 32);
  EXPECT_EQ(params.warps, 2);
  EXPECT_EQ(params.keys, 24);
  EXPECT_EQ(params.keyTile, 24);
  EXPECT_EQ(params.contextTokens, 48);
  EXPECT_EQ(params.contextWarps, 3);
}

TEST(TileParams, OneOverrideLeavesTheOthersChosen) {
  TileExtents extents{14, 196, 32, 32};
  TileParams chosen = withOverrides({}, extents);
  TileOverrides overrides;
  overrides.warpsPerBlock = 2;
  TileParams params = withOverrides(overrides, extents);
  EXPECT_EQ(params.keys, chosen.keys);
  EXPECT_EQ(params.rowsPerWorker, chosen.rowsPerWorker);
  EXPECT_EQ(params.contextTokens, chosen.contextTokens);
  // Blocks of keys pass by, and each warp has sixteen rows.
  overrides = {};
  overrides.keysPerStep = 64;
  params = withOverrides(overrides, extents);
  EXPECT_EQ(params.keys, 64);
  EXPECT_EQ(params.rowsPerWorker, 16 * params.warps);
  // As many keys as there are, or more, are the whole row.
  overrides.keysPerStep = 512;
  EXPECT_EQ(withOverrides(overrides, extents).keys, chosen.keys);
}

TEST(TileParams, HeadsOfSectorsAreTheFewest) {
  for (auto [channels, heads] : {std::pair{8, 2}, {16, 1}, {24, 2}, {32, 1}, {40, 2}, {72, 2}})
    EXPECT_EQ(getHeadsOfSectors(channels, channels, 16), heads) << channels;
  // Rows of eight f32 are a sector.
  for (int64_t channels : {8, 24, 40, 72})
    EXPECT_EQ(getHeadsOfSectors(channels, channels, 32), 1) << channels;
  EXPECT_EQ(getHeadsOfSectors(32, 40, 16), 2);
  // Staged rows would have padding between the heads.
  EXPECT_EQ(getHeadsOfSectors(20, 20, 16), 1);
  EXPECT_EQ(getHeadsOfSectors(40, 20, 16), 1);
  EXPECT_EQ(getHeadsOfSectors(kDynamic, 40, 16), 1);
}

TEST(TileParams, RowsThatBeginWithinASectorFetchMore) {
  for (auto [bytes, aligned, any] :
       {std::array{64, 64, 96}, {80, 96, 96}, {160, 160, 256}, {240, 256, 256}, {144, 160, 160}})
    EXPECT_EQ(std::pair(getSectorBytes(bytes, true), getSectorBytes(bytes, false)),
              std::pair(int64_t(aligned), int64_t(any)))
        << bytes;
}

TEST(TileParams, ManyHeadsShareABlockOnlyIfWarpsAreEnough) {
  const MachineLimits limits = MachineLimits::gpu(80 * 1024);
  for (auto [channels, most] : {std::pair{24, 5}, {40, 5}, {72, 2}}) {
    TileExtents extents{7, 49, channels, channels};
    extents.storageBits = 16;
    for (int64_t heads : {2, 3, 5})
      EXPECT_EQ(fitsHeads(limits, extents, heads, 49), heads <= most) << channels << ", " << heads;
  }
}

TEST(TileParams, HeadsShareABlockOnlyIfRowsStayAsMany) {
  TileExtents extents{8, 64, 40, 40};
  extents.storageBits = 16;
  EXPECT_TRUE(fitsHeads(MachineLimits::gpu(48 * 1024), extents, 2, 64));
  EXPECT_FALSE(fitsHeads(MachineLimits::gpu(24 * 1024), extents, 2, 64));
  // Rows in turns find the keys there.
  extents.keys = 196;
  EXPECT_TRUE(fitsHeads(MachineLimits::gpu(100 * 1024), extents, 2, 196));
  EXPECT_FALSE(fitsHeads(MachineLimits::gpu(64 * 1024), extents, 2, 196));
  // Rows of scores that pass by in blocks would read keys more often.
  for (int64_t keys : {int64_t(1024), kDynamic}) {
    extents.keys = keys;
    EXPECT_FALSE(fitsHeads(MachineLimits::gpu(160 * 1024), extents, 2, 16)) << keys;
  }
  // Without keys rows that are fewer would read a context more often.
  extents.keys = 0;
  EXPECT_TRUE(fitsHeads(MachineLimits::gpu(24 * 1024), extents, 2, 32));
  EXPECT_FALSE(fitsHeads(MachineLimits::gpu(24 * 1024), extents, 2, 256));
}

TEST(TileParams, HeadsOfABlockFitSharedMemory) {
  for (int64_t channels : {24, 40, 72})
    for (int64_t keys : {16, 49, 64, 196})
      for (int64_t bytes : {24, 48, 80, 112}) {
        TileExtents extents{14, keys, channels, channels};
        extents.storageBits = 16;
        MachineLimits limits = MachineLimits::gpu(bytes * 1024);
        if (!fitsHeads(limits, extents, 2, keys))
          continue;
        extents.heads = 2;
        TileParams params = getTileParams(limits, extents);
        const int64_t pitch = stagedPitch(2 * channels, 16);
        const int64_t rows = std::min(params.rowsPerWorker, roundUp(keys, 16));
        EXPECT_LE((rows + 2 * params.keys) * pitch * 2, bytes * 1024)
            << channels << " channels, " << keys << " keys, " << bytes << " KiB";
        EXPECT_LE(params.warps, 32);
      }
}

TEST(TileParams, ContextsOfHeadsHaveAWarpEach) {
  TileExtents extents{40, 4096, 40, 40};
  extents.storageBits = 16;
  EXPECT_TRUE(fitsContexts(MachineLimits::gpu(48 * 1024), extents, 2));
  extents.heads = 2;
  const TileParams params = getTileParams(MachineLimits::gpu(48 * 1024), extents);
  // Three tiles of 16 channels a head; a step has as many tokens as that of one head.
  EXPECT_EQ(params.contextRows, 16);
  EXPECT_EQ(params.contextWarps, 1);
  EXPECT_EQ(params.contextTiles, 2);
  extents.heads = 1;
  const TileParams one = getTileParams(MachineLimits::gpu(48 * 1024), extents);
  EXPECT_EQ(one.contextWarps * one.contextTiles, 2);
  // Ten warps.
  EXPECT_FALSE(fitsContexts(MachineLimits::gpu(48 * 1024), {72, 4096, 72, 72, 32, 16}, 2));
  EXPECT_FALSE(fitsContexts(MachineLimits::gpu(4 * 1024), extents, 2));
}

TEST(TileParams, StagedRowsLieInDifferentBanks) {
  for (int64_t columns : {8, 16, 24, 32, 40, 64, 128})
    for (int64_t bits : {16, 32}) {
      int64_t bytes = stagedPitch(columns, bits) * bits / 8;
      EXPECT_GE(bytes, columns * bits / 8);
      EXPECT_EQ(bytes % 32, 16);
    }
}

TEST(TileParams, FragmentsOfF32MeetInNoBank) {
  for (int64_t columns : {8, 16, 20, 32, 40, 64, 128}) {
    // 16 lanes have eight words of each of four rows.
    std::set<int64_t> banks;
    for (int64_t row = 0; row < 4; ++row)
      for (int64_t word = 0; word < 8; ++word)
        banks.insert((row * fragmentPitch(columns) + word) % 32);
    EXPECT_GE(fragmentPitch(columns), columns);
    EXPECT_EQ(banks.size(), 32u) << columns << " columns";
  }
}

TEST(TileParams, PartsOfAContextMeetWhereItsTokensWere) {
  TileExtents extents{.rows = 0, .keys = 0, .channels = 32, .values = 32};
  extents.storageBits = 16;
  extents.ownsContext = true;
  // 256 tokens are 40 KB, and eight parts as much.
  for (int64_t bytes : {48 * 1024, 80 * 1024, 112 * 1024}) {
    TileParams params = getTileParams(MachineLimits::gpu(bytes), extents);
    EXPECT_EQ(params.contextTokens * params.contextWarps, 256) << bytes << " bytes";
  }
}

TEST(TileParams, LinesOfABlockLeaveFewPaddedKeys) {
  EXPECT_EQ(chooseLines(/*lines=*/14, /*most=*/16, /*keys=*/14, /*padTo=*/16), 14);
  EXPECT_EQ(chooseLines(14, 4, 14, 16), 2) << "seven blocks of 32 keys, as few as of 16";
  EXPECT_EQ(chooseLines(4, 3, 16, 16), 2) << "the most of those without padding";
  EXPECT_EQ(chooseLines(0, 4, 14, 16), 1);
}

TEST(TileParams, BlocksHaveNoMoreWarpsThanRegisters) {
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
