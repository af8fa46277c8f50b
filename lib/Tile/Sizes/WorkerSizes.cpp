// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "WorkerSizes.h"

#include "NeighbouringHeads.h"
#include "PartShape.h"

#include "elfatt/Tile/ContextSplit.h"

#include "llvm/ADT/TypeSwitch.h"

#include <limits>

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

Operation *elfatt::tile::previousPart(Operation *op) {
  Value from = llvm::TypeSwitch<Operation *, Value>(op)
                   .Case([](LepeOp lepe) { return lepe.getInit(); })
                   .Case<FinalizeOp, OnlineOp>([](auto part) { return part.getAcc(); })
                   .Default([](Operation *) { return Value(); });
  Operation *producer = from ? from.getDefiningOp() : nullptr;
  return isa_and_nonnull<SdpaOp, ApplyOp, OnlineOp, FinalizeOp>(producer) ? producer : nullptr;
}

/// What of a part's demand for memory the sizes of a chain's tiles depend on.
static TileExtents getExtents(Operation *part, int64_t columns, bool ownsContext) {
  TileExtents extents = getPartShape(part).extents;
  // Rows that were made before have the result's columns alone.
  if (isa<LepeOp, FinalizeOp>(part))
    extents.channels = columns;
  extents.values = columns;
  extents.ownsContext = ownsContext;
  return extents;
}

/// Keys of one line of the outermost key dim, which a worker takes at once.
static int64_t keysOfLine(Operation *part) {
  auto sdpa = dyn_cast<SdpaOp>(part);
  if (!sdpa)
    return 1;
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(part));
  AttentionDims dims = AttentionDims::get(sdpa);
  int64_t keys = 1;
  for (unsigned dim : ArrayRef(dims.keys).drop_front())
    keys *= ShapedType::isDynamic(ranges[dim]) ? 1 : ranges[dim];
  return std::max<int64_t>(1, keys);
}

/// The position among its row dims of the one that workers divide: they take one index of those
/// outside of it, and all of those inside, a line of it. The outermost, unless such a line is
/// longer than a worker's rows or of no known length: rows (group, token) are divided by tokens.
/// LePE's lines lie beside each other, and a state between steps belongs to the outermost dim.
static unsigned findLineDim(Operation *part, const MachineLimits &limits) {
  PartShape shape = getPartShape(part);
  if (!isa<SdpaOp, ApplyOp>(part) || shape.rows.empty())
    return 0;
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(part));
  const int64_t most = getTileParams(limits, shape.extents).rowsPerWorker;
  unsigned at = shape.rows.size() - 1;
  for (int64_t line = 1; at > 0; --at) {
    const int64_t range = ranges[shape.rows[at]];
    if (ShapedType::isDynamic(range) || line * range > most)
      break;
    line *= std::max<int64_t>(1, range);
  }
  return at;
}

/// Rows of one line of the dim that workers divide, which one takes at once.
static int64_t rowsOfLine(Operation *part, const MachineLimits &limits) {
  PartShape shape = getPartShape(part);
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(part));
  int64_t rows = 1;
  for (unsigned dim :
       ArrayRef(shape.rows).drop_front(shape.rows.empty() ? 0 : findLineDim(part, limits) + 1))
    rows = ShapedType::isDynamic(ranges[dim]) ? 64 : rows * std::max<int64_t>(1, ranges[dim]);
  return rows;
}

/// Fewer columns than these a worker has only where it can have no more.
static constexpr int64_t kFewColumns = 16;

/// The columns of its result that one worker makes, for all parts of the chain of `last` and
/// `context`, if the worker makes that too: all, where a block of the GPU has room; none, where
/// it has room for nothing.
static std::optional<int64_t> findColumns(Operation *last, const MachineLimits &limits,
                                          Operation *context) {
  const int64_t values = getPartShape(last).extents.values, rows = rowsOfLine(last, limits);
  // The state between online steps is one for all columns.
  bool hasSteps = false;
  for (Operation *part = last; part; part = previousPart(part))
    hasSteps |= isa<OnlineOp>(part);
  if (limits.machine != Machine::GPU || ShapedType::isDynamic(values) || hasSteps)
    return values;
  auto fitsWithin = [&](int64_t sharedBytes, int64_t columns) {
    MachineLimits within = limits;
    within.sharedBytes = sharedBytes;
    auto fits = [&](PartKind kind, Operation *part) {
      return fitsBlock(within, kind, getExtents(part, columns, bool(context)), rows,
                       keysOfLine(part));
    };
    if (isa_and_nonnull<ContextOp>(context) && !fits(PartKind::Context, context))
      return false;
    for (Operation *part = last; part; part = previousPart(part)) {
      // LePE and the division are counted with the part before them.
      if (isa<LepeOp, FinalizeOp>(part) && previousPart(part))
        continue;
      PartKind kind = isa<ContextOp, PartialContextOp, MergeOp>(part) ? PartKind::Context
                      : isa<SdpaOp>(part)                             ? PartKind::Softmax
                                                                      : PartKind::Apply;
      if (!fits(kind, part))
        return false;
    }
    return true;
  };
  // Rather a block alone on its multiprocessor than some of the columns, for which K and Q come
  // again; a worker of very few pads them, and reads as much as one of many.
  for (int64_t least : {values, std::min(values, kFewColumns), int64_t(1)})
    for (int64_t bytes : {limits.sharedBytes, limits.mostSharedBytes})
      if (auto columns = chooseColumns(values, [&](int64_t columns) {
            return columns >= least && fitsWithin(bytes, columns);
          }))
        return columns;
  return std::nullopt;
}

