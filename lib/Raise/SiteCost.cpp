// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "SiteCost.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

static Count multiplyAll(ArrayRef<unsigned> dims, ArrayRef<int64_t> ranges) {
  Count product;
  for (unsigned dim : dims)
    product *= ranges[dim];
  return product;
}

static SmallVector<unsigned> getDims(AffineMap map) {
  SmallVector<unsigned> dims;
  for (AffineExpr expr : map.getResults())
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      dims.push_back(dim.getPosition());
  return dims;
}

/// The dims that `operand` has out of one dim of its source, as `map` counts them.
static SmallVector<SmallVector<unsigned>> getSplitDims(Value operand, AffineMap map) {
  SmallVector<SmallVector<unsigned>> splits;
  if (auto expand = operand.getDefiningOp<tensor::ExpandShapeOp>())
    for (const ReassociationIndices &group : expand.getReassociationIndices()) {
      splits.emplace_back();
      for (int64_t dim : group)
        if (auto loop = dyn_cast<AffineDimExpr>(map.getResult(dim)))
          splits.back().push_back(loop.getPosition());
    }
  return splits;
}

/// The batch dims that count tokens: blocks, which an operand has out of one dim with its
/// tokens.
static SmallVector<unsigned> getBlockDims(attention::ViewOpInterface op,
                                          const attention::AttentionDims &dims) {
  SmallVector<unsigned> blocks;
  for (auto [operand, map] : llvm::zip(op.getViewedOperands(), op.getIndexingMapsArray()))
    for (ArrayRef<unsigned> split : getSplitDims(operand->get(), map)) {
      auto isToken = [&](unsigned dim) {
        // More rows than keys are heads that share keys, too.
        bool isRow = llvm::is_contained(dims.rows, dim) && dims.rows.size() == dims.keys.size();
        return isRow || llvm::is_contained(dims.keys, dim);
      };
      if (llvm::any_of(split, isToken))
        llvm::copy_if(split, std::back_inserter(blocks),
                      [&](unsigned dim) { return llvm::is_contained(dims.batch, dim); });
    }
  return blocks;
}

/// The last of `candidates` that stands between tokens and channels in an operand.
static std::optional<unsigned> findHeadDim(const attention::AttentionDims &dims,
                                           ArrayRef<unsigned> candidates,
                                           ArrayRef<unsigned> operand) {
  std::optional<unsigned> heads;
  bool seenTokens = false;
  for (unsigned dim : operand) {
    if (dim == dims.channels || dim == dims.values)
      break;
    seenTokens |= llvm::is_contained(dims.rows, dim) || llvm::is_contained(dims.keys, dim);
    if (seenTokens && llvm::is_contained(candidates, dim))
      heads = dim;
  }
  return heads;
}

/// Whether the queries have no dim of their own: each has keys of its own.
static bool isQueryPerBatch(attention::ViewOpInterface op, const attention::AttentionDims &dims) {
  AffineMap map = op.getIndexingMapsArray().front();
  SmallVector<SmallVector<unsigned>> splits =
      getSplitDims(op.getViewedOperands().front()->get(), map);
  SmallVector<int64_t> ranges = attention::getStaticLoopRanges(op);
  return llvm::all_of(dims.rows, [&](unsigned row) {
    return ranges[row] == 1 && llvm::any_of(splits, [&](ArrayRef<unsigned> split) {
             return split.size() > 1 && llvm::is_contained(split, row);
           });
  });
}

namespace {
/// What batch dims count.
struct BatchDims {
  std::optional<unsigned> heads, queries;
};
} // namespace

