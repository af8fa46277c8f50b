// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How large a site is and what it costs, for reports.
#ifndef ELFATT_LIB_RAISE_SITECOST_H
#define ELFATT_LIB_RAISE_SITECOST_H

#include "Analysis/Contraction.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Target/Cost.h"

namespace elfatt::raise {

using target::Count;

/// Sizes of a site. H counts query heads; it is 1 where heads cannot be told from the
/// batch.
struct SiteShape : target::AttentionSizes {
  static constexpr llvm::StringLiteral kNames[] = {"B", "H", "N", "M", "D", "Dv"};
  std::array<Count, 6> getSizes() const { return {batch, heads, queries, keys, channels, values}; }
};

/// On an sdpa whose dims do not show it: how many query heads share keys, which are rows
/// to the op.
inline constexpr llvm::StringLiteral kGroupsAttr = "attention.groups";
/// Notes `groups` on `op` where its dims would be read otherwise.
void noteGroups(attention::SdpaOp op, int64_t groups);

SiteShape getSiteShape(attention::SdpaOp op);
SiteShape getSiteShape(attention::LinearOp op);
SiteShape getSiteShape(attention::ElfattOp op);
/// Of what looked like attention. `isLinear`: of Q (K^T V).
SiteShape getSiteShape(const ContractionPair &pair, bool isLinear);

target::Cost getSiteCost(attention::SdpaOp op);
target::Cost getSiteCost(attention::LinearOp op);
target::Cost getSiteCost(attention::ElfattOp op);
target::Cost getSiteCost(const ContractionPair &pair);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_SITECOST_H