/// The number of `op`'s workers, as far as it is known.
static int64_t countHeads(Operation *op) {
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(op));
  int64_t heads = 1;
  for (unsigned dim : getPartShape(op).batch) {
    if (ShapedType::isDynamic(ranges[dim]))
      return ShapedType::kDynamic;
    heads *= ranges[dim];
  }
  return heads;
}

Operation *elfatt::tile::findOwnContext(Operation *last, const MachineLimits &limits) {
  if (limits.machine != Machine::GPU)
    return {};
  Operation *first = last;
  while (Operation *part = previousPart(first))
    first = part;
  auto apply = dyn_cast<ApplyOp>(first);
  Operation *context = apply ? apply.getContext().getDefiningOp() : nullptr;
  if (!isa_and_nonnull<ContextOp, MergeOp>(context) || !context->hasOneUse() ||
      context->getBlock() != last->getBlock())
    return {};
  int64_t heads = countHeads(apply);
  if (ShapedType::isDynamic(heads))
    heads = limits.processors;
  bool isOwn = isa<MergeOp>(context) || hasWorkerOfHead(limits, heads);
  return isOwn && findColumns(last, limits, context) ? context : nullptr;
}

/// Whether the workers of the chain that `part` is of apply contexts that others have made: they
/// are alone in their launch then.
static bool appliesOnly(Operation *part, Operation *ownContext) {
  while (Operation *before = previousPart(part))
    part = before;
  return isa<ApplyOp>(part) && !isa_and_nonnull<ContextOp>(ownContext);
}

/// Heads that a worker of the chain of `last` takes at once.
static FailureOr<int64_t> headsOfWorker(Operation *last, Operation *context, int64_t columns,
                                        const MachineLimits &limits) {
  SmallVector<HeadsPart> chain;
  for (Operation *part = last; part; part = previousPart(part)) {
    HeadsPart next{part, getExtents(part, columns, bool(context))};
    next.extents.hasProcessor = appliesOnly(last, context);
    chain.push_back(next);
  }
  if (context)
    chain.push_back({context, getExtents(context, columns, /*ownsContext=*/true)});
  // Some of the columns are no whole rows.
  const bool mayTake = columns == getPartShape(last).extents.values;
  // All parts take the rows that the last one divides.
  return chooseHeads(chain, rowsOfLine(last, limits), limits, mayTake);
}

/// Row blocks that one worker takes where it need not leave some to others, and the workers
/// that are enough for any machine.
static constexpr int64_t kRowBlocksTogether = 64, kEnoughWorkers = 32;

/// Whether one worker of a host takes all `rows` that see the same keys, where these fit a row
/// block: they are read and transposed once, and what the worker takes next is known.
static bool keepsRowsTogether(Operation *last, const MachineLimits &limits, int64_t rows) {
  Operation *first = last;
  while (Operation *part = previousPart(first))
    first = part;
  if (limits.machine != Machine::CPU || !isa<SdpaOp>(first))
    return false;
  const TileExtents extents = getPartShape(first).extents;
  const TileParams params = getTileParams(limits, extents);
  return extents.keys > 0 && params.keys >= extents.keys &&
         rows <= kRowBlocksTogether * params.rows && countHeads(first) >= kEnoughWorkers;
}

/// What workers of the chain of `last` take of rows that meet contexts of others, which `merge`, if
/// there is one, makes of segments; if all extents are known and nobody asked for something else.
static std::optional<AppliedTiles> findAppliedTiles(Operation *last, MergeOp merge, int64_t columns,
                                                    int64_t heads, const MachineLimits &limits) {
  Operation *apply = last;
  while (Operation *part = previousPart(apply))
    apply = part;
  PartShape shape = getPartShape(last);
  const int64_t lines = getStaticLoopRanges(cast<ViewOpInterface>(last))[shape.rows.front()];
  const AppliedRows rows{countHeads(last), lines, rowsOfLine(last, limits),
                         merge ? getPartShape(merge).extents.keys : 1};
  const TileExtents extents = getExtents(apply, columns, /*ownsContext=*/bool(merge));
  if (limits.overrides.rowsPerBlock != 0 || findLineDim(last, limits) != 0 || rows.heads <= 0 ||
      lines <= 0 || rows.segments <= 0 || ShapedType::isDynamic(extents.channels) ||
      ShapedType::isDynamic(extents.values) || columns != shape.extents.values)
    return std::nullopt;
  return chooseAppliedTiles(limits, extents, heads, rows);
}

