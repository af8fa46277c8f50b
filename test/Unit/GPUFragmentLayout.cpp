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
  FragmentLayout layout({64, 64}, {LaneDim::Group, LaneDim::Quad});
  for (int64_t d = 0; d < 2; ++d)
    for (int64_t local = 0; local < layout.localSize(d); ++local)
      EXPECT_EQ(layout.localOf(d, layout.constantOffset(d, local)), local);
}

TEST(GPUFragmentLayout, RefusesWhatAWarpDoesNotCover) {
  EXPECT_FALSE(FragmentLayout::accumulator({16, 7}).isValid());
  EXPECT_FALSE(FragmentLayout({8, 8}, {LaneDim::Quad, LaneDim::Quad}).isValid());
  EXPECT_TRUE(FragmentLayout::accumulator({16, 1}).isValid());
  EXPECT_EQ(FragmentLayout::accumulator({16, 8}).str(), "16x8 [group, quad]");
}
} // namespace
