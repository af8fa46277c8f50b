// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StagedLepe.h"

#include "Sizes/PartShape.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

LogicalResult LepeGrid::prepare() {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  unsigned numDims = maps.back().getNumDims();
  SmallVector<unsigned> order;
  for (int64_t dim : op.getGridDims())
    order.push_back(dim);
  axes = order.size();
  order.push_back(numDims - 1);
  FailureOr<PartShape> shape = getTileShape(op, ctx.limits.machine);
  if (failed(shape))
    return failure();
  head = shape->head;
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(op.getOperation()));
  if (ShapedType::isDynamic(ranges.back()))
    return op.emitOpError("expected a static value extent");
  columns = ctx.params.staged ? roundUp(ranges.back(), ctx.params.padTo) : ranges.back();
  values = projectHeads(ctx, op.getValue(), maps[0], order, head);
  inits = projectHeads(ctx, op.getInit(), maps.back(), order, head);
  value = values.front();
  init = inits.front();

  taps = {{}};
  for (int64_t axis = 0; axis < axes; ++axis) {
    SmallVector<SmallVector<int64_t>> longer;
    for (ArrayRef<int64_t> prefix : taps)
      for (int64_t tap = 0; tap < 3; ++tap) {
        longer.emplace_back(prefix);
        longer.back().push_back(tap);
      }
    taps = std::move(longer);
  }
  return success();
}

Value LepeGrid::origin(unsigned axis) {
  return op.getOffsets().empty() ? ctx.index(0) : op.getOffsets()[axis];
}

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

