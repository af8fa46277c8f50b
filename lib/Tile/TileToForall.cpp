// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One scf.forall a chain of parts: the last part is tiled, the others are fused
// into its loop through the destination that they share.
#include "elfatt/Tile/Passes.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"

#include "mlir/Dialect/SCF/Transforms/TileUsingInterface.h"
#include "mlir/IR/Dominance.h"

namespace elfatt::tile {
#define GEN_PASS_DEF_TILETOFORALLPASS
#include "elfatt/Tile/Passes.h.inc"

using namespace mlir;
using namespace elfatt::attention;

/// Parts that may be computed tile by tile inside a consumer's loop.
static bool isFusablePart(Operation *op) {
  return isa_and_nonnull<SdpaOp, ApplyOp, OnlineOp, FinalizeOp>(op) ||
         isa_and_nonnull<linalg::FillOp>(op);
}

/// A part that ends a chain: no other part accumulates on its result.
static bool endsChain(Operation *op) {
  return llvm::none_of(op->getUsers(), [](Operation *user) {
    return isa<OnlineOp, FinalizeOp, LepeOp>(user);
  });
}

/// Workers take one index of every batch dim, and a block of rows of the
/// outermost row dim where rows are many. Zero means not tiled.
static SmallVector<int64_t> chooseTileSizes(Operation *op, const MachineLimits &limits) {
  auto view = cast<ViewOpInterface>(op);
  SmallVector<int64_t> ranges = getStaticLoopRanges(view);
  SmallVector<int64_t> sizes(ranges.size(), 0);
  SmallVector<unsigned> batch, rows;
  int64_t values = 32;
  int64_t keys = ShapedType::kDynamic;
  if (auto sdpa = dyn_cast<SdpaOp>(op)) {
    AttentionDims dims = AttentionDims::get(sdpa);
    batch = dims.batch;
    rows = dims.rows;
    values = ranges[dims.values];
    keys = 1;
    for (unsigned key : dims.keys)
      keys = ShapedType::isDynamic(keys) || ShapedType::isDynamic(ranges[key])
                 ? ShapedType::kDynamic
                 : keys * ranges[key];
  } else if (auto apply = dyn_cast<ApplyOp>(op)) {
    AttentionDims dims = AttentionDims::get(apply);
    batch = dims.batch;
    rows = dims.rows;
  } else if (auto context = dyn_cast<ContextOp>(op)) {
    batch = AttentionDims::get(context).batch;
  } else if (auto lepe = dyn_cast<LepeOp>(op)) {
    // The last parallel dim holds the values; the grid dims are rows.
    for (unsigned dim = 0, e = ranges.size() - 1; dim < e; ++dim)
      (llvm::is_contained(lepe.getGridDims(), dim) ? rows : batch).push_back(dim);
  } else if (auto finalize = dyn_cast<FinalizeOp>(op)) {
    // Rows and batch dims look alike here; the online step before it knows.
    if (auto online = finalize.getAcc().getDefiningOp<OnlineOp>()) {
      AttentionDims dims = AttentionDims::get(online);
      AffineMap accMap = online.getIndexingMapsArray()[3];
      AffineMap ownMap = finalize.getIndexingMapsArray()[0];
      for (auto [theirs, ours] : llvm::zip_equal(accMap.getResults(), ownMap.getResults())) {
        auto their = dyn_cast<AffineDimExpr>(theirs), our = dyn_cast<AffineDimExpr>(ours);
        if (!their || !our || their.getPosition() == dims.values)
          continue;
        bool isRow = llvm::is_contained(dims.rows, their.getPosition());
        (isRow ? rows : batch).push_back(our.getPosition());
      }
    }
  } else if (auto online = dyn_cast<OnlineOp>(op)) {
    AttentionDims dims = AttentionDims::get(online);
    batch = dims.batch;
    rows = dims.rows;
  }
  for (unsigned dim : batch)
    sizes[dim] = 1;
  if (rows.empty())
    return sizes;

  int64_t inner = 1;
  for (unsigned dim : ArrayRef(rows).drop_front())
    inner = ShapedType::isDynamic(ranges[dim]) ? 64 : inner * std::max<int64_t>(1, ranges[dim]);
  TileParams params = getTileParams(
      limits, {/*rows=*/ranges[rows.back()], keys, /*channels=*/values, values});
  int64_t lines = std::max<int64_t>(1, params.rowsPerWorker / inner);
  int64_t outer = ranges[rows.front()];
  // A grid row of LePE reads its neighbours; blocks of lines share them.
  if (ShapedType::isDynamic(outer) || outer > lines)
    sizes[rows.front()] = lines;
  return sizes;
}

namespace {
struct TileToForallPass : impl::TileToForallPassBase<TileToForallPass> {
  using TileToForallPassBase::TileToForallPassBase;

  void runOnOperation() override {
    MachineLimits limits{machine, vectorBits, vectorRegisters};
    SmallVector<Operation *> roots;
    getOperation()->walk([&](Operation *op) {
      if (isa<SdpaOp, ContextOp, ApplyOp, LepeOp, OnlineOp, FinalizeOp>(op) &&
          cast<DestinationStyleOpInterface>(op).hasPureTensorSemantics() && endsChain(op) &&
          !op->getParentOfType<scf::ForallOp>())
        roots.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (Operation *root : roots)
      if (failed(tileChain(rewriter, root, limits)))
        return signalPassFailure();
  }

  LogicalResult tileChain(IRRewriter &rewriter, Operation *root, const MachineLimits &limits) {
    SmallVector<int64_t> sizes = chooseTileSizes(root, limits);
    scf::SCFTileAndFuseOptions options;
    options.tilingOptions.setLoopType(scf::SCFTilingOptions::LoopType::ForallOp);
    options.tilingOptions.setTileSizes(getAsIndexOpFoldResult(&getContext(), sizes));
    options.setFusionControlFn(
        [&](tensor::ExtractSliceOp, OpResult producer,
            bool) -> std::optional<scf::SCFTileAndFuseOptions::ControlFnResult> {
          if (!isFusablePart(producer.getOwner()))
            return std::nullopt;
          if (!isa<linalg::FillOp>(producer.getOwner()))
            ++numFused;
          return scf::SCFTileAndFuseOptions::ControlFnResult{};
        });
    rewriter.setInsertionPoint(root);
    auto tileable = cast<TilingInterface>(root);
    if (llvm::all_of(sizes, [](int64_t size) { return size == 0; }))
      return root->emitOpError("has no batch or row dim to tile");
    FailureOr<scf::SCFTileAndFuseResult> tiled =
        scf::tileConsumerAndFuseProducersUsingSCF(rewriter, tileable, options);
    if (failed(tiled))
      return root->emitOpError("cannot be tiled");
    for (auto [result, replacement] : tiled->replacements)
      rewriter.replaceAllUsesWith(result, replacement);
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
    ++numTiled;
    return success();
  }
};
} // namespace
} // namespace elfatt::tile
