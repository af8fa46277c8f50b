// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How exact attention becomes ELFATT, or why not: pure functions, apart from the
// rewrite.
#ifndef ELFATT_APPROXIMATE_PLAN_H
#define ELFATT_APPROXIMATE_PLAN_H

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Raise/ReasonList.h"

#include <optional>
#include <variant>

namespace elfatt::approximate {

/// What the user asked for, checked.
struct Request {
  llvm::SmallVector<int64_t> window;
  /// Empty: inferred from the number of tokens.
  llvm::SmallVector<int64_t> grid;
  /// Absent: half of the heads.
  std::optional<int64_t> globalHeads;
  /// Absent: the smallest that fits.
  std::optional<int64_t> prefix;
  int64_t minTokens = 0;
};

/// The extents of `7x7`, each at least 1; the offending part in `why` otherwise.
llvm::FailureOr<llvm::SmallVector<int64_t>> parseExtents(llvm::StringRef text, std::string &why);

/// Most prefix tokens that are looked for: a class token and a few registers.
inline constexpr int64_t kMaxInferredPrefix = 8;

struct Grid {
  llvm::SmallVector<int64_t> extents;
  int64_t prefix = 0;
};

/// The grid of `tokens` tokens: the requested one, or the smallest prefix that
/// leaves axes of one length that the window divides. None: nullopt.
std::optional<Grid> inferGrid(int64_t tokens, const Request &request);

// name in reports, text behind "attention not approximated (name): ".
#define ELFATT_APPROXIMATE_REASONS(X)                                                              \
  X(CausalMask, "approximate-causal-mask", "ELFATT has no causal mask")                            \
  X(Bias, "approximate-bias", "ELFATT adds no bias to scores")                                     \
  X(PaddingMask, "approximate-padding-mask", "ELFATT has no mask")                                 \
  X(ScoreFunction, "approximate-score-function", "ELFATT changes no scores")                       \
  X(CrossAttention, "approximate-cross-attention", "queries and keys are not the same tokens")     \
  X(TokenDims, "approximate-token-dims", "expected one dim of query and one of key tokens")        \
  X(Channels, "approximate-channels", "it attends over channels, which lie on no grid")            \
  X(SharedHeads, "approximate-shared-heads",                                                       \
    "query, key, value and result do not all have the same batch and head dims")                   \
  X(NoHeads, "approximate-no-heads", "there is no head dim apart from the batch")                  \
  X(OneHead, "approximate-one-head",                                                               \
    "there is one head, and its channels are not divided between the branches")                    \
  X(TooFewHeads, "approximate-too-few-heads", "there are fewer heads than global-heads")           \
  X(DynamicShape, "approximate-dynamic-shape",                                                     \
    "the number of tokens or of heads is not known at compile time")                               \
  X(FewTokens, "approximate-few-tokens", "there are fewer tokens than min-tokens")                 \
  X(NoGrid, "approximate-no-grid", "no grid of windows fits the number of tokens")

ELFATT_DEFINE_REASONS(Reason, ELFATT_APPROXIMATE_REASONS)

struct Refusal {
  Reason reason;
  /// Figures, where they say more than the reason.
  std::string detail;
};

/// An `attention.elfatt` for an `attention.sdpa`.
struct Plan {
  Grid grid;
  int64_t heads, globalHeads;
  /// Dims of sdpa's domain in the order (batch..., h, n, d, e); n is the rows'.
  llvm::SmallVector<unsigned> order;
  /// The dim of the keys, which is n too.
  unsigned keys;
};

/// The plan for `op`, on tensors, or the first reason against it.
std::variant<Plan, Refusal> makePlan(attention::SdpaOp op, const Request &request);

} // namespace elfatt::approximate

#endif // ELFATT_APPROXIMATE_PLAN_H