/// Among batch dims that are no blocks of tokens the heads are the one that stands
/// between tokens and channels in the result, else in queries, keys or values, else the
/// last, where there are several batch dims. Behind batch and heads the last counts the
/// queries that have keys of their own.
static BatchDims getBatchDims(attention::ViewOpInterface op, const attention::AttentionDims &dims) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<unsigned> blocks = getBlockDims(op, dims), candidates;
  llvm::copy_if(dims.batch, std::back_inserter(candidates),
                [&](unsigned dim) { return !llvm::is_contained(blocks, dim); });
  BatchDims found;
  for (AffineMap map : {maps.back(), maps[0], maps[1], maps[2]})
    if (!found.heads)
      found.heads = findHeadDim(dims, candidates, getDims(map));
  if (found.heads)
    llvm::erase(candidates, *found.heads);
  if (dims.batch.size() > 2 && candidates.size() > 1 && isQueryPerBatch(op, dims))
    found.queries = candidates.pop_back_val();
  if (!found.heads && dims.batch.size() > 1 && !candidates.empty() &&
      candidates.back() != dims.batch.front())
    found.heads = candidates.back();
  return found;
}

/// Heads that share keys are rows to the op: of more row dims than key dims, those that
/// do not count tokens. Tokens are the dims as large as those of the keys, else the
/// last ones where positions matter, else those that are not beside the heads.
static SmallVector<unsigned> getGroupDims(const attention::AttentionDims &dims,
                                          ArrayRef<int64_t> ranges, ArrayRef<unsigned> result,
                                          std::optional<unsigned> heads, bool hasPositions) {
  size_t count = dims.keys.size();
  if (dims.rows.size() <= count)
    return {};
  SmallVector<unsigned> groups(dims.rows);
  // From the end, so that of two dims as large as the keys the inner one is tokens.
  size_t next = dims.keys.size();
  for (size_t row = dims.rows.size(); row-- > 0 && next > 0;)
    if (ranges[dims.rows[row]] == ranges[dims.keys[next - 1]]) {
      llvm::erase(groups, dims.rows[row]);
      --next;
    }
  if (next == 0)
    return groups;
  // Rows and columns of a window are tokens together, beside keys of one dim.
  const std::optional<int64_t> numKeys = multiplyAll(dims.keys, ranges).get();
  if (!hasPositions && numKeys && multiplyAll(dims.rows, ranges).get() == numKeys)
    return {};
  size_t numGroups = dims.rows.size() - count;
  groups.clear();
  if (!hasPositions)
    for (auto [dim, after] : llvm::zip(result, result.drop_front()))
      if (groups.size() < numGroups && llvm::is_contained(dims.rows, after) &&
          (heads == dim || llvm::is_contained(groups, dim)))
        groups.push_back(after);
  if (groups.size() != numGroups)
    groups.assign(dims.rows.begin(), dims.rows.begin() + numGroups);
  return groups;
}

template <typename OpTy> static SiteShape getShape(OpTy op, bool hasPositions) {
  auto dims = attention::AttentionDims::get(op);
  SmallVector<int64_t> ranges = attention::getStaticLoopRanges(op);
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<unsigned> result = getDims(maps.back());
  auto [heads, queries] = getBatchDims(op, dims);
  SmallVector<unsigned> groups = getGroupDims(dims, ranges, result, heads, hasPositions);
  SiteShape shape;
  for (unsigned dim : dims.batch)
    (dim == heads ? shape.heads : dim == queries ? shape.queries : shape.batch) *= ranges[dim];
  for (unsigned dim : dims.rows)
    (llvm::is_contained(groups, dim) ? shape.heads : shape.queries) *= ranges[dim];
  shape.keys = multiplyAll(dims.keys, ranges);
  shape.channels = ranges[dims.channels];
  shape.values = ranges[dims.values];
  return shape;
}

/// The shape with `groups` heads for each that has keys of its own; fails where that is
/// no divisor of the rows.
static std::optional<SiteShape> regroup(attention::SdpaOp op, SiteShape shape, int64_t groups) {
  auto dims = attention::AttentionDims::get(op);
  SmallVector<int64_t> ranges = attention::getStaticLoopRanges(op);
  std::optional<unsigned> heads = getBatchDims(op, dims).heads;
  std::optional<int64_t> rows = multiplyAll(dims.rows, ranges).get();
  if (!rows || groups <= 0 || *rows % groups != 0)
    return std::nullopt;
  shape.queries = *rows / groups;
  shape.heads = heads ? ranges[*heads] : 1;
  shape.heads *= groups;
  return shape;
}