LogicalResult StagedLepe::prepare(bool stageValue) {
  for (int64_t axis = 1; axis < axes; ++axis)
    if (typeOf(value).isDynamicDim(axis) ||
        typeOf(value).getDimSize(axis) != typeOf(init).getDimSize(axis))
      return op.emitOpError("expected tiles of whole lines of static extent, got ")
             << typeOf(init) << " of " << typeOf(value);
  // Weights and bias, a row a tap: in V's type where both have it, else in the computation's.
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
  Type element = typeOf(value).getElementType();
  auto isOfValue = [&](Value factor) { return typeOf(factor).getElementType() == element; };
  const bool areNarrow = isOfValue(op.getWeight()) && (!op.getBias() || isOfValue(op.getBias()));
  factors = ctx.scratch({numTaps + 1, ctx.heads * columns}, areNarrow ? element : Type(ctx.type));
  stageIn(ctx, projectHeads(ctx, op.getWeight(), tapMap, order, head), factors, Padding::None);
  if (op.getBias()) {
    SmallVector<Value> rows = projectHeads(ctx, op.getBias(), maps[2], {numDims - 1}, head);
    for (Value &row : rows) {
      OpFoldResult width = memref::getMixedSize(b, b.getLoc(), row, 0);
      row = memref::ExpandShapeOp::create(b, ArrayRef<int64_t>{1, typeOf(row).getDimSize(0)}, row,
                                          SmallVector<ReassociationIndices>{{0, 1}},
                                          SmallVector<OpFoldResult>{b.getIndexAttr(1), width});
    }
    stageIn(ctx, rows, rowsOf(ctx, factors, ctx.index(numTaps), ctx.index(1)), Padding::None);
  }
  // Exact as a product: of 16-bit numbers, summed in f32.
  if (ctx.hasTensorProduct(element) && isOfValue(op.getWeight()))
    makeDiagonals();
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

Value StagedLepe::makeRows(int64_t numRows, int64_t width, Type elementType) {
  // The last block of a tile reads beyond its rows.
  const int64_t line = rowsOfLine(value), rows = ctx.params.rows;
  const int64_t tail =
      typeOf(init).isDynamicDim(0)
          ? rows
          : roundUp(typeOf(init).getDimSize(0) * line, rows) - typeOf(init).getDimSize(0) * line;
  const int64_t all = std::max(numRows, typeOf(value).getDimSize(0) * line + tail) + 2 * margin;
  around = ctx.fragments(all, width, elementType);
  firstRow = b.createOrFold<arith::MulIOp>(origin(0), ctx.index(line));
  zero(ctx, rowsOf(ctx, around, ctx.index(0), ctx.index(margin)));
  zero(ctx, rowsOf(ctx, around, ctx.index(margin + numRows), ctx.index(all - margin - numRows)));
  return rowsOf(ctx, around, ctx.index(margin), ctx.index(numRows));
}

/// How much `index` grows with `iv` by one, if it does by a constant.
static std::optional<int64_t> growthWith(Value index, Value iv) {
  if (index == iv)
    return 1;
  auto apply = index.getDefiningOp<affine::AffineApplyOp>();
  if (!apply)
    return std::nullopt;
  const unsigned numDims = apply.getAffineMap().getNumDims();
  const unsigned numSymbols = apply.getAffineMap().getNumSymbols();
  MLIRContext *ctx = index.getContext();
  SmallVector<AffineExpr> dims, symbols;
  for (auto [number, operand] : llvm::enumerate(apply.getMapOperands())) {
    AffineExpr expr = number < numDims ? getAffineDimExpr(number, ctx)
                                       : getAffineSymbolExpr(number - numDims, ctx);
    (number < numDims ? dims : symbols).push_back(operand == iv ? expr + 1 : expr);
  }
  AffineExpr expr = apply.getAffineMap().getResult(0);
  auto growth = dyn_cast<AffineConstantExpr>(
      simplifyAffineExpr(expr.replaceDimsAndSymbols(dims, symbols) - expr, numDims, numSymbols));
  return growth ? std::optional(growth.getValue()) : std::nullopt;
}

/// Whether `view` is the same in each iteration.
static bool isInvariant(scf::ForOp loop, Value view) {
  if (loop.isDefinedOutsideOfLoop(view))
    return true;
  Operation *op = view.getDefiningOp();
  return op && isMemoryEffectFree(op) && op->getNumRegions() == 0 &&
         llvm::all_of(op->getOperands(), [&](Value v) { return isInvariant(loop, v); });
}

std::optional<StagedLepe::Turns> StagedLepe::findTurns() {
  auto loop = dyn_cast<scf::ForOp>(op->getParentOp());
  if (!loop || op.getOffsets().empty() || !isInvariant(loop, op.getValue()))
    return std::nullopt;
  std::optional<int64_t> step = getConstantIntValue(loop.getStep());
  std::optional<int64_t> growth = growthWith(op.getOffsets()[0], loop.getInductionVar());
  const int64_t lines = typeOf(init).getDimSize(0);
  if (!step || !growth || std::abs(*growth) != 1 || lines != *step)
    return std::nullopt;
  return Turns{loop, *step, /*goesBack=*/*growth < 0};
}

/// Moves the two lines around a border of tiles, which lie in scratch since the turn before, to
/// where they belong in this one; `count` rows of each.
void StagedLepe::keepLines(const Turns &turns, int64_t line, int64_t before, Value count) {
  // One after the other where they would overlap.
  const int64_t atOnce = std::min<int64_t>(turns.lines, 2);
  if (atOnce == 2)
    count = b.createOrFold<arith::MulIOp>(count, ctx.index(2));
  for (int64_t i = 0; i < 2; i += atOnce) {
    const int64_t number = turns.goesBack && atOnce == 1 ? 1 - i : i;
    Value here = ctx.index(before + number * line);
    Value there = ctx.index(before + (turns.lines + number) * line);
    linalg::CopyOp::create(b, rowsOf(ctx, around, turns.goesBack ? here : there, count),
                           rowsOf(ctx, around, turns.goesBack ? there : here, count));
  }
}

/// The tile's lines of V, one before and one after them, those beyond the grid zero. A worker
/// that takes tile after tile keeps what the tile before has of them.
void StagedLepe::stageRows(int64_t rowBound) {
  const int64_t line = rowsOfLine(value), all = rowBound + 2 * margin;
  const int64_t before = margin - line; // rows of the line before that no tap reaches
  std::optional<Turns> turns = findTurns();
  {
    OpBuilder::InsertionGuard guard(b);
    if (turns)
      b.setInsertionPoint(turns->loop);
    around = ctx.fragments(all, ctx.heads * columns, typeOf(value).getElementType());
  }
  firstRow = ctx.index(0);
  auto sub = [&](Value x, Value y) { return b.createOrFold<arith::SubIOp>(x, y); };
  auto add = [&](Value x, Value y) { return b.createOrFold<arith::AddIOp>(x, y); };
  Value one = ctx.index(1), none = ctx.index(0);
  Value first = origin(0), extent = ctx.index(memref::getMixedSize(b, b.getLoc(), value, 0));
  Value tileLines = ctx.index(memref::getMixedSize(b, b.getLoc(), init, 0));
  // Lines [from, to) of the grid, of [first - 1, first + lines + 1).
  Value from = sub(b.createOrFold<arith::MaxSIOp>(first, one), one);
  Value to = b.createOrFold<arith::MinSIOp>(add(add(first, tileLines), one), extent);
  Value isFirst;
  auto inFirst = [&](Value value, Value later) -> Value {
    return isFirst ? arith::SelectOp::create(b, isFirst, value, later).getResult() : value;
  };
  if (turns) {
    isFirst = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, turns->loop.getInductionVar(),
                                    turns->loop.getLowerBound());
    keepLines(*turns, line, before, inFirst(none, ctx.index(line)));
    if (turns->goesBack)
      to = inFirst(to, sub(add(first, tileLines), one));
    else
      from = inFirst(from, add(first, one));
  }
  Value count = sub(to, from);
  // Where they begin in scratch.
  Value lead = sub(add(from, one), first);
  Value start = add(b.createOrFold<arith::MulIOp>(lead, ctx.index(line)), ctx.index(before));
  Value rows = b.createOrFold<arith::MulIOp>(count, ctx.index(line));
  Value end = add(start, rows);
  // What is kept has zeros on its other side.
  Value zerosBefore = start, zerosBehind = sub(ctx.index(all), end);
  if (turns && turns->goesBack)
    zerosBehind = inFirst(zerosBehind, none);
  else
    zerosBefore = inFirst(zerosBefore, none);
  zero(ctx, rowsOf(ctx, around, none, zerosBefore));
  zero(ctx, rowsOf(ctx, around, end, zerosBehind));
  SmallVector<OpFoldResult> offsets(axes + 1, b.getIndexAttr(0)), ones(axes + 1, b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes = memref::getMixedSizes(b, b.getLoc(), value);
  offsets[0] = getAsOpFoldResult(from);
  sizes[0] = getAsOpFoldResult(count);
  SmallVector<Value> lines;
  for (Value view : values) {
    sizes.back() = memref::getMixedSizes(b, b.getLoc(), view).back();
    lines.push_back(memref::SubViewOp::create(b, view, offsets, sizes, ones));
  }
  stageIn(ctx, lines, rowsOf(ctx, around, start, rows), Padding::None);
}

/// `width` of row `row` of the factors from `column` on.
Value StagedLepe::readFactor(Value row, Value column, int64_t width) {
  Type element = typeOf(factors).getElementType();
  Value padding = arith::ConstantOp::create(b, b.getZeroAttr(element));
  return formulas.widen(vector::TransferReadOp::create(b, VectorType::get({width}, element),
                                                       factors, ValueRange{row, column}, padding,
                                                       ArrayRef<bool>{true}));
}

/// Where the rows of the block are along an inner axis: i32 [rows].
Value StagedLepe::positionAlong(const RowBlock &block, int64_t axis) {
  Value position = formulas.indices(block.linear, ctx.params.rows);
  int64_t inside = 1;
  for (int64_t inner = axis + 1; inner < axes; ++inner)
    inside *= typeOf(value).getDimSize(inner);
  if (inside != 1)
    position = arith::DivUIOp::create(b, position, splatI32(inside, position));
  return arith::RemUIOp::create(b, position, splatI32(typeOf(value).getDimSize(axis), position));
}

/// `number` in each element of a vector like `vector`.
Value StagedLepe::splatI32(int64_t number, Value vector) {
  return formulas.splat(arith::ConstantIntOp::create(b, number, 32),
                        cast<VectorType>(vector.getType()));
}

/// Which rows of the block stay within their line when they move `step` along an inner axis.
Value StagedLepe::onGridAlong(const RowBlock &block, int64_t axis, int64_t step) {
  Value position = positionAlong(block, axis);
  Value last = splatI32(step < 0 ? 0 : typeOf(value).getDimSize(axis) - 1, position);
  return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, position, last);
}

