// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// sdpa and online on buffers; and two online steps with what they end in, as one softmax.
#include "Sizes/PartShape.h"
#include "SoftmaxTile.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

static SmallVector<unsigned> with(ArrayRef<unsigned> dims, unsigned last) {
  SmallVector<unsigned> all(dims);
  all.push_back(last);
  return all;
}

LogicalResult elfatt::tile::lowerSdpa(SdpaOp op, const MachineLimits &limits,
                                      const Followers &followers) {
  auto view = cast<ViewOpInterface>(op.getOperation());
  AttentionDims dims = AttentionDims::get(op);
  FailureOr<PartShape> shape = getTileShape(op, limits.machine);
  if (failed(shape))
    return failure();
  if (dims.rows.empty() || dims.keys.empty())
    return op.emitOpError("expected at least one row dim and one key dim");
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  FloatType type = getComputeType(view);
  TileContext ctx{b, limits, getTileParams(limits, shape->extents), type, shape->extents.heads};
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<unsigned> queryDims = with(dims.rows, dims.channels);
  SmallVector<unsigned> keyDims = with(dims.keys, dims.channels);
  SmallVector<unsigned> valueDims = with(dims.keys, dims.values);
  SmallVector<unsigned> outputDims = with(dims.rows, dims.values);
  SoftmaxTile tile;
  tile.queries = projectHeads(ctx, op.getQuery(), maps[0], queryDims, shape->head);
  tile.keys = projectHeads(ctx, op.getKey(), maps[1], keyDims, shape->head);
  tile.values = projectHeads(ctx, op.getValue(), maps[2], valueDims, shape->head);
  tile.outputs = projectHeads(ctx, op.getInit(), maps.back(), outputDims, shape->head);
  tile.query = tile.queries.front();
  tile.key = tile.keys.front();
  tile.value = tile.values.front();
  tile.output = tile.outputs.front();
  OpFoldResult channels = memref::getMixedSize(
      b, b.getLoc(), op.getQuery(), *maps[0].getResultPosition(b.getAffineDimExpr(dims.channels)));
  tile.scale = getOrCreateScale(b, b.getLoc(), op.getScale(), channels, type);
  tile.emptyRowsAreZero = op.getMaskedRows() == MaskedRows::Zero;
  tile.followers = followers;
  std::optional<ScoreFunction> score;
  if (!op.getBias().empty() || op.getCausal() || !op.getScore().empty()) {
    score.emplace(op, ctx, dims);
    if (failed(score->verify()))
      return failure();
    tile.score = &*score;
  }
  return lowerSoftmax(op, ctx, tile);
}

LogicalResult elfatt::tile::lowerOnline(OnlineOp op, const MachineLimits &limits) {
  auto view = cast<ViewOpInterface>(op.getOperation());
  AttentionDims dims = AttentionDims::get(op);
  if (failed(checkUnitBatch(op)))
    return failure();
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  FloatType type = getComputeType(view);
  TileContext ctx{b, limits, getTileParams(limits, getPartShape(op).extents), type};
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SoftmaxTile tile;
  tile.query = projectView(b, op.getQuery(), maps[0], with(dims.rows, dims.channels));
  tile.key = projectView(b, op.getKey(), maps[1], with(dims.keys, dims.channels));
  tile.value = projectView(b, op.getValue(), maps[2], with(dims.keys, dims.values));
  tile.acc = projectView(b, op.getAcc(), maps[3], with(dims.rows, dims.values));
  tile.max = projectView(b, op.getMax(), maps[4], dims.rows);
  tile.sum = projectView(b, op.getSum(), maps[5], dims.rows);
  OpFoldResult channels =
      memref::getMixedSize(b, b.getLoc(), tile.query, typeOf(tile.query).getRank() - 1);
  tile.scale = getOrCreateScale(b, b.getLoc(), op.getScale(), channels, type);
  return lowerSoftmax(op, ctx, tile);
}

//===----------------------------------------------------------------------===//
// Two steps
//===----------------------------------------------------------------------===//

/// Whether `buffer` is scratch that `users` and fills before the first of them use, and no
/// other op. The fills are added to `fills`.
static bool belongsTo(Value buffer, ArrayRef<Operation *> users,
                      SmallVectorImpl<Operation *> &fills) {
  if (!isa_and_nonnull<memref::AllocOp, memref::AllocaOp>(buffer.getDefiningOp()))
    return false;
  for (Operation *user : buffer.getUsers()) {
    if (llvm::is_contained(users, user))
      continue;
    if (!isa<linalg::FillOp>(user) || user->getBlock() != users.front()->getBlock() ||
        !user->isBeforeInBlock(users.front()))
      return false;
    fills.push_back(user);
  }
  return true;
}

