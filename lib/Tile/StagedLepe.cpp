// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// lepe where rows are flattened in scratch. V lies there with the rows around the tile's:
// a tap is then the same distance away from each row. Along the outermost axis there is a
// line of zeros beyond the grid; along the others a tap beyond its line meets a row of the
// next one, which is left out.
#include "LepeTerm.h"
#include "PartShape.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

/// Rows of one line of the outermost axis.
static int64_t rowsOfLine(Value grid) {
  int64_t rows = 1;
  for (int64_t extent : typeOf(grid).getShape().drop_front().drop_back())
    rows *= extent;
  return rows;
}

static void zero(const TileContext &ctx, Value view) {
  ImplicitLocOpBuilder &b = ctx.b;
  if (typeOf(view).getDimSize(0) == 0)
    return;
  Value scalar = arith::ConstantOp::create(b, b.getFloatAttr(typeOf(view).getElementType(), 0.0));
  linalg::FillOp::create(b, ValueRange{scalar}, ValueRange{view});
}

LogicalResult LepeTerm::stage(bool stageValue) {
  for (int64_t axis = 1; axis < axes; ++axis)
    if (typeOf(value).isDynamicDim(axis) ||
        typeOf(value).getDimSize(axis) != typeOf(init).getDimSize(axis))
      return op.emitOpError("expected tiles of whole lines of static extent, got ")
             << typeOf(init) << " of " << typeOf(value);
  // Weights and bias, a row a tap, in the computation's type.
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  unsigned numDims = maps.back().getNumDims();
  SmallVector<AffineExpr> exprs;
  SmallVector<unsigned> order;
  for (int64_t axis = 0; axis < axes; ++axis) {
    order.push_back(numDims + axis);
    exprs.push_back(b.getAffineDimExpr(numDims + axis));
  }
  order.push_back(numDims - 1);
  llvm::append_range(exprs, maps[1].getResults());
  auto tapMap = AffineMap::get(numDims + axes, 0, exprs, b.getContext());
  const int64_t numTaps = taps.size();
  factors = ctx.scratch({numTaps + 1, columns}, ctx.type);
  stageIn(ctx, projectView(b, op.getWeight(), tapMap, order), factors, Padding::None);
  if (op.getBias()) {
    Value row = projectView(b, op.getBias(), maps[2], {numDims - 1});
    OpFoldResult width = memref::getMixedSize(b, b.getLoc(), row, 0);
    row = memref::ExpandShapeOp::create(b, ArrayRef<int64_t>{1, typeOf(row).getDimSize(0)}, row,
                                        SmallVector<ReassociationIndices>{{0, 1}},
                                        SmallVector<OpFoldResult>{b.getIndexAttr(1), width});
    stageIn(ctx, row, rowsOf(ctx, factors, ctx.index(numTaps), ctx.index(1)), Padding::None);
  }
  margin = 0;
  for (int64_t axis = 0; axis < axes; ++axis) {
    int64_t distance = 1;
    for (int64_t inner = axis + 1; inner < axes; ++inner)
      distance *= typeOf(value).getDimSize(inner);
    margin += distance;
  }
  if (!stageValue)
    return success();
  FailureOr<int64_t> bound = staticRowBound(op, init);
  if (failed(bound))
    return failure();
  stageRows(roundUp(std::max<int64_t>(*bound, 1), ctx.params.rows));
  return success();
}

bool LepeTerm::canShareRows(Operation *part) {
  auto sdpa = dyn_cast<SdpaOp>(part);
  if (!ctx.params.staged || !sdpa || sdpa.getValue() != op.getValue())
    return false;
  // The same rows in the same order, and the tile is the whole grid.
  AttentionDims dims = AttentionDims::get(sdpa);
  AffineMap ours = op.getIndexingMapsArray()[0], theirs = sdpa.getIndexingMapsArray()[2];
  auto positions = [&](AffineMap map, ArrayRef<unsigned> order) {
    return llvm::map_to_vector(order, [&](unsigned dim) {
      return map.getResultPosition(getAffineDimExpr(dim, op.getContext())).value_or(~0u);
    });
  };
  SmallVector<unsigned> grid(op.getGridDims().begin(), op.getGridDims().end());
  if (positions(ours, grid) != positions(theirs, dims.keys))
    return false;
  auto initMap = op.getIndexingMapsArray().back();
  SmallVector<unsigned> tile = positions(initMap, grid), whole = positions(ours, grid);
  auto init = cast<MemRefType>(op.getInit().getType());
  auto all = cast<MemRefType>(op.getValue().getType());
  return llvm::all_of(llvm::zip(tile, whole), [&](auto pair) {
    auto [t, w] = pair;
    return !init.isDynamicDim(t) && init.getDimSize(t) == all.getDimSize(w);
  });
}

Value LepeTerm::makeRows(int64_t numRows, int64_t width, Type elementType) {
  const int64_t all = std::max(numRows, roundUp(numRows, ctx.params.rows)) + 2 * margin;
  around = ctx.staging(all, width, elementType);
  zero(ctx, rowsOf(ctx, around, ctx.index(0), ctx.index(margin)));
  zero(ctx, rowsOf(ctx, around, ctx.index(margin + numRows), ctx.index(all - margin - numRows)));
  return rowsOf(ctx, around, ctx.index(margin), ctx.index(numRows));
}

