// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Approximate/Plan.h"

#include "elfatt/Raise/Channels.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::approximate;

FailureOr<SmallVector<int64_t>> approximate::parseExtents(StringRef text, std::string &why) {
  SmallVector<int64_t> extents;
  for (StringRef part : llvm::split(text, 'x')) {
    int64_t extent;
    if (part.getAsInteger(10, extent) || extent < 1) {
      why = llvm::formatv("expected extents of at least 1 such as 7x7, got '{0}' in '{1}'", part,
                          text);
      return failure();
    }
    extents.push_back(extent);
  }
  return extents;
}

/// The product, or nullopt where it overflows.
static std::optional<int64_t> product(ArrayRef<int64_t> extents) {
  int64_t result = 1;
  for (int64_t extent : extents)
    if (llvm::MulOverflow(result, extent, result))
      return std::nullopt;
  return result;
}

/// The extent of `axes` equal axes over `tokens` tokens, if there is one.
static std::optional<int64_t> equalAxes(int64_t tokens, unsigned axes) {
  auto root = int64_t(std::llround(std::pow(double(tokens), 1.0 / axes)));
  if (product(SmallVector<int64_t>(axes, root)) != tokens)
    return std::nullopt;
  return root;
}

std::optional<Grid> approximate::inferGrid(int64_t tokens, const Request &request) {
  unsigned axes = request.window.size();
  if (!request.grid.empty()) {
    std::optional<int64_t> onGrid = product(request.grid);
    if (!onGrid || *onGrid > tokens)
      return std::nullopt;
    int64_t prefix = tokens - *onGrid;
    if (prefix != request.prefix.value_or(std::min(prefix, kMaxInferredPrefix)))
      return std::nullopt;
    return Grid{request.grid, prefix};
  }
  // Every token a prefix, if that is what was asked for.
  if (request.prefix == tokens)
    return Grid{SmallVector<int64_t>(axes, 0), tokens};
  int64_t first = request.prefix.value_or(0), last = request.prefix.value_or(kMaxInferredPrefix);
  for (int64_t prefix = first; prefix <= last && prefix < tokens; ++prefix) {
    std::optional<int64_t> extent = equalAxes(tokens - prefix, axes);
    if (extent &&
        llvm::all_of(request.window, [&](int64_t window) { return *extent % window == 0; }))
      return Grid{SmallVector<int64_t>(axes, *extent), prefix};
  }
  return std::nullopt;
}

/// The reason in the scores of `op`, if there is one.
static std::optional<Refusal> refuseScores(attention::SdpaOp op) {
  if (op.getCausal())
    return Refusal{Reason::CausalMask, ""};
  if (!op.getScore().empty())
    return Refusal{Reason::ScoreFunction, ""};
  if (!op.getBias().empty()) {
    Type type = op.getBias().front().getType();
    return Refusal{getElementTypeOrSelf(type).isInteger(1) ? Reason::PaddingMask : Reason::Bias,
                   llvm::formatv("got {0}", type)};
  }
  return std::nullopt;
}

/// The head dim: in the result, the last batch dim if there are several, and a
/// lone one if it stands behind the tokens (otherwise it may be the batch).
static std::optional<unsigned> findHeads(AffineMap result, const attention::AttentionDims &dims) {
  std::optional<unsigned> last;
  bool isBehindTokens = false, seenTokens = false;
  for (AffineExpr expr : result.getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (!dim)
      continue;
    seenTokens |= dim.getPosition() == dims.rows.front();
    if (llvm::is_contained(dims.batch, dim.getPosition())) {
      last = dim.getPosition();
      isBehindTokens = seenTokens;
    }
  }
  return dims.batch.size() > 1 || isBehindTokens ? last : std::nullopt;
}

std::variant<Plan, Refusal> approximate::makePlan(attention::SdpaOp op, const Request &request) {
  if (std::optional<Refusal> refusal = refuseScores(op))
    return *refusal;
  auto dims = attention::AttentionDims::get(op);
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<int64_t> ranges = attention::getStaticLoopRanges(op);
  // Heads that share keys are row dims beside that of the tokens.
  if (dims.keys.size() == 1 && dims.rows.size() > 1 &&
      llvm::any_of(dims.rows, [&](unsigned dim) { return ranges[dim] == ranges[dims.keys[0]]; }))
    return Refusal{Reason::SharedHeads, ""};
  if (dims.rows.size() != 1 || dims.keys.size() != 1)
    return Refusal{Reason::TokenDims,
                   llvm::formatv("got {0} and {1}", dims.rows.size(), dims.keys.size())};
  if (raise::attendsOverChannels(op))
    return Refusal{Reason::Channels, ""};
  for (unsigned dim : dims.batch)
    for (AffineMap map : maps)
      if (!map.isFunctionOfDim(dim))
        return Refusal{Reason::SharedHeads, ""};
  std::optional<unsigned> headDim = findHeads(maps.back(), dims);
  if (!headDim)
    return Refusal{Reason::NoHeads, ""};

  int64_t tokens = ranges[dims.rows.front()], keys = ranges[dims.keys.front()];
  int64_t heads = ranges[*headDim];
  if (ShapedType::isDynamic(tokens) || ShapedType::isDynamic(keys) || ShapedType::isDynamic(heads))
    return Refusal{Reason::DynamicShape, ""};
  if (tokens != keys)
    return Refusal{Reason::CrossAttention,
                   llvm::formatv("got {0} queries and {1} keys", tokens, keys)};
  if (tokens < request.minTokens)
    return Refusal{Reason::FewTokens, llvm::formatv("got {0} and {1}", tokens, request.minTokens)};
  if (heads == 1 && !request.globalHeads)
    return Refusal{Reason::OneHead, ""};
  int64_t globalHeads = request.globalHeads.value_or(heads / 2);
  if (globalHeads > heads)
    return Refusal{Reason::TooFewHeads, llvm::formatv("got {0} and {1}", heads, globalHeads)};
  std::optional<Grid> grid = inferGrid(tokens, request);
  if (!grid)
    return Refusal{Reason::NoGrid, llvm::formatv("got {0} tokens", tokens)};

  Plan plan{*grid, heads, globalHeads, {}, dims.keys.front()};
  for (unsigned dim : dims.batch)
    if (dim != *headDim)
      plan.order.push_back(dim);
  plan.order.append({*headDim, dims.rows.front(), dims.channels, dims.values});
  return plan;
}
