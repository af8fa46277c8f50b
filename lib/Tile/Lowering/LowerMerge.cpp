// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// merge on buffers: for each row block, segment after segment joins the state of those
// before it, in scratch, or on the GPU in registers.
#include "Builders/Formulas.h"
#include "Builders/TileViews.h"
#include "LowerParts.h"
#include "Sizes/PartShape.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

/// Segments that a warp reads before it joins the first of them, so that their loads do not
/// wait for each other: at most so many, and no more than lanes have registers for. Padded columns
/// are read one by one, with an address and a predicate each.
static constexpr int64_t kSegmentsAtOnce = 4, kRegisters = 200, kRegistersOfPadded = 160,
                         kRegistersOfMany = 100;

static int64_t countAtOnce(const TileParams &params, int64_t segments, int64_t values,
                           int64_t columns) {
  const int64_t perSegment = params.rows * columns / 32;
  const int64_t registers = params.occupancy != 0 ? kRegistersOfMany
                            : values != columns   ? kRegistersOfPadded
                                                  : kRegisters;
  const int64_t most = registers / perSegment - 1; // and the sum
  int64_t atOnce = std::clamp<int64_t>(most, 1, kSegmentsAtOnce);
  while (segments % atOnce != 0)
    --atOnce;
  return atOnce;
}

/// A warp has some channels; lanes read the segments' states where they are.
static void mergeStaged(const TileContext &ctx, Value acc, Value max, Value sum, Value output) {
  ImplicitLocOpBuilder &b = ctx.b;
  Formulas formulas(b, ctx.type, ctx.params.fusedWeights);
  const int64_t rows = ctx.params.rows, segments = typeOf(acc).getDimSize(0);
  const int64_t values = typeOf(output).getDimSize(1);
  const int64_t columns = roundUp(values, ctx.params.padTo);
  const int64_t atOnce = countAtOnce(ctx.params, segments, values, columns);
  forEachRowBlock(ctx, output, [&](const RowBlock &block) {
    const OnlineState none = formulas.noKeys(rows, columns);
    auto loop =
        scf::ForOp::create(b, ctx.index(0), ctx.index(memref::getMixedSize(b, b.getLoc(), acc, 0)),
                           ctx.index(atOnce), ValueRange{none.acc, none.max, none.sum});
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(loop.getBody());
      SmallVector<OnlineState> read;
      for (int64_t i = 0; i < atOnce; ++i) {
        RowBlock next = block;
        next.outer.push_back(b.createOrFold<arith::AddIOp>(loop.getInductionVar(), ctx.index(i)));
        read.push_back({readRows(ctx, acc, next, columns), readPerRow(ctx, max, next),
                        readPerRow(ctx, sum, next)});
      }
      ValueRange carried = loop.getRegionIterArgs();
      OnlineState state{carried[0], carried[1], carried[2]};
      for (const OnlineState &segment : read)
        state = formulas.join(state, segment, ScoreBase::E);
      scf::YieldOp::create(b, ValueRange{state.acc, state.max, state.sum});
    }
    ValueRange all = loop.getResults();
    Value merged = formulas.finalize({all[0], all[1], all[2]}, /*emptyRowsAreZero=*/false);
    writeRows(ctx, formulas.narrow(merged, typeOf(output).getElementType()), output, block);
  });
}

/// `view` with its dims `at`, of heads, and the next, of their channels, as one; or null. Rows are
/// merged alike, whichever head they are of.
static Value joinHeads(ImplicitLocOpBuilder &b, Value view, int64_t at) {
  SmallVector<ReassociationIndices> groups;
  for (int64_t dim = 0, rank = typeOf(view).getRank(); dim < rank; ++dim)
    if (dim == at + 1)
      groups.back().push_back(dim);
    else
      groups.push_back({dim});
  if (!memref::CollapseShapeOp::isGuaranteedCollapsible(typeOf(view), groups))
    return {};
  return memref::CollapseShapeOp::create(b, view, groups);
}

LogicalResult elfatt::tile::lowerMerge(MergeOp op, const MachineLimits &limits) {
  FailureOr<PartShape> shape = getTileShape(op, limits.machine);
  if (failed(shape))
    return failure();
  auto view = cast<ViewOpInterface>(op.getOperation());
  AttentionDims dims = AttentionDims::get(op);
  SmallVector<int64_t> ranges = getStaticLoopRanges(view);
  const int64_t values = ranges[dims.values];
  if (ShapedType::isDynamic(ranges[dims.channels]) || ShapedType::isDynamic(values))
    return op.emitOpError("expected static channel and value extents");
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  TileContext ctx{b, limits, getTileParams(limits, shape->extents), getComputeType(view)};
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  const unsigned segment = dims.keys[0];
  auto project = [&](Value buffer, AffineMap map, bool hasSegments, bool hasValues) {
    SmallVector<unsigned> order;
    if (hasSegments)
      order.push_back(segment);
    if (shape->head)
      order.push_back(*shape->head);
    order.push_back(dims.channels);
    if (hasValues)
      order.push_back(dims.values);
    Value view = projectView(b, buffer, map, order);
    return shape->head ? joinHeads(b, view, /*at=*/hasSegments) : view;
  };
  Value acc = project(op.getAcc(), maps[0], true, true);
  Value max = project(op.getMax(), maps[1], true, false);
  Value sum = project(op.getSum(), maps[2], true, false);
  Value output = project(op.getInit(), maps[3], false, true);
  if (!acc || !max || !sum || !output)
    return op.emitOpError("expected heads that lie behind each other in memory");
  if (ctx.params.staged) {
    mergeStaged(ctx, acc, max, sum, output);
    return success();
  }
  ctx.params.rows = ctx.params.contextRows;
  const int64_t rows = ctx.params.rows;
  Formulas formulas(b, ctx.type, ctx.params.fusedWeights);
  Value accScratch = ctx.scratch({rows, values}, ctx.type);
  Value maxScratch = ctx.scratch({rows}, ctx.type), sumScratch = ctx.scratch({rows}, ctx.type);
  RowBlock own;
  own.inner = own.linear = ctx.index(0);
  auto load = [&](Value a, Value m, Value l, const RowBlock &block) {
    return OnlineState{readRows(ctx, a, block, values), readPerRow(ctx, m, block),
                       readPerRow(ctx, l, block)};
  };
  auto store = [&](const OnlineState &state) {
    writeRows(ctx, state.acc, accScratch, own);
    writePerRow(ctx, state.max, maxScratch, own);
    writePerRow(ctx, state.sum, sumScratch, own);
  };
  forEachRowBlock(ctx, output, [&](const RowBlock &block) {
    store(formulas.noKeys(rows, values));
    Value numSegments = ctx.index(memref::getMixedSize(b, b.getLoc(), acc, 0));
    auto loop = scf::ForOp::create(b, ctx.index(0), numSegments, ctx.index(1));
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(loop.getBody());
      RowBlock next = block;
      next.outer.push_back(loop.getInductionVar());
      store(formulas.join(load(accScratch, maxScratch, sumScratch, own), load(acc, max, sum, next),
                          ScoreBase::E));
    }
    Value merged = formulas.finalize(load(accScratch, maxScratch, sumScratch, own),
                                     /*emptyRowsAreZero=*/false);
    writeRows(ctx, formulas.narrow(merged, typeOf(output).getElementType()), output, block);
  });
  return success();
}
