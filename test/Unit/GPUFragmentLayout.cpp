// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/FragmentLayout.h"

#include "gtest/gtest.h"

using namespace elfatt::gpu;

namespace {
/// Element that a lane holds at a flat position.
llvm::SmallVector<int64_t> element(const FragmentLayout &layout, int64_t lane, int64_t flat) {
  llvm::SmallVector<int64_t> result = layout.unflatten(flat);
  for (int64_t d = 0; d < layout.rank(); ++d)
    result[d] =
        layout.constantOffset(d, result[d]) + FragmentLayout::laneOffset(layout.getDims()[d], lane);
  return result;
}

TEST(GPUFragmentLayout, LanesHoldEveryElementOnce) {
  for (auto dims : {std::pair{LaneDim::Group, LaneDim::Quad}, {LaneDim::Quad, LaneDim::Group}}) {
    FragmentLayout layout({16, 24}, {dims.first, dims.second});
    std::vector<int> seen(16 * 24);
    for (int64_t lane = 0; lane < kWarpSize; ++lane)
      for (int64_t flat = 0; flat < layout.numLocal(); ++flat) {
        auto e = element(layout, lane, flat);
        ++seen[e[0] * 24 + e[1]];
      }
    EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
  }
}

// PTX manual, fragments of mma.m16n8k16: accumulator c0..c3 of lane l is at row
// l / 4 (+ 8 for c2, c3), column 2 (l % 4) + (0, 1).
TEST(GPUFragmentLayout, AccumulatorIsTheManuals) {
  FragmentLayout layout = FragmentLayout::accumulator({16, 8});
  for (int64_t lane = 0; lane < kWarpSize; ++lane)
    for (int64_t c = 0; c < 4; ++c) {
      auto e = element(layout, lane, c);
      EXPECT_EQ(e[0], lane / 4 + (c < 2 ? 0 : 8));
      EXPECT_EQ(e[1], 2 * (lane % 4) + c % 2);
    }
}

TEST(GPUFragmentLayout, RowsAreRepeatedOverTheQuad) {
  FragmentLayout layout = FragmentLayout::accumulator({16});
  EXPECT_EQ(layout.numLocal(), 2);
  for (int64_t lane = 0; lane < kWarpSize; ++lane)
    EXPECT_EQ(element(layout, lane, 1)[0], 8 + lane / 4);
}

TEST(GPUFragmentLayout, LocalOfInvertsTheOffset) {
  using enum LaneDim;
  for (auto dims : {std::pair{Group, Quad}, {PairRow, PairColumn}, {PairSum, PairFour}}) {
    FragmentLayout layout({64, 64}, {dims.first, dims.second});
    for (int64_t d = 0; d < 2; ++d)
      for (int64_t local = 0; local < layout.localSize(d); ++local)
        EXPECT_EQ(layout.localOf(d, layout.constantOffset(d, local)), local);
  }
}

// PTX manual, "Matrix Fragments for mma.m8n8k4 with .f16 floating point type": what a lane has of
// the product of its quad pair.
int64_t pairOf(int64_t lane) { return lane % 16 / 4; }
int64_t lineOf(int64_t lane) { return lane % 4 + (lane < 16 ? 0 : 4); }
int64_t sumRow(int64_t lane, int64_t i) { return lane % 2 + (i & 2) + (lane < 16 ? 0 : 4); }
int64_t sumColumn(int64_t lane, int64_t i) { return (i & 4) + (lane & 2) + i % 2; }

/// Element of a dim at local coordinate `local` in `lane`.
int64_t at(const FragmentLayout &layout, int64_t d, int64_t local, int64_t lane) {
  return layout.constantOffset(d, local) + FragmentLayout::laneOffset(layout.getDims()[d], lane);
}

// Four products make a 16x16 block: where the operands say that rows and columns of a pair's
// product lie in the tile, its sums lie too.
TEST(GPUFragmentLayout, QuadPairsAreTheManuals) {
  using enum LaneDim;
  const FragmentLayout left({16, 4}, {PairLeft, None}), right({16, 4}, {PairRight, None});
  const FragmentLayout wide({4, 16}, {PairSum, PairFour}), sums({16, 16}, {PairRow, PairColumn});
  int64_t rows[4][8], columns[4][8];
  std::vector<int> seen(16 * 16);
  for (int64_t lane = 0; lane < kWarpSize; ++lane) {
    rows[pairOf(lane)][lineOf(lane)] = at(left, 0, 0, lane);
    // The upper half of a warp takes the second eight columns.
    columns[pairOf(lane)][lineOf(lane)] = at(right, 0, lane / 16, lane);
  }
  for (int64_t lane = 0; lane < kWarpSize; ++lane) {
    ASSERT_EQ(left.numLocal(), 4);
    ASSERT_EQ(sums.numLocal(), 8);
    for (int64_t i = 0; i < 8; ++i) {
      // Registers by row (bit 1 of i), then by block of columns (bit 2) and neighbour (bit 0).
      const int64_t row = at(sums, 0, i / 2 % 2, lane);
      const int64_t column = at(sums, 1, 2 * (i / 4) + i % 2, lane);
      EXPECT_EQ(row, rows[pairOf(lane)][sumRow(lane, i)]);
      EXPECT_EQ(column, columns[pairOf(lane)][sumColumn(lane, i)]);
      ++seen[row * 16 + column];
    }
    // .row: k is lane % 4, columns are four neighbours.
    for (int64_t i = 0; i < 4; ++i) {
      EXPECT_EQ(at(wide, 0, 0, lane), lane % 4);
      EXPECT_EQ(at(wide, 1, 4 * (lane / 16) + i, lane),
                columns[pairOf(lane)][i + (lane < 16 ? 0 : 4)]);
    }
  }
  EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
}

TEST(GPUFragmentLayout, NeighboursAreWhatALaneHoldsInARow) {
  using enum LaneDim;
  EXPECT_EQ(FragmentLayout({16, 24}, {Group, Quad}).getNeighbours(), 2);
  EXPECT_EQ(FragmentLayout({16, 24}, {PairLeft, None}).getNeighbours(), 8);
  EXPECT_EQ(FragmentLayout({16, 12}, {PairLeft, None}).getNeighbours(), 4);
  EXPECT_EQ(FragmentLayout({24, 16}, {PairSum, PairFour}).getNeighbours(), 4);
  EXPECT_EQ(FragmentLayout({24, 16}, {Quad, Group}).getNeighbours(), 1);
}

TEST(GPUFragmentLayout, LanesThatHoldTheSameDifferInTheFreeBits) {
  using enum LaneDim;
  EXPECT_EQ(FragmentLayout({16, 8}, {Group, Quad}).getFreeLanes(), 0u);
  EXPECT_EQ(FragmentLayout({16, 8}, {PairRow, PairColumn}).getFreeLanes(), 0u);
  EXPECT_EQ(FragmentLayout({16, 8}, {PairLeft, None}).getFreeLanes(), 8u);
  EXPECT_EQ(FragmentLayout({16}, {PairRow}).getFreeLanes(), 10u);
}

TEST(GPUFragmentLayout, RefusesWhatAWarpDoesNotCover) {
  EXPECT_FALSE(FragmentLayout::accumulator({16, 7}).isValid());
  EXPECT_FALSE(FragmentLayout({8, 8}, {LaneDim::Quad, LaneDim::Quad}).isValid());
  EXPECT_FALSE(FragmentLayout({24, 8}, {LaneDim::PairLeft, LaneDim::None}).isValid());
  EXPECT_FALSE(FragmentLayout({16, 8}, {LaneDim::PairLeft, LaneDim::PairColumn}).isValid());
  EXPECT_TRUE(FragmentLayout::accumulator({16, 1}).isValid());
  EXPECT_EQ(FragmentLayout::accumulator({16, 8}).str(), "16x8 [group, quad]");
}
} // namespace
