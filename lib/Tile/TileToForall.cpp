// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One scf.forall a chain of parts: the last part is tiled, the others are fused
// into its loop through the destination that they share.
#include "elfatt/Tile/Passes.h"

#include "Elementwise/ElementwiseTerm.h"
#include "Sizes/PartShape.h"
#include "Sizes/WorkerSizes.h"
#include "TilingPass.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/Transforms/TileUsingInterface.h"
#include "mlir/Interfaces/ValueBoundsOpInterface.h"
#include "llvm/ADT/SetVector.h"

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
struct TileToForallPass : TilingPass<impl::TileToForallPassBase<TileToForallPass>> {
  using TilingPass::TilingPass;

  void runOnOperation() override {
    MachineLimits limits = getLimits();
    limits.mostSharedBytes = mostSharedBytes;
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
    FailureOr<ChainSizes> chosen = chooseTileSizes(last, context, limits);
    if (failed(chosen))
      return failure();
    SmallVector<int64_t> sizes = chosen->workers, order, rowSizes;
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
    } else if (chosen->linesOfTurn != 0) {
      rowSizes.assign(sizes.size(), 0);
      rowSizes[getPartShape(last).rows.front()] = chosen->linesOfTurn;
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
    if (succeeded(inner) && isa_and_nonnull<ContextOp>(context))
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