static SiteShape getShownShape(attention::SdpaOp op) {
  return getShape(op, op.getCausal() || !op.getScore().empty());
}

void elfatt::raise::noteGroups(attention::SdpaOp op, int64_t groups) {
  SiteShape shown = getShownShape(op);
  auto dims = attention::AttentionDims::get(op);
  if (getBatchDims(op, dims).queries)
    return;
  // Heads that share one head of keys may be folded into the rows of one product, too:
  // where they count as many tokens as keys, or do not stand beside the tokens.
  if (groups == 1 && dims.batch.size() <= 1 && shown.queries.get() == shown.keys.get())
    return;
  SmallVector<unsigned> result = getDims(op.getIndexingMapsArray().back());
  auto isRow = [&](unsigned dim) { return llvm::is_contained(dims.rows, dim); };
  auto *first = llvm::find_if(result, isRow);
  auto *end = std::find_if_not(first, result.end(), isRow);
  if (groups == 1 && std::any_of(end, result.end(), isRow))
    return;
  if (std::optional<SiteShape> shape = regroup(op, shown, groups))
    if (shape->queries.get() != shown.queries.get())
      op->setAttr(kGroupsAttr, Builder(op->getContext()).getI64IntegerAttr(groups));
}

SiteShape elfatt::raise::getSiteShape(attention::SdpaOp op) {
  SiteShape shown = getShownShape(op);
  auto groups = op->getAttrOfType<IntegerAttr>(kGroupsAttr);
  if (!groups || groups.getValue().getSignificantBits() > 64)
    return shown;
  return regroup(op, shown, groups.getValue().getSExtValue()).value_or(shown);
}
SiteShape elfatt::raise::getSiteShape(attention::LinearOp op) {
  return getShape(op, /*hasPositions=*/false);
}

SiteShape elfatt::raise::getSiteShape(attention::ElfattOp op) {
  SmallVector<int64_t> ranges = attention::getStaticLoopRanges(op);
  unsigned count = ranges.size(); // batch..., h, n, d, e
  SiteShape shape;
  for (unsigned dim = 0; dim + 4 < count; ++dim)
    shape.batch *= ranges[dim];
  shape.heads = ranges[count - 4];
  shape.queries = shape.keys = ranges[count - 3];
  shape.channels = ranges[count - 2];
  shape.values = ranges[count - 1];
  return shape;
}

/// The sizes that were collapsed to dim `dim` of `tensor`.
static SmallVector<int64_t> getCollapsed(Value tensor, int64_t dim) {
  auto collapse = tensor.getDefiningOp<tensor::CollapseShapeOp>();
  if (!collapse)
    return {};
  SmallVector<ReassociationIndices> groups = collapse.getReassociationIndices();
  if (groups.empty())
    return {};
  SmallVector<int64_t> sizes;
  for (int64_t source : groups[dim])
    sizes.push_back(collapse.getSrcType().getDimSize(source));
  return sizes;
}

SiteShape elfatt::raise::getSiteShape(const ContractionPair &pair, bool isLinear) {
  const Contraction &first = pair.first, &second = pair.second;
  SmallVector<int64_t> inner = first.op.getStaticLoopRanges();
  SmallVector<int64_t> outer = second.op.getStaticLoopRanges();
  SiteShape shape;
  Count near = multiplyAll(second.free[pair.side], outer);
  Count far = multiplyAll(second.free[1 - pair.side], outer);
  Count between = multiplyAll(second.reduced, outer), within = multiplyAll(first.reduced, inner);
  shape.queries = isLinear ? far : near;
  shape.keys = isLinear ? within : between;
  shape.channels = isLinear ? between : within;
  shape.values = isLinear ? near : far;
  if (second.batch.size() == 1) {
    // Batch and heads in one dim, as batch_matmul wants it.
    unsigned loop = second.batch.front();
    for (OpOperand *operand : second.op.getDpsInputOperands())
      for (auto [dim, expr] :
           llvm::enumerate(second.op.getMatchingIndexingMap(operand).getResults()))
        if (expr == getAffineDimExpr(loop, expr.getContext()))
          if (SmallVector<int64_t> sizes = getCollapsed(operand->get(), dim); sizes.size() > 1) {
            shape.heads = sizes.back();
            for (int64_t size : ArrayRef(sizes).drop_back())
              shape.batch *= size;
            return shape;
          }
  }
  ArrayRef<unsigned> batch = second.batch;
  if (batch.size() > 1) {
    shape.heads = outer[batch.back()];
    batch = batch.drop_back();
  }
  shape.batch = multiplyAll(batch, outer);
  return shape;
}