/// The dims of `op` that run along the rows of `step`, in their order; empty if one does not.
static SmallVector<unsigned> alongRows(FinalizeOp op, OnlineOp step) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<unsigned> order;
  for (unsigned row : AttentionDims::get(step).rows) {
    auto position =
        step.getIndexingMapsArray()[3].getResultPosition(getAffineDimExpr(row, op.getContext()));
    auto dim = position ? dyn_cast<AffineDimExpr>(maps[0].getResult(*position)) : nullptr;
    if (!dim || !maps[2].isFunctionOfDim(dim.getPosition()))
      return {};
    order.push_back(dim.getPosition());
  }
  return order;
}

static TileParams paramsOf(const TwoSteps &steps, const MachineLimits &limits, int64_t numKeys) {
  TileExtents extents = getPartShape(steps.second).extents;
  extents.keys = numKeys;
  return getTileParams(limits, extents);
}

/// Keys of both steps, if they are known.
static std::optional<int64_t> countKeys(const TwoSteps &steps) {
  int64_t count = 0;
  for (OnlineOp step : {steps.first, steps.second}) {
    const int64_t keys = getPartShape(step).extents.keys;
    if (keys <= 0)
      return std::nullopt;
    count += keys;
  }
  return count;
}

std::optional<TwoSteps> elfatt::tile::matchTwoSteps(FinalizeOp op, const MachineLimits &limits) {
  TwoSteps steps{{}, {}, op, {}};
  for (Operation *user : op.getAcc().getUsers())
    if (auto step = dyn_cast<OnlineOp>(user)) {
      if (steps.second)
        return std::nullopt;
      (steps.first ? steps.second : steps.first) = step;
    }
  if (limits.machine != Machine::CPU || !steps.second ||
      steps.first->getBlock() != op->getBlock() || steps.second->getBlock() != op->getBlock())
    return std::nullopt;
  if (steps.second->isBeforeInBlock(steps.first))
    std::swap(steps.first, steps.second);
  auto [first, second, finalize, fills] = steps;
  SmallVector<Operation *> all = {first, second, op};
  if (!second->isBeforeInBlock(op) || first.getQuery() != second.getQuery() ||
      first.getScale() != second.getScale() || first.getAcc() != second.getAcc() ||
      first.getMax() != second.getMax() || first.getSum() != second.getSum() ||
      op.getSum() != first.getSum())
    return std::nullopt;
  for (Value buffer : {op.getAcc(), op.getSum(), first.getMax()})
    if (!belongsTo(buffer, all, steps.fills))
      return std::nullopt;
  for (Operation *between = first; between != op; between = between->getNextNode())
    if (between != first && between != second && !isMemoryEffectFree(between))
      return std::nullopt;
  SmallVector<unsigned> rows = alongRows(op, second);
  if (rows.empty() || rows != getPartShape(op).rows)
    return std::nullopt;
  std::optional<int64_t> numKeys = countKeys(steps);
  if (!numKeys || paramsOf(steps, limits, *numKeys).keys < *numKeys)
    return std::nullopt;
  return steps;
}

LogicalResult elfatt::tile::lowerTwoSteps(TwoSteps steps, const MachineLimits &limits,
                                          const Followers &followers) {
  FinalizeOp op = steps.finalize;
  for (Operation *part :
       {steps.first.getOperation(), steps.second.getOperation(), steps.finalize.getOperation()})
    if (failed(checkUnitBatch(part)))
      return failure();
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  FloatType type = getComputeType(cast<ViewOpInterface>(steps.second.getOperation()));
  TileContext ctx{b, limits, paramsOf(steps, limits, *countKeys(steps)), type};
  SoftmaxTile tile;
  auto project = [&](OnlineOp step, Value &key, Value &value) {
    AttentionDims dims = AttentionDims::get(step);
    SmallVector<AffineMap> maps = step.getIndexingMapsArray();
    tile.query = projectView(b, step.getQuery(), maps[0], with(dims.rows, dims.channels));
    key = projectView(b, step.getKey(), maps[1], with(dims.keys, dims.channels));
    value = projectView(b, step.getValue(), maps[2], with(dims.keys, dims.values));
  };
  project(steps.first, tile.firstKey, tile.firstValue);
  project(steps.second, tile.key, tile.value);
  PartShape shape = getPartShape(op);
  tile.output =
      projectView(b, op.getInit(), op.getIndexingMapsArray()[2], with(shape.rows, shape.values));
  OpFoldResult channels =
      memref::getMixedSize(b, b.getLoc(), tile.query, typeOf(tile.query).getRank() - 1);
  tile.scale = getOrCreateScale(b, b.getLoc(), steps.second.getScale(), channels, type);
  tile.followers = followers;
  return lowerSoftmax(op, ctx, tile);
}