/// Channels of one block of a diagonal matrix: columns of a product of tensor cores.
static constexpr int64_t kBlock = 8;

void StagedLepe::makeDiagonals() {
  const int64_t numTaps = taps.size();
  const int64_t all = ctx.heads * columns;
  diagonals = ctx.staging(numTaps * all, kBlock, typeOf(value).getElementType());
  TileContext blockCtx = ctx;
  blockCtx.params.rows = kBlock;
  blockCtx.heads = 1;
  forEachRowBlock(blockCtx, diagonals, [&](const RowBlock &block) {
    Value width = ctx.index(all);
    Value tap = b.createOrFold<arith::DivUIOp>(block.linear, width);
    Value channel = b.createOrFold<arith::RemUIOp>(block.linear, width);
    Value weight = readFactor(tap, channel, kBlock);
    Value index = formulas.indices(ctx.index(0), kBlock);
    Value isDiagonal =
        arith::CmpIOp::create(b, arith::CmpIPredicate::eq, formulas.alongRows(index, kBlock),
                              formulas.alongColumns(index, kBlock));
    Value row = formulas.alongRows(weight, kBlock);
    Value tile = arith::SelectOp::create(b, isDiagonal, row, formulas.constant(0.0, row.getType()));
    tile = formulas.narrow(tile, typeOf(diagonals).getElementType());
    writeTile(ctx, tile, diagonals, block.linear, ctx.index(0));
  });
}

