// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Approximate/Plan.h"

#include "gtest/gtest.h"

using namespace elfatt::approximate;
using Extents = llvm::SmallVector<int64_t>;

namespace {
Request request(Extents window, Extents grid = {}, std::optional<int64_t> prefix = std::nullopt) {
  Request result;
  result.window = window;
  result.grid = grid;
  result.prefix = prefix;
  return result;
}

void expectGrid(std::optional<Grid> grid, Extents extents, int64_t prefix) {
  ASSERT_TRUE(grid.has_value());
  EXPECT_EQ(grid->extents, extents);
  EXPECT_EQ(grid->prefix, prefix);
}
} // namespace

TEST(ParseExtents, TakesOnePerAxis) {
  std::string why;
  EXPECT_EQ(*parseExtents("7", why), Extents({7}));
  EXPECT_EQ(*parseExtents("7x14", why), Extents({7, 14}));
  EXPECT_EQ(*parseExtents("1x2x3", why), Extents({1, 2, 3}));
}

TEST(ParseExtents, NamesTheWrongPart) {
  for (llvm::StringRef text : {"", "x", "7x", "x7", "0x7", "-1", "7X7", "7x7 ", "7.5", "0x"}) {
    std::string why;
    EXPECT_TRUE(failed(parseExtents(text, why))) << text.str();
    EXPECT_NE(why.find("expected extents of at least 1"), std::string::npos);
  }
}

TEST(InferGrid, TakesTheSmallestPrefix) {
  expectGrid(inferGrid(3136, request({7, 7})), {56, 56}, 0);
  expectGrid(inferGrid(197, request({7, 7})), {14, 14}, 1);
  // DINOv2 with four registers.
  expectGrid(inferGrid(201, request({7, 7})), {14, 14}, 5);
  // 19, 18 and 17 tokens are no squares.
  expectGrid(inferGrid(20, request({2, 2})), {4, 4}, 4);
}

TEST(InferGrid, TakesSquaresThatTheWindowDivides) {
  EXPECT_FALSE(inferGrid(196, request({8, 8})));
  EXPECT_FALSE(inferGrid(205, request({7, 7}))); // 9 prefix tokens are too many
  EXPECT_FALSE(inferGrid(5, request({7, 7})));
  expectGrid(inferGrid(196, request({2, 7})), {14, 14}, 0);
}

TEST(InferGrid, TakesOtherNumbersOfAxes) {
  expectGrid(inferGrid(1027, request({16})), {1024}, 3);
  expectGrid(inferGrid(65, request({2, 2, 4})), {4, 4, 4}, 1);
}

TEST(InferGrid, KeepsToWhatIsGiven) {
  expectGrid(inferGrid(85, request({7, 3}, {14, 6})), {14, 6}, 1);
  EXPECT_FALSE(inferGrid(85, request({7, 3}, {14, 6}, 0)));
  EXPECT_FALSE(inferGrid(83, request({7, 3}, {14, 6})));
  EXPECT_FALSE(inferGrid(84 + 9, request({7, 3}, {14, 6})));
  expectGrid(inferGrid(84 + 9, request({7, 3}, {14, 6}, 9)), {14, 6}, 9);
  expectGrid(inferGrid(196 + 20, request({7, 7}, {}, 20)), {14, 14}, 20);
  EXPECT_FALSE(inferGrid(197, request({7, 7}, {}, 0)));
}

TEST(InferGrid, LetsEveryTokenBeAPrefix) {
  expectGrid(inferGrid(5, request({7, 7}, {}, 5)), {0, 0}, 5);
}

TEST(InferGrid, DoesNotOverflow) {
  EXPECT_FALSE(inferGrid(197, request({1, 1}, {int64_t(1) << 62, int64_t(1) << 62})));
}
