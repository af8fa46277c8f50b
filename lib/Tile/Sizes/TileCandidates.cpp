// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/TileCandidates.h"

#include "PartShape.h"

#include "llvm/Support/MathExtras.h"

#include <set>

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

namespace {
constexpr int64_t kMostRows = 256, kMostKeys = 256, kMostWarps = 8;
constexpr int64_t kFewestKeys = 16, kMostContextTokens = 64;
constexpr int64_t kFragmentRows = 16;

/// What the kernels of one part follow from.
using Signature = std::vector<int64_t>;

/// step, 2 step, ... up to `most`, or `only` where that is set.
std::vector<int64_t> doubling(int64_t step, int64_t most, int64_t only) {
  std::vector<int64_t> sizes;
  if (only != 0)
    return {only};
  for (int64_t size = step; size <= most; size *= 2)
    sizes.push_back(size);
  return sizes;
}

int64_t rowsOf(const CandidatePart &part) {
  int64_t rows = ShapedType::isDynamic(part.rows) ? kMostRows : std::max<int64_t>(part.rows, 1);
  return roundUp(rows, kFragmentRows);
}

/// The channels' rows lie in so many parts, each with warps of its own.
int64_t contextParts(const CandidatePart &part, const TileParams &params) {
  return llvm::divideCeilSigned(std::max<int64_t>(part.extents.channels, 1), params.contextRows);
}

Signature getSignature(const MachineLimits &limits, ArrayRef<CandidatePart> parts) {
  Signature signature;
  for (const CandidatePart &part : parts) {
    TileParams params = getTileParams(limits, part.extents);
    if (part.kind == CandidatePart::Context) {
      signature.insert(signature.end(), {params.contextTokens, params.contextWarps});
      continue;
    }
    // More rows than there are, and warps without rows, change nothing.
    int64_t rows = std::min(params.rowsPerWorker, rowsOf(part));
    int64_t turns = llvm::divideCeilSigned(rows / kFragmentRows, params.warps);
    signature.insert(signature.end(), {rows, llvm::divideCeilSigned(rows / kFragmentRows, turns)});
    if (part.kind == CandidatePart::Softmax)
      signature.insert(signature.end(), {params.keys, params.keyTile});
  }
  return signature;
}

/// Calls `add` with `base` and other sizes for one part.
void forEachOf(const CandidatePart &part, const TileOverrides &base,
               llvm::function_ref<void(const TileOverrides &)> add) {
  TileOverrides sizes = base;
  if (part.kind == CandidatePart::Context) {
    for (int64_t tokens : doubling(kFragmentRows, kMostContextTokens, base.contextTokens))
      for (int64_t warps : doubling(1, kMostWarps, base.contextWarps)) {
        sizes.contextTokens = tokens;
        sizes.contextWarps = warps;
        add(sizes);
      }
    return;
  }
  std::vector<int64_t> keys{base.keysPerStep};
  if (part.kind == CandidatePart::Softmax && base.keysPerStep == 0) {
    bool isKnown = part.extents.keys > 0;
    keys = doubling(kFewestKeys, isKnown ? std::min(part.extents.keys, kMostKeys) : kMostKeys, 0);
    // All of a row.
    if (isKnown && part.extents.keys <= kMostKeys)
      keys.push_back(roundUp(part.extents.keys, 8));
  }
  int64_t most = std::min(kMostRows, rowsOf(part));
  std::vector<int64_t> rowSizes = doubling(kFragmentRows, most, base.rowsPerBlock);
  if (base.rowsPerBlock == 0 && rowSizes.back() != most)
    rowSizes.push_back(most);
  for (int64_t rows : rowSizes)
    for (int64_t warps : doubling(1, kMostWarps, base.warpsPerBlock))
      for (int64_t step : keys) {
        if (base.warpsPerBlock == 0 && warps * kFragmentRows > rows)
          continue;
        sizes.rowsPerBlock = rows;
        sizes.warpsPerBlock = warps;
        sizes.keysPerStep = step;
        add(sizes);
      }
}
} // namespace

std::vector<TileOverrides> elfatt::tile::listCandidates(const MachineLimits &limits,
                                                        ArrayRef<CandidatePart> parts) {
  std::set<Signature> known{getSignature(limits, parts)};
  std::vector<TileOverrides> candidates;
  for (const CandidatePart &part : parts)
    forEachOf(part, limits.overrides, [&](const TileOverrides &sizes) {
      MachineLimits with = limits;
      with.overrides = sizes;
      for (const CandidatePart &other : parts) {
        TileParams params = getTileParams(with, other.extents);
        if (other.kind == CandidatePart::Context &&
            contextParts(other, params) * params.contextWarps > kWarpsPerBlock)
          return;
      }
      if (known.insert(getSignature(with, parts)).second)
        candidates.push_back(sizes);
    });
  return candidates;
}

std::string CandidatePart::describe(const MachineLimits &limits) const {
  TileParams params = getTileParams(limits, extents);
  auto print = [](int64_t extent) {
    return ShapedType::isDynamic(extent) ? "?" : std::to_string(extent);
  };
  TileOverrides sizes;
  std::string shape;
  switch (kind) {
  case Context:
    sizes.contextTokens = params.contextTokens;
    sizes.contextWarps = params.contextWarps;
    shape = print(extents.keys) + " tokens";
    break;
  case Softmax:
    sizes.keysPerStep = params.keys;
    [[fallthrough]];
  case Apply:
    sizes.rowsPerBlock = params.rowsPerWorker;
    sizes.warpsPerBlock = params.warps;
    shape = print(rows) + " rows";
    if (kind == Softmax)
      shape += ", " + print(extents.keys) + " keys";
    break;
  }
  return name + " of " + shape + ", D=" + print(extents.channels) + ", " +
         std::to_string(extents.storageBits) + " bits: " + sizes.str();
}

std::vector<CandidatePart> elfatt::tile::collectParts(Operation *root) {
  std::vector<CandidatePart> parts;
  root->walk([&](Operation *op) {
    if (!isa<SdpaOp, OnlineOp, ApplyOp, ContextOp>(op))
      return;
    PartShape shape = getPartShape(op);
    SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(op));
    CandidatePart part;
    part.kind = isa<ContextOp>(op) ? CandidatePart::Context
                : isa<ApplyOp>(op) ? CandidatePart::Apply
                                   : CandidatePart::Softmax;
    part.name = op->getName().getStringRef().str();
    part.extents = shape.extents;
    part.rows = 1;
    for (unsigned dim : shape.rows)
      part.rows = ShapedType::isDynamic(ranges[dim]) || ShapedType::isDynamic(part.rows)
                      ? ShapedType::kDynamic
                      : part.rows * ranges[dim];
    auto isSame = [&](const CandidatePart &other) {
      return other.name == part.name && other.rows == part.rows && other.extents == part.extents;
    };
    if (llvm::none_of(parts, isSame))
      parts.push_back(std::move(part));
  });
  return parts;
}
