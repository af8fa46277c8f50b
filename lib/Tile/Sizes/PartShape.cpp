// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PartShape.h"

#include "LepeOfKeys.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

/// Product of the extents of `dims`, dynamic when one is.
static int64_t product(ArrayRef<int64_t> ranges, ArrayRef<unsigned> dims) {
  int64_t result = 1;
  for (unsigned dim : dims) {
    if (ShapedType::isDynamic(ranges[dim]))
      return ShapedType::kDynamic;
    result *= ranges[dim];
  }
  return result;
}

static PartShape fromDims(const AttentionDims &dims, ArrayRef<int64_t> ranges) {
  PartShape shape{dims.batch, dims.rows, dims.values, std::nullopt, {}};
  shape.extents.keys = product(ranges, dims.keys);
  if (dims.keys.empty())
    shape.extents.keys = 0;
  shape.extents.channels = ranges[dims.channels];
  shape.extents.values = ranges[dims.values];
  // The context has its channels for rows.
  shape.extents.rows = ranges[dims.rows.empty() ? dims.channels : dims.rows.back()];
  return shape;
}

/// Of finalize: the values are what acc has and sum lacks. Rows and batch dims look
/// alike; the online step before it tells them apart, else a batch dim is a dim of
/// extent 1.
static PartShape finalizeShape(FinalizeOp op, ArrayRef<int64_t> ranges) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  PartShape shape;
  shape.extents.keys = ShapedType::kDynamic;
  auto online = op.getAcc().getDefiningOp<OnlineOp>();
  for (unsigned dim = 0, e = ranges.size(); dim < e; ++dim) {
    if (!maps[1].isFunctionOfDim(dim)) {
      shape.extents.channels = shape.extents.values = ranges[dim];
      shape.values = dim;
      continue;
    }
    bool isRow = ranges[dim] != 1;
    if (online) {
      unsigned position = *maps[0].getResultPosition(getAffineDimExpr(dim, op.getContext()));
      auto theirs = dyn_cast<AffineDimExpr>(online.getIndexingMapsArray()[3].getResult(position));
      isRow = theirs && llvm::is_contained(AttentionDims::get(online).rows, theirs.getPosition());
    }
    (isRow ? shape.rows : shape.batch).push_back(dim);
  }
  if (shape.rows.empty())
    shape.rows.push_back(shape.batch.pop_back_val());
  shape.extents.rows = ranges[shape.rows.back()];
  return shape;
}

static PartShape lepeShape(LepeOp op, ArrayRef<int64_t> ranges) {
  PartShape shape;
  for (unsigned dim = 0, e = ranges.size() - 1; dim < e; ++dim)
    (llvm::is_contained(op.getGridDims(), dim) ? shape.rows : shape.batch).push_back(dim);
  shape.values = ranges.size() - 1;
  shape.extents.rows = ranges[op.getGridDims().back()];
  shape.extents.keys = 0;
  shape.extents.channels = shape.extents.values = ranges.back();
  return shape;
}

PartShape elfatt::tile::getPartShape(Operation *op) {
  auto view = cast<ViewOpInterface>(op);
  SmallVector<int64_t> ranges = getStaticLoopRanges(view);
  PartShape shape = llvm::TypeSwitch<Operation *, PartShape>(op)
                        .Case([&](FinalizeOp finalize) { return finalizeShape(finalize, ranges); })
                        .Case([&](LepeOp lepe) { return lepeShape(lepe, ranges); })
                        .Case<SdpaOp, OnlineOp, ContextOp, PartialContextOp, MergeOp, ApplyOp>(
                            [&](auto part) { return fromDims(AttentionDims::get(part), ranges); });
  shape.extents.bits = getComputeType(view).getWidth();
  shape.extents.storageBits = 16;
  for (OpOperand *operand : view.getViewedOperands()) {
    // A context is rounded to the type of the queries when it is staged.
    auto apply = dyn_cast<ApplyOp>(op);
    if (apply && operand->get() == apply.getContext())
      continue;
    if (isa<ContextOp, PartialContextOp>(op) &&
        cast<DestinationStyleOpInterface>(op).isDpsInit(operand))
      continue;
    // Registers read the states that are merged where they are.
    if (isa<MergeOp>(op))
      continue;
    if (auto type = dyn_cast<FloatType>(getElementTypeOrSelf(operand->get()))) {
      shape.extents.storageBits = std::max<int64_t>(shape.extents.storageBits, type.getWidth());
      shape.extents.isBF16 |= type.isBF16();
    }
  }
  if (auto sdpa = dyn_cast<SdpaOp>(op))
    shape.extents.biases = sdpa.getBias().size();
  Value made = op->getNumResults() != 0 ? op->getResult(0)
                                        : cast<DestinationStyleOpInterface>(op).getDpsInits()[0];
  for (Operation *user : made.getUsers())
    if (auto lepe = dyn_cast<LepeOp>(user)) {
      auto sdpa = dyn_cast<SdpaOp>(op);
      shape.extents.hasLepe = true;
      shape.extents.lepeReadsKeys = sdpa && isGridOfKeys(lepe, sdpa);
    }
  if (isa<OnlineOp, FinalizeOp>(op)) {
    shape.extents.storageBits = shape.extents.bits;
    shape.extents.steps = 2;
  }
  return shape;
}