FailureOr<ChainSizes> elfatt::tile::chooseTileSizes(Operation *op, Operation *context,
                                                    const MachineLimits &limits) {
  PartShape shape = getPartShape(op);
  auto view = cast<ViewOpInterface>(op);
  SmallVector<int64_t> ranges = getStaticLoopRanges(view);
  ChainSizes chosen;
  SmallVector<int64_t> &sizes = chosen.workers;
  sizes.assign(ranges.size(), 0);
  for (unsigned dim : shape.batch)
    sizes[dim] = 1;
  const int64_t inner = rowsOfLine(op, limits);
  const int64_t columns = findColumns(op, limits, context).value_or(shape.extents.values);
  if (columns != shape.extents.values)
    sizes[shape.values] = columns;
  FailureOr<int64_t> heads = headsOfWorker(op, context, columns, limits);
  if (failed(heads))
    return failure();
  std::optional<AppliedTiles> applied;
  if (limits.machine == Machine::GPU && appliesOnly(op, context)) {
    applied = findAppliedTiles(op, dyn_cast_or_null<MergeOp>(context), columns, *heads, limits);
    if (limits.overrides.headsPerBlock == 0)
      heads = applied ? applied->heads : 1;
  }
  if (*heads > 1)
    sizes[*findHeadDim(op)] = *heads;
  if (shape.rows.empty()) {
    // A lone context is one tile; some loop has to hold it.
    for (auto [dim, type] : llvm::enumerate(view.getViewIteratorTypes()))
      if (shape.batch.empty() && type == utils::IteratorType::parallel && sizes[dim] == 0)
        sizes[dim] = ShapedType::isDynamic(ranges[dim]) ? 0 : ranges[dim];
    return chosen;
  }
  int64_t rowsPerWorker = std::numeric_limits<int64_t>::max();
  for (Operation *part = op; part; part = previousPart(part)) {
    TileExtents extents = getExtents(part, columns, bool(context));
    extents.heads = *heads;
    extents.hasProcessor = *heads > 1 && appliesOnly(op, context);
    rowsPerWorker = std::min(rowsPerWorker, getTileParams(limits, extents).rowsPerWorker);
  }
  int64_t lines = std::max<int64_t>(1, rowsPerWorker / inner);
  const unsigned lineDim = findLineDim(op, limits);
  for (unsigned dim : ArrayRef(shape.rows).take_front(lineDim))
    sizes[dim] = 1;
  const unsigned divided = shape.rows[lineDim];
  int64_t outer = ranges[divided];
  if (!ShapedType::isDynamic(outer) && keepsRowsTogether(op, limits, outer * inner))
    lines = std::max(lines, outer);
  // Of about the same height: the last has the scratch of all (GPU), and shapes that are
  // equal are static. Rows that are not lines stay whole row blocks.
  if (!ShapedType::isDynamic(outer) && outer > lines) {
    lines = llvm::divideCeil(outer, llvm::divideCeil(outer, lines));
    if (limits.machine == Machine::CPU && inner == 1)
      lines = roundUp(lines, getTileParams(limits, shape.extents).rows);
  }
  // Turns of the same height keep what the one before has of V.
  if (isa_and_nonnull<ContextOp>(context) && !ShapedType::isDynamic(outer))
    for (int64_t even = lines; 2 * even >= lines; --even)
      if (outer % even == 0) {
        lines = even;
        break;
      }
  if (applied && applied->heads == *heads) {
    lines = applied->linesOfTurns;
    if (applied->lines < std::min(lines, outer))
      chosen.linesOfTurn = applied->lines;
  }
  // The state between online steps is scratch, so it needs a static size.
  if (isa_and_nonnull<FinalizeOp>(previousPart(op)) || isa<FinalizeOp>(op))
    while (!ShapedType::isDynamic(outer) && outer > 0 && outer % lines != 0)
      --lines;
  if (ShapedType::isDynamic(outer) || outer > lines)
    sizes[divided] = lines;
  else if (shape.batch.empty())
    sizes[divided] = outer;
  return chosen;
}

/// Rows that one worker takes in turns, where its scratch has room for some at a time.
static constexpr int64_t kMostRowsInTurns = 256;

bool elfatt::tile::takesRowsInTurns(Operation *last, const MachineLimits &limits) {
  if (limits.machine != Machine::GPU || limits.overrides.rowsPerBlock != 0)
    return false;
  Operation *first = last;
  for (Operation *part = last; part; part = previousPart(part)) {
    if (isa<OnlineOp, FinalizeOp>(part))
      return false;
    first = part;
  }
  auto sdpa = dyn_cast<SdpaOp>(first);
  if (!sdpa)
    return false;
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(first));
  int64_t rows = 1;
  for (unsigned dim : getPartShape(first).rows)
    rows *= ShapedType::isDynamic(ranges[dim]) ? kMostRowsInTurns + 1 : ranges[dim];
  const TileExtents extents = getPartShape(first).extents;
  const int64_t heads = countHeads(first);
  return rows <= kMostRowsInTurns && extents.keys > 0 &&
         getTileParams(limits, extents).keys >= extents.keys &&
         (ShapedType::isDynamic(heads) || heads >= limits.processors);
}
