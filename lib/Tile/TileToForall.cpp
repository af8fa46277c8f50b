// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One scf.forall a chain of parts: the last part is tiled, the others are fused
// into its loop through the destination that they share.
#include "elfatt/Tile/Passes.h"

#include "ElementwiseTerm.h"
#include "NeighbouringHeads.h"
#include "PartShape.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/Transforms/TileUsingInterface.h"
#include "mlir/Interfaces/ValueBoundsOpInterface.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/TypeSwitch.h"

#include <limits>

namespace elfatt::tile {
#define GEN_PASS_DEF_TILETOFORALLPASS
#include "elfatt/Tile/Passes.h.inc"

using namespace mlir;
using namespace elfatt::attention;

/// A part that ends a chain: no other part accumulates on its result.
static bool endsChain(Operation *op) {
  return llvm::none_of(op->getUsers(),
                       [](Operation *user) { return isa<OnlineOp, FinalizeOp, LepeOp>(user); });
}

/// The part before `op` in its chain, or null.
static Operation *previousPart(Operation *op) {
  Value from = llvm::TypeSwitch<Operation *, Value>(op)
                   .Case([](LepeOp lepe) { return lepe.getInit(); })
                   .Case<FinalizeOp, OnlineOp>([](auto part) { return part.getAcc(); })
                   .Default([](Operation *) { return Value(); });
  Operation *producer = from ? from.getDefiningOp() : nullptr;
  return isa_and_nonnull<SdpaOp, ApplyOp, OnlineOp, FinalizeOp>(producer) ? producer : nullptr;
}

/// The elementwise op that works on what `part`, the last of a chain, makes; or null.
static linalg::GenericOp findFollower(Operation *part, Machine machine) {
  if (part->getNumResults() != 1 || !part->hasOneUse())
    return {};
  auto op = dyn_cast<linalg::GenericOp>(*part->user_begin());
  if (!op || op->getBlock() != part->getBlock() || !op.hasPureTensorSemantics() ||
      !findRowsOperand(op, part->getResult(0), machine))
    return {};
  // Kernels have no scratch for rows of another type.
  if (machine == Machine::GPU && op.getDpsInits()[0] != part->getResult(0))
    return {};
  return op;
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

/// Rows of one line of the outermost row dim, which a worker takes at once.
static int64_t rowsOfLine(Operation *part) {
  PartShape shape = getPartShape(part);
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(part));
  int64_t rows = 1;
  for (unsigned dim : ArrayRef(shape.rows).drop_front(shape.rows.empty() ? 0 : 1))
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
  const int64_t values = getPartShape(last).extents.values, rows = rowsOfLine(last);
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

/// The context that the chain of `last` alone applies, where there are so many heads that
/// each can have a worker of its own for both: the context then never leaves it, and V comes
/// from the cache a second time. Of fewer heads more workers share the rows; what merges
/// segments of a context is read by each of them, in place of a launch of its own.
static Operation *findOwnContext(Operation *last, const MachineLimits &limits) {
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

/// Heads that a worker of the chain of `last` takes at once.
static FailureOr<int64_t> chooseHeads(Operation *last, Operation *context, int64_t columns,
                                      const MachineLimits &limits) {
  SmallVector<HeadsPart> chain;
  for (Operation *part = last; part; part = previousPart(part))
    chain.push_back({part, getExtents(part, columns, bool(context))});
  // Some of the columns are no whole rows, and a context is made of one head.
  const bool mayTake = !context && columns == getPartShape(last).extents.values;
  return chooseHeads(chain, limits, mayTake);
}

/// Workers take one index of every batch dim, or some heads, a block of rows of the outermost
/// row dim where rows are many, and some of the columns where they are too many for a block. Zero
/// means not tiled.
static FailureOr<SmallVector<int64_t>> chooseTileSizes(Operation *op, Operation *context,
                                                       const MachineLimits &limits) {
  PartShape shape = getPartShape(op);
  auto view = cast<ViewOpInterface>(op);
  SmallVector<int64_t> ranges = getStaticLoopRanges(view);
  SmallVector<int64_t> sizes(ranges.size(), 0);
  for (unsigned dim : shape.batch)
    sizes[dim] = 1;
  const int64_t inner = rowsOfLine(op);
  const int64_t columns = findColumns(op, limits, context).value_or(shape.extents.values);
  if (columns != shape.extents.values)
    sizes[shape.values] = columns;
  FailureOr<int64_t> heads = chooseHeads(op, context, columns, limits);
  if (failed(heads))
    return failure();
  if (*heads > 1)
    sizes[*findHeadDim(op)] = *heads;
  if (shape.rows.empty()) {
    // A lone context is one tile; some loop has to hold it.
    for (auto [dim, type] : llvm::enumerate(view.getViewIteratorTypes()))
      if (shape.batch.empty() && type == utils::IteratorType::parallel && sizes[dim] == 0)
        sizes[dim] = ShapedType::isDynamic(ranges[dim]) ? 0 : ranges[dim];
    return sizes;
  }
  int64_t rowsPerWorker = std::numeric_limits<int64_t>::max();
  for (Operation *part = op; part; part = previousPart(part)) {
    TileExtents extents = getExtents(part, columns, bool(context));
    extents.heads = *heads;
    rowsPerWorker = std::min(rowsPerWorker, getTileParams(limits, extents).rowsPerWorker);
  }
  int64_t lines = std::max<int64_t>(1, rowsPerWorker / inner);
  int64_t outer = ranges[shape.rows.front()];
  // Of about the same height: the last has the scratch of all (GPU), and shapes that are
  // equal are static. Rows that are not lines stay whole row blocks.
  if (!ShapedType::isDynamic(outer) && outer > lines) {
    lines = llvm::divideCeil(outer, llvm::divideCeil(outer, lines));
    if (limits.machine == Machine::CPU && inner == 1)
      lines = roundUp(lines, getTileParams(limits, shape.extents).rows);
  }
  // The state between online steps is scratch, so it needs a static size.
  if (isa_and_nonnull<FinalizeOp>(previousPart(op)) || isa<FinalizeOp>(op))
    while (!ShapedType::isDynamic(outer) && outer > 0 && outer % lines != 0)
      --lines;
  if (ShapedType::isDynamic(outer) || outer > lines)
    sizes[shape.rows.front()] = lines;
  else if (shape.batch.empty())
    sizes[shape.rows.front()] = outer;
  return sizes;
}

/// Rows that one worker takes in turns, where its scratch has room for some at a time.
static constexpr int64_t kMostRowsInTurns = 256;

/// Whether one worker takes all rows of the chain of `last`, in turns, where its scratch holds
/// all keys but not all rows: they would be read by each of several workers. With few heads
/// these are for multiprocessors that had nothing to do.
static bool takesRowsInTurns(Operation *last, const MachineLimits &limits) {
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

/// One mapping attribute for each loop. A loop that is mapped to blocks keeps its
/// dims, even those of one iteration.
static SmallVector<Attribute> blockMapping(MLIRContext *ctx, ArrayRef<int64_t> sizes) {
  SmallVector<Attribute> mapping;
  for (int64_t size : sizes)
    if (size != 0)
      mapping.push_back(gpu::GPUBlockMappingAttr::get(
          ctx, gpu::MappingId(uint64_t(gpu::MappingId::LinearDim0) + mapping.size())));
  return mapping;
}

/// Kernels compute in f32: many chips for them have hardly any f64.
static LogicalResult checkTypes(Operation *op, Machine machine) {
  FloatType type = getComputeType(cast<ViewOpInterface>(op));
  if (machine == Machine::GPU && !type.isF32())
    return op->emitOpError("no kernel computes in ")
           << type << ", expected operands of type f16, bf16 or f32";
  return success();
}

/// Replaces a part that has nothing to compute, which tiling would reject: no
/// element in its result, or no key to attend to.
static bool replaceEmptyPart(IRRewriter &rewriter, Operation *op) {
  auto dps = cast<DestinationStyleOpInterface>(op);
  auto type = cast<RankedTensorType>(dps.getDpsInits()[0].getType());
  if (llvm::is_contained(type.getShape(), 0)) {
    rewriter.replaceOp(op, SmallVector<Value>(dps.getDpsInits()));
    return true;
  }
  if (!isa<SdpaOp, OnlineOp, ContextOp>(op) || getPartShape(op).extents.keys != 0)
    return false;
  if (isa<OnlineOp>(op)) {
    rewriter.replaceOp(op, SmallVector<Value>(dps.getDpsInits()));
    return true;
  }
  auto sdpa = dyn_cast<SdpaOp>(op);
  bool zero = !sdpa || sdpa.getMaskedRows() == MaskedRows::Zero;
  auto element = cast<FloatType>(type.getElementType());
  APFloat value = zero ? APFloat::getZero(element.getFloatSemantics())
                       : APFloat::getNaN(element.getFloatSemantics());
  Value scalar =
      arith::ConstantOp::create(rewriter, op->getLoc(), rewriter.getFloatAttr(element, value));
  rewriter.replaceOpWithNewOp<linalg::FillOp>(op, ValueRange{scalar},
                                              ValueRange{dps.getDpsInits()[0]});
  return true;
}

namespace {
struct TileToForallPass : impl::TileToForallPassBase<TileToForallPass> {
  using TileToForallPassBase::TileToForallPassBase;

  void runOnOperation() override {
    MachineLimits limits{.machine = machine,
                         .vectorBits = vectorBits,
                         .vectorRegisters = vectorRegisters,
                         .sharedBytes = sharedBytes,
                         .processors = processors,
                         .overrides = {rowsPerBlock, warpsPerBlock, keysPerStep, contextTokens,
                                       contextWarps, headsPerBlock},
                         .mostSharedBytes = mostSharedBytes,
                         .tensorF16 = tensorF16,
                         .tensorBF16 = tensorBF16};
    SmallVector<Operation *> parts, roots;
    getOperation()->walk([&](Operation *op) {
      if (isa<SdpaOp, ContextOp, PartialContextOp, MergeOp, ApplyOp, LepeOp, OnlineOp, FinalizeOp>(
              op) &&
          cast<DestinationStyleOpInterface>(op).hasPureTensorSemantics() &&
          !op->getParentOfType<scf::ForallOp>())
        parts.push_back(op);
    });
    if (llvm::any_of(parts, [&](Operation *op) {
          return failed(checkOverrides(op, limits)) || failed(checkTypes(op, machine));
        }))
      return signalPassFailure();
    IRRewriter rewriter(&getContext());
    for (Operation *&part : parts) {
      rewriter.setInsertionPoint(part);
      if (replaceEmptyPart(rewriter, part))
        part = nullptr;
    }
    for (Operation *part : parts)
      if (part && endsChain(part))
        roots.push_back(part);
    llvm::SmallPtrSet<Operation *, 4> owned;
    for (Operation *root : roots)
      if (Operation *context = findOwnContext(root, limits))
        owned.insert(context);
    llvm::erase_if(roots, [&](Operation *root) { return owned.contains(root); });
    for (Operation *root : roots)
      if (failed(tileChain(rewriter, root, limits)))
        return signalPassFailure();
  }

  /// Tile sizes and the order of loops of `last`, for the op that follows it: its dims
  /// are those of the result.
  static void moveTo(linalg::GenericOp follower, Operation *last, SmallVector<int64_t> &sizes,
                     SmallVector<int64_t> &order) {
    AffineMap written = cast<ViewOpInterface>(last).getIndexingMapsArray().back();
    AffineMap map = follower.getMatchingIndexingMap(follower.getDpsInitOperand(0));
    SmallVector<int64_t> moved(map.getNumDims(), 0);
    llvm::SmallSetVector<int64_t, 8> dims;
    for (unsigned dim = 0; dim < written.getNumDims(); ++dim)
      if (auto position = written.getResultPosition(getAffineDimExpr(dim, last->getContext()))) {
        dims.insert(map.getDimPosition(*position));
        moved[dims.back()] = sizes[dim];
      }
    for (int64_t dim = 0, e = map.getNumDims(); dim < e; ++dim)
      dims.insert(dim);
    sizes = moved;
    order = dims.takeVector();
  }

  LogicalResult tileChain(IRRewriter &rewriter, Operation *last, const MachineLimits &limits) {
    Operation *context = findOwnContext(last, limits);
    FailureOr<SmallVector<int64_t>> chosen = chooseTileSizes(last, context, limits);
    if (failed(chosen))
      return failure();
    SmallVector<int64_t> sizes = *chosen, order, rowSizes;
    llvm::SmallPtrSet<Operation *, 4> chain;
    for (Operation *part = last; part; part = previousPart(part))
      chain.insert(part);
    if (context)
      chain.insert(context);
    // A worker that made a context has all rows of its head, tile after tile.
    if (isa_and_nonnull<ContextOp>(context) || takesRowsInTurns(last, limits)) {
      rowSizes.assign(sizes.size(), 0);
      PartShape shape = getPartShape(last);
      for (unsigned dim : shape.rows)
        std::swap(rowSizes[dim], sizes[dim]);
      // Of one head without a batch the columns are what is left to be some worker's.
      if (llvm::all_of(sizes, [](int64_t size) { return size == 0; }))
        sizes[shape.values] = shape.extents.values;
    }
    Operation *root = last;
    if (linalg::GenericOp follower = findFollower(last, machine)) {
      SmallVector<int64_t> rowOrder;
      if (!rowSizes.empty())
        moveTo(follower, last, rowSizes, rowOrder);
      moveTo(follower, last, sizes, order);
      root = follower;
    }
    FailureOr<Operation *> tiled = tileOnce(rewriter, root, limits, sizes, order, chain);
    if (failed(tiled))
      return failure();
    ++numTiled;
    if (rowSizes.empty() || llvm::all_of(rowSizes, [](int64_t size) { return size == 0; }))
      return success();
    chain.clear();
    (*tiled)->getBlock()->walk([&](Operation *op) {
      if (isa<SdpaOp, ApplyOp, LepeOp>(op))
        chain.insert(op);
    });
    FailureOr<Operation *> inner =
        tileOnce(rewriter, *tiled, limits, rowSizes, order, chain, /*workers=*/false);
    if (succeeded(inner) && context)
      reverse(rewriter, (*inner)->getParentOfType<scf::ForOp>());
    return inner;
  }

  /// Runs a loop from its last iteration to its first: what the context read last of V is
  /// still in the cache when it is applied.
  static void reverse(IRRewriter &rewriter, scf::ForOp loop) {
    rewriter.setInsertionPointToStart(loop.getBody());
    AffineExpr iv, lower, upper, step;
    bindDims(loop.getContext(), iv);
    bindSymbols(loop.getContext(), lower, upper, step);
    // lower + upper' - iv, where upper' is the last iteration's index.
    AffineExpr last = lower + ((upper - lower).ceilDiv(step) - 1) * step;
    Value reversed = affine::makeComposedAffineApply(
        rewriter, loop.getLoc(), lower + last - iv,
        {loop.getInductionVar(), loop.getLowerBound(), loop.getUpperBound(), loop.getStep()});
    rewriter.replaceAllUsesExcept(loop.getInductionVar(), reversed, reversed.getDefiningOp());
  }

  /// Tiles `root` and the parts of `chain` that it follows: one loop over workers, or one
  /// that a worker runs. Returns the tiled root.
  FailureOr<Operation *> tileOnce(IRRewriter &rewriter, Operation *root,
                                  const MachineLimits &limits, ArrayRef<int64_t> sizes,
                                  ArrayRef<int64_t> order,
                                  const llvm::SmallPtrSetImpl<Operation *> &chain,
                                  bool workers = true) {
    scf::SCFTileAndFuseOptions options;
    options.tilingOptions.setLoopType(workers ? scf::SCFTilingOptions::LoopType::ForallOp
                                              : scf::SCFTilingOptions::LoopType::ForOp);
    options.tilingOptions.setTileSizes(getAsIndexOpFoldResult(&getContext(), sizes));
    options.tilingOptions.setInterchange(order);
    if (limits.machine == Machine::GPU && workers)
      options.tilingOptions.setMapping(blockMapping(&getContext(), sizes));
    options.setFusionControlFn(
        [&](tensor::ExtractSliceOp, OpResult producer,
            bool) -> std::optional<scf::SCFTileAndFuseOptions::ControlFnResult> {
          Operation *op = producer.getOwner();
          if (!chain.contains(op) && !isa<linalg::FillOp>(op))
            return std::nullopt;
          if (!isa<linalg::FillOp>(op))
            ++numFused;
          return scf::SCFTileAndFuseOptions::ControlFnResult{};
        });
    rewriter.setInsertionPoint(root);
    auto tileable = cast<TilingInterface>(root);
    FailureOr<scf::SCFTileAndFuseResult> tiled =
        scf::tileConsumerAndFuseProducersUsingSCF(rewriter, tileable, options);
    if (failed(tiled))
      return root->emitOpError("cannot be tiled");
    for (auto [result, replacement] : tiled->replacements)
      rewriter.replaceAllUsesWith(result, replacement);
    for (Operation *loop : tiled->loops)
      makeScratchStatic(rewriter, loop);
    // The chain's parts are dead now, last to first.
    SmallVector<Operation *> dead(tiled->fusedProducers.begin(), tiled->fusedProducers.end());
    rewriter.eraseOp(root);
    for (bool changed = true; changed;) {
      changed = false;
      for (Operation *&op : dead)
        if (op && isOpTriviallyDead(op)) {
          rewriter.eraseOp(op);
          op = nullptr;
          changed = true;
        }
    }
    return tiled->tiledAndFusedOps.front();
  }

  /// What a worker puts its rows in before they become something else has a static
  /// size, of which the last tile uses a part.
  static void makeScratchStatic(IRRewriter &rewriter, Operation *loop) {
    SmallVector<tensor::ExtractSliceOp> slices;
    loop->walk([&](tensor::ExtractSliceOp slice) {
      if (slice.getSource().getDefiningOp<tensor::EmptyOp>() && !slice.getType().hasStaticShape())
        slices.push_back(slice);
    });
    for (tensor::ExtractSliceOp slice : slices) {
      SmallVector<int64_t> shape;
      for (int64_t dim = 0; dim < slice.getType().getRank(); ++dim) {
        FailureOr<int64_t> bound = ValueBoundsConstraintSet::computeConstantBound(
            presburger::BoundType::UB, {slice.getResult(), dim}, /*stopCondition=*/nullptr,
            /*closedUB=*/true);
        if (failed(bound))
          break;
        shape.push_back(*bound);
      }
      if (int64_t(shape.size()) != slice.getType().getRank())
        continue;
      rewriter.setInsertionPoint(slice);
      Value scratch = tensor::EmptyOp::create(rewriter, slice.getLoc(), shape,
                                              slice.getType().getElementType());
      SmallVector<OpFoldResult> offsets(shape.size(), rewriter.getIndexAttr(0));
      rewriter.replaceOpWithNewOp<tensor::ExtractSliceOp>(
          slice, slice.getType(), scratch, offsets, slice.getMixedSizes(), slice.getMixedStrides());
    }
  }
};
} // namespace
} // namespace elfatt::tile
