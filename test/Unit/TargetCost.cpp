// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Target/Cost.h"

#include "gtest/gtest.h"

using namespace elfatt::target;

namespace {

/// 56 x 56 tokens, 64 channels, 2 heads, batch 8, windows of 7 x 7, LePE of 3 x 3.
const AttentionSizes kStage = {8, 2, 3136, 3136, 32, 32};
const ElfattSizes kWindow7 = {1, 49, 0, 9, 9};
constexpr int64_t kUnknown = -1;

TEST(TargetCost, ExactAttentionGrowsWithTheSquare) {
  Cost cost = getSdpaCost(kStage, 7);
  EXPECT_EQ(cost.exponentials.get(), 16ll * 3136 * 3136);
  EXPECT_EQ(cost.flops.get(), 16ll * 3136 * 3136 * 64 * 2);
  EXPECT_EQ(cost.bytes.get(), 7);
}

TEST(TargetCost, CausalAttentionIsCountedPairByPair) {
  for (int64_t queries : {0, 1, 5, 9})
    for (int64_t keys : {1, 5, 9}) {
      int64_t pairs = 0;
      for (int64_t i = 0; i < queries; ++i)
        for (int64_t j = 0; j < keys; ++j)
          pairs += j <= i;
      Cost cost = getSdpaCost({1, 1, queries, keys, 8, 8}, 0, /*causal=*/true);
      EXPECT_EQ(cost.exponentials.get(), pairs) << queries << " queries, " << keys << " keys";
    }
}

TEST(TargetCost, ElfattIsBothBranchesAndLePE) {
  Cost cost = getElfattCost(kStage, kWindow7, 0);
  int64_t tokens = 8 * 3136;
  EXPECT_EQ(cost.exponentials.get(), tokens * 49 + 2 * tokens * 32);
  EXPECT_EQ(cost.flops.get(), 2 * (tokens * 49 * 64 + 2 * tokens * 32 * 32 + 2 * tokens * 9 * 32));
}

TEST(TargetCost, ElfattIsLinearInTheTokens) {
  ElfattSizes window = {1, 64};
  Cost once = getElfattCost({1, 2, 4096, 4096, 32, 32}, window, 0);
  Cost tenTimes = getElfattCost({1, 2, 40960, 40960, 32, 32}, window, 0);
  EXPECT_EQ(*tenTimes.flops.get(), 10 * *once.flops.get());
  EXPECT_EQ(*tenTimes.exponentials.get(), 10 * *once.exponentials.get());
}

TEST(TargetCost, ElfattOfGlobalHeadsIsLinearAttention) {
  AttentionSizes sizes = {3, 4, 100, 100, 16, 24};
  Cost elfatt = getElfattCost(sizes, {/*globalHeads=*/4, 25}, 0), linear = getLinearCost(sizes, 0);
  EXPECT_EQ(elfatt.flops.get(), linear.flops.get());
  EXPECT_EQ(elfatt.exponentials.get(), linear.exponentials.get());
}

TEST(TargetCost, ElfattOfPrefixTokensIsExactAttention) {
  AttentionSizes sizes = {2, 4, 10, 10, 16, 16};
  // No global head, so that no token is a key of the linear branch.
  Cost elfatt = getElfattCost(sizes, {0, 1, /*prefix=*/10}, 0), exact = getSdpaCost(sizes, 0);
  EXPECT_EQ(elfatt.flops.get(), exact.flops.get());
  EXPECT_EQ(elfatt.exponentials.get(), exact.exponentials.get());
}

TEST(TargetCost, PrefixQueriesSeeAllAndGridQueriesSeeThePrefix) {
  Cost cost = getElfattCost({1, 1, 5, 5, 2, 2}, {0, /*windowTokens=*/2, /*prefix=*/1}, 0);
  EXPECT_EQ(cost.exponentials.get(), 1 * 5 + 4 * 3);
}

TEST(TargetCost, UnknownSizesGiveUnknownCosts) {
  Cost cost = getElfattCost({kUnknown, 2, 3136, 3136, 32, 32}, kWindow7, 0);
  EXPECT_FALSE(cost.flops.get());
  EXPECT_FALSE(getSdpaCost({1, 1, kUnknown, 4, 8, 8}, 0, /*causal=*/true).flops.get());
  EXPECT_FALSE(getLimit(cost, {1, 1, 1}));
  // Too large for 64 bits.
  EXPECT_FALSE(getSdpaCost({1 << 20, 1 << 20, 1 << 20, 1 << 20, 1, 1}, 0).flops.get());
}

TEST(TargetCost, LimitIsMemoryOrArithmetic) {
  // Ten units of each; flops and exponentials run one after the other.
  Cost cost = {10, 10, 10};
  auto limit = [&](double bytes, double flops, double exponentials) {
    return *getLimit(cost, {bytes, flops, exponentials});
  };
  EXPECT_EQ(limit(1, 10, 10).seconds, 10);
  EXPECT_EQ(getName(limit(1, 10, 10).bound), "memory");
  EXPECT_EQ(limit(10, 1, 5).seconds, 12);
  EXPECT_EQ(getName(limit(10, 1, 5).bound), "flops");
  EXPECT_EQ(getName(limit(10, 5, 1).bound), "exponentials");
}

TEST(TargetCost, NothingTakesNoTime) {
  EXPECT_EQ(getLimit(getSdpaCost({0, 1, 4, 4, 8, 8}, 0), {1, 1, 1})->seconds, 0);
}

} // namespace
