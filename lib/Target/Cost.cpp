// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Target/Cost.h"

#include "llvm/Support/ErrorHandling.h"

#include <algorithm>

using namespace elfatt::target;

/// Half of an even number.
static Count halve(Count count) {
  std::optional<int64_t> known = count.get();
  return known ? *known / 2 : -1;
}

/// Scores of queries 0..N-1 that see keys 0..i of M.
static Count countCausalScores(Count queries, Count keys) {
  std::optional<int64_t> n = queries.get(), m = keys.get();
  if (!n || !m)
    return -1;
  // Rows of the triangle, then rows that see every key.
  Count triangle = std::min(*n, *m), full = std::max<int64_t>(*n - *m, 0);
  return halve(triangle * (triangle + 1)) + full * keys;
}

static Count subtract(Count from, Count what) {
  std::optional<int64_t> a = from.get(), b = what.get();
  return a && b ? *a - *b : -1;
}

Cost elfatt::target::getSdpaCost(const AttentionSizes &sizes, Count bytes, bool causal) {
  Count scores =
      sizes.batch * sizes.heads *
      (causal ? countCausalScores(sizes.queries, sizes.keys) : sizes.queries * sizes.keys);
  return {scores * (sizes.channels + sizes.values) * 2, bytes, scores};
}

Cost elfatt::target::getLinearCost(const AttentionSizes &sizes, Count bytes) {
  Count tokens = sizes.batch * sizes.heads * (sizes.queries + sizes.keys);
  return {tokens * sizes.channels * sizes.values * 2, bytes, tokens * sizes.channels};
}

Cost elfatt::target::getElfattCost(const AttentionSizes &sizes, const ElfattSizes &elfatt,
                                   Count bytes) {
  Count tokens = sizes.queries, grid = subtract(tokens, elfatt.prefix);
  Count localHeads = subtract(sizes.heads, elfatt.globalHeads);
  // A prefix query sees all tokens in every head, a grid query its window and the prefix.
  Count scores = sizes.heads * elfatt.prefix * tokens +
                 localHeads * grid * (elfatt.windowTokens + elfatt.prefix);
  // All tokens are keys of the global branch, those of the grid are its queries.
  Count linear = elfatt.globalHeads * (grid + tokens);
  Count taps = elfatt.globalHeads * elfatt.globalTaps + localHeads * elfatt.localTaps;
  Count flops = scores * (sizes.channels + sizes.values) + linear * sizes.channels * sizes.values +
                taps * grid * sizes.values;
  return {sizes.batch * flops * 2, bytes, sizes.batch * (scores + linear * sizes.channels)};
}

llvm::StringRef elfatt::target::getName(Bound bound) {
  switch (bound) {
  case Bound::Memory:
    return "memory";
  case Bound::Flops:
    return "flops";
  case Bound::Exponentials:
    return "exponentials";
  }
  llvm_unreachable("unknown bound");
}

std::optional<Limit> elfatt::target::getLimit(const Cost &cost, const HostRates &rates) {
  std::optional<int64_t> bytes = cost.bytes.get(), flops = cost.flops.get(),
                         exponentials = cost.exponentials.get();
  if (!bytes || !flops || !exponentials)
    return std::nullopt;
  double memory = *bytes / rates.bytes, products = *flops / rates.flops,
         powers = *exponentials / rates.exponentials;
  if (memory >= products + powers)
    return Limit{memory, Bound::Memory};
  return Limit{products + powers, products >= powers ? Bound::Flops : Bound::Exponentials};
}
