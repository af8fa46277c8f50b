// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// lepe on buffers: for every row block, the taps that fall on the grid.
#include "Formulas.h"
#include "PartShape.h"
#include "TileViews.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

namespace {
class LepeLowering {
public:
  LepeLowering(LepeOp op, TileContext &ctx) : op(op), ctx(ctx), b(ctx.b), formulas(b, ctx.type) {}
  LogicalResult run();

private:
  Value readColumns(Value view);
  Value readTap(const RowBlock &block, ArrayRef<int64_t> tap);
  Value origin(unsigned axis) {
    return op.getOffsets().empty() ? ctx.index(0) : op.getOffsets()[axis];
  }

  LepeOp op;
  TileContext &ctx;
  ImplicitLocOpBuilder &b;
  Formulas formulas;
  Value value, init; ///< [grid.., E], the whole grid and the tile
  int64_t axes = 0, columns = 0;
};
} // namespace

/// One value per column, widened; `view` is [E].
Value LepeLowering::readColumns(Value view) {
  Type element = typeOf(view).getElementType();
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(element));
  Value vector = vector::TransferReadOp::create(
      b, VectorType::get({columns}, element), view, ValueRange{ctx.index(0)}, zero,
      ArrayRef<bool>{typeOf(view).getDimSize(0) == columns});
  return formulas.widen(vector);
}

/// V one step away from the block's rows, zero beyond the grid.
Value LepeLowering::readTap(const RowBlock &block, ArrayRef<int64_t> tap) {
  MemRefType type = typeOf(value);
  auto vector = VectorType::get({ctx.params.rows, columns}, type.getElementType());
  SmallVector<Value> indices;
  Value onGrid;
  auto shifted = [&](unsigned axis, Value index) -> Value {
    Value position = arith::AddIOp::create(b, origin(axis), index);
    return arith::AddIOp::create(b, position, ctx.index(tap[axis] - 1));
  };
  auto extent = [&](unsigned axis) {
    return ctx.index(memref::getMixedSize(b, b.getLoc(), value, axis));
  };
  for (int64_t axis = 0; axis + 1 < axes; ++axis) {
    Value position = shifted(axis, block.outer[axis]);
    // One unsigned comparison covers both ends.
    Value inside = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, position, extent(axis));
    onGrid = onGrid ? Value(arith::AndIOp::create(b, onGrid, inside)) : inside;
    indices.push_back(position);
  }
  Value first = shifted(axes - 1, block.inner);
  indices.push_back(first);
  indices.push_back(ctx.index(0));
  Value positions = formulas.indices(first, ctx.params.rows);
  Value bound = arith::IndexCastOp::create(b, b.getI32Type(), extent(axes - 1));
  Value rowMask =
      arith::CmpIOp::create(b, arith::CmpIPredicate::ult, positions,
                            formulas.splat(bound, cast<VectorType>(positions.getType())));
  if (onGrid)
    rowMask = arith::AndIOp::create(b, rowMask,
                                    formulas.splat(onGrid, cast<VectorType>(rowMask.getType())));
  Value mask = formulas.alongRows(rowMask, columns);
  // The mask drops rows beyond the grid; columns are padded by the read.
  bool columnsFit = type.getShape().back() == columns;
  SmallVector<AffineExpr> results = {b.getAffineDimExpr(axes - 1), b.getAffineDimExpr(axes)};
  auto map = AffineMap::get(axes + 1, 0, results, b.getContext());
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type.getElementType()));
  Value tile = vector::TransferReadOp::create(b, vector, value, indices, AffineMapAttr::get(map),
                                              zero, mask, b.getBoolArrayAttr({true, columnsFit}));
  return formulas.widen(tile);
}

LogicalResult LepeLowering::run() {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  unsigned numDims = maps.back().getNumDims();
  SmallVector<unsigned> order;
  for (int64_t dim : op.getGridDims())
    order.push_back(dim);
  axes = order.size();
  order.push_back(numDims - 1);
  if (failed(checkUnitBatch(op)))
    return failure();
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(op.getOperation()));
  if (ShapedType::isDynamic(ranges.back()))
    return op.emitOpError("expected a static value extent");
  columns = ctx.params.staged ? roundUp(ranges.back(), ctx.params.padTo) : ranges.back();
  value = projectView(b, op.getValue(), maps[0], order);
  init = projectView(b, op.getInit(), maps.back(), order);

  // One vector of weights per tap.
  SmallVector<SmallVector<int64_t>> taps = {{}};
  for (int64_t axis = 0; axis < axes; ++axis) {
    SmallVector<SmallVector<int64_t>> longer;
    for (ArrayRef<int64_t> prefix : taps)
      for (int64_t tap = 0; tap < 3; ++tap) {
        longer.emplace_back(prefix);
        longer.back().push_back(tap);
      }
    taps = std::move(longer);
  }
  SmallVector<Value> weights;
  for (ArrayRef<int64_t> tap : taps) {
    SmallVector<AffineExpr> exprs;
    for (int64_t index : tap)
      exprs.push_back(b.getAffineConstantExpr(index));
    llvm::append_range(exprs, maps[1].getResults());
    AffineMap map = AffineMap::get(numDims, 0, exprs, b.getContext());
    weights.push_back(readColumns(projectView(b, op.getWeight(), map, {numDims - 1})));
  }
  Value bias;
  if (op.getBias())
    bias = readColumns(projectView(b, op.getBias(), maps[2], {numDims - 1}));

  // O = init + bias + sum_t weight[t] V[g + t - 1]
  forEachRowBlock(ctx, init, [&](const RowBlock &block) {
    Value sum = formulas.widen(readRows(ctx, init, block, columns));
    if (bias)
      sum = arith::AddFOp::create(b, sum, formulas.alongColumns(bias, ctx.params.rows));
    for (auto [tap, weight] : llvm::zip_equal(taps, weights)) {
      Value product = arith::MulFOp::create(b, readTap(block, tap),
                                            formulas.alongColumns(weight, ctx.params.rows));
      sum = arith::AddFOp::create(b, sum, product);
    }
    writeRows(ctx, formulas.narrow(sum, typeOf(init).getElementType()), init, block);
  });
  return success();
}

LogicalResult elfatt::tile::lowerLepe(LepeOp op, const MachineLimits &limits) {
  auto view = cast<ViewOpInterface>(op.getOperation());
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  FloatType type = getComputeType(view);
  TileContext ctx{b, limits, getTileParams(limits, getPartShape(op).extents), type};
  return LepeLowering(op, ctx).run();
}