Value StagedLepe::readAround(const RowBlock &block, Value distance, Value column, int64_t width) {
  Value row = b.createOrFold<arith::AddIOp>(block.linear, firstRow);
  row = b.createOrFold<arith::AddIOp>(row, distance);
  // Rows of scratch go on beyond those of the block.
  Type element = typeOf(around).getElementType();
  Value padding = arith::ConstantOp::create(b, b.getZeroAttr(element));
  return vector::TransferReadOp::create(b, VectorType::get({ctx.params.rows, width}, element),
                                        around, ValueRange{row, column}, padding,
                                        ArrayRef<bool>{true, true});
}

Value StagedLepe::rowsOnLine(const RowBlock &block, int64_t way) {
  Value onLine;
  for (int64_t axis = 1; axis < axes; ++axis) {
    int64_t step = taps[way][axis] - 1;
    if (step == 0)
      continue;
    Value along = onGridAlong(block, axis, step);
    onLine = onLine ? arith::AndIOp::create(b, onLine, along).getResult() : along;
  }
  return onLine;
}

/// part + sum_t weight[t] V[g + t - 1] for the channels from `column` on that `part` has. The
/// taps that go the same way along the inner axes are added together, so that one choice a row
/// leaves them out.
Value StagedLepe::addTaps(const RowBlock &block, Value part, Value column) {
  const int64_t waysInside = taps.size() / 3;
  const int64_t width = cast<VectorType>(part.getType()).getDimSize(1);
  for (int64_t way = 0; way < waysInside; ++way) {
    Value sum = part;
    for (int64_t outer = 0; outer < 3; ++outer) {
      const int64_t index = outer * waysInside + way;
      int64_t distance = outer - 1;
      for (int64_t axis = 1; axis < axes; ++axis)
        distance = distance * typeOf(value).getDimSize(axis) + (taps[way][axis] - 1);
      Value tile = readAround(block, ctx.index(margin + distance), column, width);
      sum = diagonals ? addProduct(sum, tile, index, column)
                      : addTap(sum, tile, ctx.index(index), column);
    }
    Value onLine = rowsOnLine(block, way);
    part = onLine ? arith::SelectOp::create(b, formulas.alongRows(onLine, width), sum, part) : sum;
  }
  return part;
}

