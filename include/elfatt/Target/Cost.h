// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What an attention costs, and how long a host takes for it at the least: pure
// functions of sizes and rates, without IR.
#ifndef ELFATT_TARGET_COST_H
#define ELFATT_TARGET_COST_H

#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <optional>

namespace elfatt::target {

/// A number that is not negative; unknown where a size is dynamic, or too large.
class Count {
public:
  /// Unknown when `value` is negative, as ShapedType::kDynamic is.
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
  int64_t value;
};

/// Sizes of an attention: B, H (query heads), N queries, M keys, D channels of
/// queries and keys, Dv of values.
struct AttentionSizes {
  Count batch, heads, queries, keys, channels, values;
};

/// What makes ELFATT of N tokens: the first of them are a prefix, the others lie
/// on a grid.
struct ElfattSizes {
  Count globalHeads;
  Count windowTokens; ///< of one window
  Count prefix = 0;
  Count globalTaps = 0, localTaps = 0; ///< of the LePE of a branch; 0 without one
};

/// A multiply-add is two operations. Bytes are those that have to cross memory:
/// operands and result, each once.
struct Cost {
  Count flops = 0, bytes = 0, exponentials = 0;

  Cost &operator+=(const Cost &other) {
    flops += other.flops;
    bytes += other.bytes;
    exponentials += other.exponentials;
    return *this;
  }
};

/// Softmax attention: two products and an exponential for each score. With
/// `causal` only scores of keys 0..i are made for query i.
Cost getSdpaCost(const AttentionSizes &sizes, Count bytes, bool causal = false);

/// Linear attention: K^T V and Q (K^T V); an exponential for each element of Q and K.
Cost getLinearCost(const AttentionSizes &sizes, Count bytes);

/// Both branches, LePE and prefix rows. `keys` and `queries` of `sizes` are the tokens.
Cost getElfattCost(const AttentionSizes &sizes, const ElfattSizes &elfatt, Count bytes);

/// What a host does in a second with the threads it is given.
struct HostRates {
  double bytes;        ///< read or written, of a copy as large as the data
  double flops;        ///< of independent multiply-adds
  double exponentials; ///< of 2^x by a polynomial, to 2 ulp
};

enum class Bound { Memory, Flops, Exponentials };

/// "memory", "flops" or "exponentials".
llvm::StringRef getName(Bound bound);

/// The least time, and which unit of the machine needs most of it.
struct Limit {
  double seconds;
  Bound bound;
};

/// max(bytes / rate, flops / rate + exponentials / rate): memory works beside
/// arithmetic, and exponentials are arithmetic. None where a count is unknown.
std::optional<Limit> getLimit(const Cost &cost, const HostRates &rates);

} // namespace elfatt::target

#endif // ELFATT_TARGET_COST_H