/// Whether `head` is just before the last `inner` results of `map`, each a dim.
static bool isBeside(AffineMap map, AffineExpr head, unsigned inner) {
  const unsigned rank = map.getNumResults();
  return rank > inner && map.getResult(rank - 1 - inner) == head &&
         llvm::all_of(map.getResults().take_back(inner), llvm::IsaPred<AffineDimExpr>);
}

std::optional<unsigned> elfatt::tile::findHeadDim(Operation *op) {
  if (!isa<SdpaOp, LepeOp, ApplyOp, ContextOp, PartialContextOp, MergeOp>(op))
    return std::nullopt;
  SmallVector<AffineMap> maps = cast<ViewOpInterface>(op).getIndexingMapsArray();
  // How many dims of each operand are inside of its heads: columns of a row; channels and columns
  // of a context, and channels of its state.
  SmallVector<unsigned> inner =
      llvm::TypeSwitch<Operation *, SmallVector<unsigned>>(op)
          .Case<ApplyOp>([](auto) { return SmallVector{1u, 2u, 1u}; })
          .Case<ContextOp>([](auto) { return SmallVector{1u, 1u, 2u}; })
          .Case<PartialContextOp>([](auto) { return SmallVector{1u, 1u, 2u, 1u, 1u}; })
          .Case<MergeOp>([](auto) { return SmallVector{2u, 1u, 1u, 2u}; })
          .Default([&](auto) { return SmallVector(maps.size(), 1u); });
  const AffineMap result = maps.back();
  const int64_t position = int64_t(result.getNumResults()) - 1 - inner.back();
  auto head = position >= 0 ? dyn_cast<AffineDimExpr>(result.getResult(position)) : nullptr;
  if (!head || !llvm::is_contained(getPartShape(op).batch, head.getPosition()))
    return std::nullopt;
  // A function of scores may ask for the number of the head.
  auto sdpa = dyn_cast<SdpaOp>(op);
  if (sdpa && !sdpa.getScore().empty())
    return std::nullopt;
  for (auto [index, map] : llvm::enumerate(maps)) {
    // Biases are staged once for all heads.
    const bool isBias = sdpa && index >= 3 && index + 1 != maps.size();
    if (isBias ? map.isFunctionOfDim(head.getPosition()) : !isBeside(map, head, inner[index]))
      return std::nullopt;
  }
  return head.getPosition();
}

LogicalResult elfatt::tile::checkOverrides(Operation *op, const MachineLimits &limits) {
  if (limits.overrides.isEmpty())
    return success();
  if (limits.machine != Machine::GPU)
    return op->emitOpError("expected machine=gpu with ") << limits.overrides.str();
  if (llvm::Error error = checkTileOverrides(limits.overrides))
    return op->emitOpError() << llvm::toString(std::move(error));
  if (!isa<ContextOp, PartialContextOp>(op))
    return success();
  TileExtents extents = getPartShape(op).extents;
  if (ShapedType::isDynamic(extents.channels))
    return success();
  TileParams params = getTileParams(limits, extents);
  const int64_t parts = roundUp(extents.channels, params.contextRows) / params.contextRows;
  if (params.contextWarps * parts > kWarpsPerBlock)
    return op->emitOpError("expected at most ")
           << kWarpsPerBlock / parts << " context-warps, each for " << params.contextRows << " of "
           << extents.channels << " channels, got " << params.contextWarps;
  return success();
}

static InFlightDiagnostic emitBatchError(Operation *op, unsigned dim) {
  return op->emitOpError("expected batch dims of extent 1 (run elfatt-tile-to-forall first), got d")
         << dim;
}

LogicalResult elfatt::tile::checkUnitBatch(Operation *op) {
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(op));
  for (unsigned dim : getPartShape(op).batch)
    if (ranges[dim] != 1)
      return emitBatchError(op, dim);
  return success();
}

FailureOr<PartShape> elfatt::tile::getTileShape(Operation *op, Machine machine) {
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(op));
  PartShape shape = getPartShape(op);
  std::optional<unsigned> head;
  if (machine == Machine::GPU)
    head = findHeadDim(op);
  for (unsigned dim : shape.batch) {
    if (ranges[dim] == 1)
      continue;
    if (dim != head || ShapedType::isDynamic(ranges[dim]))
      return emitBatchError(op, dim);
    shape.head = head;
    shape.extents.heads = ranges[dim];
  }
  return shape;
}