/// The tile's lines of V, one before and one after them, those beyond the grid zero.
void LepeTerm::stageRows(int64_t rowBound) {
  const int64_t line = rowsOfLine(value), all = rowBound + 2 * margin;
  const int64_t before = margin - line; // rows of the line before that no tap reaches
  around = ctx.staging(all, columns, typeOf(value).getElementType());
  auto sub = [&](Value x, Value y) { return b.createOrFold<arith::SubIOp>(x, y); };
  auto add = [&](Value x, Value y) { return b.createOrFold<arith::AddIOp>(x, y); };
  Value one = ctx.index(1), none = ctx.index(0);
  Value first = origin(0), extent = ctx.index(memref::getMixedSize(b, b.getLoc(), value, 0));
  Value tileLines = ctx.index(memref::getMixedSize(b, b.getLoc(), init, 0));
  // Lines [from, to) of the grid, of [first - 1, first + lines + 1).
  Value from = sub(b.createOrFold<arith::MaxSIOp>(first, one), one);
  Value to = b.createOrFold<arith::MinSIOp>(add(add(first, tileLines), one), extent);
  Value count = sub(to, from);
  // Where they begin in scratch.
  Value lead = sub(add(from, one), first);
  Value start = add(b.createOrFold<arith::MulIOp>(lead, ctx.index(line)), ctx.index(before));
  Value rows = b.createOrFold<arith::MulIOp>(count, ctx.index(line));
  Value end = add(start, rows);
  zero(ctx, rowsOf(ctx, around, none, start));
  zero(ctx, rowsOf(ctx, around, end, sub(ctx.index(all), end)));
  SmallVector<OpFoldResult> offsets(axes + 1, b.getIndexAttr(0)), ones(axes + 1, b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes = memref::getMixedSizes(b, b.getLoc(), value);
  offsets[0] = getAsOpFoldResult(from);
  sizes[0] = getAsOpFoldResult(count);
  Value lines = memref::SubViewOp::create(b, value, offsets, sizes, ones);
  stageIn(ctx, lines, rowsOf(ctx, around, start, rows), Padding::None);
}

/// Which rows of the block stay within their line when they move `step` along an inner axis.
Value LepeTerm::onGridAlong(const RowBlock &block, int64_t axis, int64_t step) {
  Value position = formulas.indices(block.linear, ctx.params.rows);
  auto vector = cast<VectorType>(position.getType());
  auto splat = [&](int64_t x) {
    return formulas.splat(arith::ConstantIntOp::create(b, x, 32), vector);
  };
  int64_t inside = 1;
  for (int64_t inner = axis + 1; inner < axes; ++inner)
    inside *= typeOf(value).getDimSize(inner);
  int64_t extent = typeOf(value).getDimSize(axis);
  if (inside != 1)
    position = arith::DivUIOp::create(b, position, splat(inside));
  position = arith::RemUIOp::create(b, position, splat(extent));
  return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, position,
                               splat(step < 0 ? 0 : extent - 1));
}

/// rows + bias + sum_t weight[t] V[g + t - 1]: the taps that go the same way along the inner
/// axes are summed first, so that one choice a row leaves them out together.
Value LepeTerm::addStaged(const RowBlock &block, Value rows) {
  const int64_t numRows = ctx.params.rows;
  Value none = ctx.index(0);
  auto factor = [&](int64_t row) {
    Value vector = vector::TransferReadOp::create(
        b, VectorType::get({columns}, ctx.type), factors, ValueRange{ctx.index(row), none},
        formulas.constant(0.0, ctx.type), ArrayRef<bool>{true});
    return formulas.alongColumns(vector, numRows);
  };
  if (op.getBias())
    rows = arith::AddFOp::create(b, rows, factor(taps.size()));
  auto tile = VectorType::get({numRows, columns}, typeOf(around).getElementType());
  Value padding = arith::ConstantOp::create(b, b.getZeroAttr(tile.getElementType()));
  const int64_t waysInside = taps.size() / 3;
  for (int64_t way = 0; way < waysInside; ++way) {
    Value sum, onGrid;
    for (int64_t outer = 0; outer < 3; ++outer) {
      int64_t index = outer * waysInside + way, distance = 0;
      for (int64_t axis = 0; axis < axes; ++axis)
        distance =
            distance * (axis == 0 ? 1 : typeOf(value).getDimSize(axis)) + (taps[index][axis] - 1);
      Value row = b.createOrFold<arith::AddIOp>(block.linear, ctx.index(margin + distance));
      Value read = vector::TransferReadOp::create(b, tile, around, ValueRange{row, none}, padding,
                                                  ArrayRef<bool>{true, true});
      Value product =
          arith::MulFOp::create(b, formulas.widen(read), factor(index), formulas.fused());
      sum = sum ? arith::AddFOp::create(b, sum, product, formulas.fused()).getResult() : product;
    }
    for (int64_t axis = 1; axis < axes; ++axis) {
      int64_t step = taps[way][axis] - 1;
      if (step == 0)
        continue;
      Value along = onGridAlong(block, axis, step);
      onGrid = onGrid ? arith::AndIOp::create(b, onGrid, along).getResult() : along;
    }
    if (onGrid)
      sum = arith::SelectOp::create(b, formulas.alongRows(onGrid, columns), sum,
                                    formulas.constant(0.0, sum.getType()));
    rows = arith::AddFOp::create(b, rows, sum);
  }
  return rows;
}
