// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How large a site is and what it costs, for reports.
#ifndef ELFATT_LIB_RAISE_SITECOST_H
#define ELFATT_LIB_RAISE_SITECOST_H

#include "Contraction.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"

namespace elfatt::raise {

/// A number that is not negative; unknown where a size is dynamic, or too large.
class Count {
public:
  Count(int64_t value = 1) : value(value) {}

  std::optional<int64_t> get() const { return value < 0 ? std::nullopt : std::optional(value); }
  Count operator*(Count other) const {
    int64_t product;
    bool isKnown = value >= 0 && other.value >= 0;
    if (!isKnown || __builtin_mul_overflow(value, other.value, &product))
      return Count(-1);
    return product;
  }
  Count operator+(Count other) const {
    int64_t sum;
    bool isKnown = value >= 0 && other.value >= 0;
    if (!isKnown || __builtin_add_overflow(value, other.value, &sum))
      return Count(-1);
    return sum;
  }
  Count &operator*=(Count other) { return *this = *this * other; }
  Count &operator+=(Count other) { return *this = *this + other; }

private:
  int64_t value; // ShapedType::kDynamic is negative.
};

/// Sizes of an attention. H counts query heads; it is 1 where heads cannot be told
/// from the batch.
struct SiteShape {
  Count batch, heads, queries, keys, channels, values;

  static constexpr llvm::StringLiteral kNames[] = {"B", "H", "N", "M", "D", "Dv"};
  std::array<Count, 6> getSizes() const { return {batch, heads, queries, keys, channels, values}; }
};

struct SiteCost {
  Count flops, bytes, exponentials;
};

SiteShape getSiteShape(attention::SdpaOp op);
SiteShape getSiteShape(attention::LinearOp op);
SiteShape getSiteShape(attention::ElfattOp op);
/// Of what looked like attention. `isLinear`: of Q (K^T V).
SiteShape getSiteShape(const ContractionPair &pair, bool isLinear);

SiteCost getSiteCost(attention::SdpaOp op);
SiteCost getSiteCost(attention::LinearOp op);
SiteCost getSiteCost(attention::ElfattOp op);
SiteCost getSiteCost(const ContractionPair &pair);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_SITECOST_H