/// The same lane by lane, a tap in each turn of a loop: short, since it hardly ever runs.
Value StagedLepe::addTapsInTurns(const RowBlock &block, Value part, Value column) {
  const int64_t width = cast<VectorType>(part.getType()).getDimSize(1);
  auto loop = scf::ForOp::create(b, ctx.index(0), ctx.index(taps.size()), ctx.index(1), part);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value distance = ctx.index(margin), onLine, rest = loop.getInductionVar();
  for (int64_t axis = axes - 1, rows = 1; axis >= 0; rows *= typeOf(value).getDimSize(axis--)) {
    Value step =
        arith::SubIOp::create(b, arith::RemUIOp::create(b, rest, ctx.index(3)), ctx.index(1));
    rest = arith::DivUIOp::create(b, rest, ctx.index(3));
    distance = arith::AddIOp::create(b, distance, arith::MulIOp::create(b, step, ctx.index(rows)));
    if (axis == 0)
      break;
    Value position = positionAlong(block, axis);
    Value moved =
        arith::AddIOp::create(b, position,
                              formulas.splat(arith::IndexCastOp::create(b, b.getI32Type(), step),
                                             cast<VectorType>(position.getType())));
    Value along = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, moved,
                                        splatI32(typeOf(value).getDimSize(axis), moved));
    onLine = onLine ? arith::AndIOp::create(b, onLine, along).getResult() : along;
  }
  Value before = loop.getRegionIterArg(0);
  Value sum =
      addTap(before, readAround(block, distance, column, width), loop.getInductionVar(), column);
  if (onLine)
    sum = arith::SelectOp::create(b, formulas.alongRows(onLine, width), sum, before);
  scf::YieldOp::create(b, sum);
  return loop.getResult(0);
}

/// sum + weight[index] tile, lane by lane.
Value StagedLepe::addTap(Value sum, Value tile, Value index, Value column) {
  const int64_t width = cast<VectorType>(tile.getType()).getDimSize(1);
  Value factor = readFactor(index, column, width);
  factor = formulas.alongColumns(factor, ctx.params.rows);
  Value product = arith::MulFOp::create(b, formulas.widen(tile), factor, formulas.fused());
  return arith::AddFOp::create(b, sum, product, formulas.fused());
}

/// The same by products with a diagonal matrix. A value that is not finite makes its
/// neighbours in a block NaN: 0 inf.
Value StagedLepe::addProduct(Value sum, Value tile, int64_t index, Value column) {
  const int64_t numRows = ctx.params.rows;
  const int64_t width = cast<VectorType>(tile.getType()).getDimSize(1);
  Value first = b.createOrFold<arith::AddIOp>(column, ctx.index(index * ctx.heads * columns));
  Value diagonal = readTile(ctx, diagonals, first, ctx.index(0), width, kBlock);
  for (int64_t i = 0; i < width; i += kBlock) {
    Value lhs = formulas.slice(tile, 0, i, numRows, kBlock);
    Value rhs = formulas.slice(diagonal, i, 0, kBlock, kBlock);
    Value part = formulas.slice(sum, 0, i, numRows, kBlock);
    part = formulas.product(Product::NT, lhs, rhs, part);
    sum = formulas.insertColumns(part, sum, i);
  }
  return sum;
}

/// rows + bias + sum_t weight[t] V[g + t - 1]. As many channels at a time as one load of four
/// 8 x 8 matrices has, so that few registers are in use.
Value StagedLepe::addTo(const RowBlock &block, Value rows) {
  if (op.getBias()) {
    Value bias = readFactor(ctx.index(taps.size()), block.firstColumn(ctx, columns), columns);
    rows = arith::AddFOp::create(b, rows, formulas.alongColumns(bias, ctx.params.rows));
  }
  const int64_t numRows = ctx.params.rows;
  const int64_t group = std::max<int64_t>(1, 4 * kBlock / numRows) * kBlock;
  for (int64_t column = 0; column < columns; column += group) {
    Value part = formulas.slice(rows, 0, column, numRows, std::min(group, columns - column));
    Value first = b.createOrFold<arith::AddIOp>(block.firstColumn(ctx, columns), ctx.index(column));
    Value sum = addTaps(block, part, first);
    if (diagonals)
      sum = scf::IfOp::create(
                b, formulas.anyNaN(sum),
                [&](OpBuilder &builder, Location loc) {
                  Value exact = addTapsInTurns(block, part, first);
                  scf::YieldOp::create(builder, loc, exact);
                },
                [&](OpBuilder &builder, Location loc) { scf::YieldOp::create(builder, loc, sum); })
                .getResult(0);
    rows = formulas.insertColumns(sum, rows, column);
  }
  return rows;
}