//===----------------------------------------------------------------------===//
// Costs
//===----------------------------------------------------------------------===//

static Count getElementBytes(Type type) {
  Type element = getElementTypeOrSelf(type);
  return element.isIntOrFloat() ? std::max<int64_t>(1, element.getIntOrFloatBitWidth() / 8) : -1;
}

/// Bytes that the views of `op` span, each once.
static Count getViewedBytes(attention::ViewOpInterface op) {
  SmallVector<int64_t> ranges = attention::getStaticLoopRanges(op);
  Count bytes = 0;
  for (auto [operand, map] : llvm::zip(op.getViewedOperands(), op.getIndexingMapsArray()))
    bytes += getElementBytes(operand->get().getType()) * multiplyAll(getDims(map), ranges);
  return bytes;
}

target::Cost elfatt::raise::getSiteCost(attention::SdpaOp op) {
  return target::getSdpaCost(getSiteShape(op), getViewedBytes(op), op.getCausal());
}

target::Cost elfatt::raise::getSiteCost(attention::LinearOp op) {
  return target::getLinearCost(getSiteShape(op), getViewedBytes(op));
}

/// Taps of a LePE with `weight`, whose dims are taps, heads and channels.
static Count countTaps(Value weight) {
  Count taps = weight ? 1 : 0;
  if (weight)
    for (int64_t extent : cast<ShapedType>(weight.getType()).getShape().drop_back(2))
      taps *= extent;
  return taps;
}

target::Cost elfatt::raise::getSiteCost(attention::ElfattOp op) {
  Count window;
  for (int64_t extent : op.getWindow())
    window *= extent;
  return target::getElfattCost(getSiteShape(op),
                               {int64_t(op.getGlobalHeads()), window, int64_t(op.getPrefix()),
                                countTaps(op.getGlobalLepeWeight()),
                                countTaps(op.getLocalLepeWeight())},
                               getViewedBytes(op));
}

target::Cost elfatt::raise::getSiteCost(const ContractionPair &pair) {
  target::Cost cost;
  SmallVector<Value> tensors;
  for (const Contraction *contraction : {&pair.first, &pair.second}) {
    Count products;
    for (int64_t size : contraction->op.getStaticLoopRanges())
      products *= size;
    cost.flops += products * 2;
    tensors.push_back(contraction->getResult());
  }
  // Read once: what goes in, but for what the first product gives to the second.
  llvm::append_range(tensors, pair.first.getInputs(0));
  llvm::append_range(tensors, pair.first.getInputs(1));
  llvm::append_range(tensors, pair.second.getInputs(1 - pair.side));
  llvm::erase(tensors, pair.first.getResult());
  for (Value tensor : tensors)
    if (auto type = dyn_cast<RankedTensorType>(tensor.getType())) {
      Count size = getElementBytes(type);
      for (int64_t extent : type.getShape())
        size *= extent;
      cost.bytes += size;
    }
  if (pair.hasExponential) {
    Count scores;
    for (int64_t extent : cast<RankedTensorType>(pair.first.getResult().getType()).getShape())
      scores *= extent;
    cost.exponentials = scores;
  }
  return cost;
}
