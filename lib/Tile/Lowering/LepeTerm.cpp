// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LepeTerm.h"

#include "Builders/Prefetch.h"
#include "Sizes/LepeOfKeys.h"
#include "Sizes/PartShape.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

/// One value per column, widened; `view` is [E].
Value LepeTerm::readColumns(Value view) {
  Type element = typeOf(view).getElementType();
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(element));
  Value vector = vector::TransferReadOp::create(
      b, VectorType::get({columns}, element), view, ValueRange{ctx.index(0)}, zero,
      ArrayRef<bool>{typeOf(view).getDimSize(0) == columns});
  return formulas.widen(vector);
}

/// Dims of `op`'s destination that the loop dims `dims` run along.
static SmallVector<unsigned> destinationDims(ViewOpInterface op, ArrayRef<unsigned> dims) {
  AffineMap map = op.getIndexingMapsArray().back();
  SmallVector<unsigned> positions;
  for (unsigned dim : dims)
    if (auto position = map.getResultPosition(getAffineDimExpr(dim, op.getContext())))
      positions.push_back(*position);
  return positions;
}

bool LepeTerm::follows(LepeOp op, Operation *part) {
  if (!isa<SdpaOp, ApplyOp, FinalizeOp>(part) || part->getBlock() != op->getBlock() ||
      cast<DestinationStyleOpInterface>(part).getDpsInits()[0] != op.getInit())
    return false;
  SmallVector<unsigned> grid(op.getGridDims().begin(), op.getGridDims().end());
  return destinationDims(cast<ViewOpInterface>(op.getOperation()), grid) ==
         destinationDims(cast<ViewOpInterface>(part), getPartShape(part).rows);
}

bool LepeTerm::isGridOfKeys(Operation *part) {
  auto sdpa = dyn_cast<SdpaOp>(part);
  return sdpa && elfatt::tile::isGridOfKeys(op, sdpa);
}

/// Rows beside each other instead of those of an image: fewer lines of the cache, and widened
/// already.
void LepeTerm::readFrom(Value rows) {
  SmallVector<ReassociationIndices> groups = {{}, {axes}};
  for (int64_t axis = 0; axis < axes; ++axis)
    groups.front().push_back(axis);
  value = memref::ExpandShapeOp::create(b, typeOf(value).getShape(), rows, groups);
}

/// Which rows of a tap at distance `step` along the innermost axis are on the grid.
/// In a block without tail only its first and its last row can leave the grid.
Value LepeTerm::rowsOnGrid(Value first, int64_t step, Value onGrid) {
  int64_t rows = ctx.params.rows, tile = typeOf(init).getDimSize(axes - 1);
  Value extent = ctx.index(memref::getMixedSize(b, b.getLoc(), value, axes - 1));
  bool whole = !ShapedType::isDynamic(tile) && tile % rows == 0;
  Value inside = onGrid ? onGrid : arith::ConstantIntOp::create(b, 1, 1);
  SmallVector<Value> mask;
  for (int64_t row = 0; row < rows; ++row) {
    if (whole && row + step >= 0 && row + step < rows) {
      mask.push_back(inside);
      continue;
    }
    Value position = b.createOrFold<arith::AddIOp>(first, ctx.index(row));
    // One unsigned comparison covers both ends.
    Value here = b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::ult, position, extent);
    mask.push_back(b.createOrFold<arith::AndIOp>(here, inside));
  }
  return vector::FromElementsOp::create(b, VectorType::get({rows}, b.getI1Type()), mask);
}

/// V one step away from the block's rows, zero beyond the grid.
Value LepeTerm::readTap(const RowBlock &block, ArrayRef<int64_t> tap) {
  MemRefType type = typeOf(value);
  auto vector = VectorType::get({ctx.params.rows, columns}, type.getElementType());
  SmallVector<Value> indices;
  Value onGrid;
  auto shifted = [&](unsigned axis, Value index) -> Value {
    Value position = b.createOrFold<arith::AddIOp>(origin(axis), index);
    return b.createOrFold<arith::AddIOp>(position, ctx.index(tap[axis] - 1));
  };
  for (int64_t axis = 0; axis + 1 < axes; ++axis) {
    Value position = shifted(axis, block.outer[axis]);
    if (tap[axis] == 1) {
      indices.push_back(position);
      continue;
    }
    Value extent = ctx.index(memref::getMixedSize(b, b.getLoc(), value, axis));
    Value inside = b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::ult, position, extent);
    // Memory beyond the grid may not be there: see TileRegisters.
    Value own = b.createOrFold<arith::AddIOp>(origin(axis), block.outer[axis]);
    indices.push_back(b.createOrFold<arith::SelectOp>(inside, position, own));
    onGrid = onGrid ? b.createOrFold<arith::AndIOp>(onGrid, inside) : inside;
  }
  Value first = shifted(axes - 1, block.inner);
  indices.push_back(first);
  indices.push_back(ctx.index(0));
  Value mask = formulas.alongRows(rowsOnGrid(first, tap.back() - 1, onGrid), columns);
  // The mask drops rows beyond the grid; columns are padded by the read.
  bool columnsFit = type.getShape().back() == columns;
  SmallVector<AffineExpr> results = {b.getAffineDimExpr(axes - 1), b.getAffineDimExpr(axes)};
  auto map = AffineMap::get(axes + 1, 0, results, b.getContext());
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type.getElementType()));
  Value tile = vector::TransferReadOp::create(b, vector, value, indices, AffineMapAttr::get(map),
                                              zero, mask, b.getBoolArrayAttr({true, columnsFit}));
  return formulas.widen(tile);
}

LogicalResult LepeTerm::prepare(bool stageValue) {
  if (failed(LepeGrid::prepare()))
    return failure();
  if (ctx.params.staged) {
    staged.emplace(static_cast<const LepeGrid &>(*this));
    return staged->prepare(stageValue);
  }
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  const unsigned numDims = maps.back().getNumDims();
  // One vector of weights per tap.
  for (ArrayRef<int64_t> tap : taps) {
    SmallVector<AffineExpr> exprs;
    for (int64_t index : tap)
      exprs.push_back(b.getAffineConstantExpr(index));
    llvm::append_range(exprs, maps[1].getResults());
    AffineMap map = AffineMap::get(numDims, 0, exprs, b.getContext());
    weightViews.push_back(projectView(b, op.getWeight(), map, {numDims - 1}));
  }
  if (op.getBias())
    biasView = projectView(b, op.getBias(), maps[2], {numDims - 1});
  readWeights();
  return success();
}

void LepeTerm::readWeights() {
  weights = llvm::map_to_vector(weightViews, [&](Value view) { return readColumns(view); });
  bias = biasView ? readColumns(biasView) : Value();
}

LepeTerm LepeTerm::ofColumns(Value first, int64_t width) const {
  LepeTerm part = *this;
  part.columns = width;
  for (Value *view : {&part.value, &part.biasView})
    if (*view)
      *view = columnsOf(ctx, *view, first, width);
  for (Value &view : part.weightViews)
    view = columnsOf(ctx, view, first, width);
  part.readWeights();
  return part;
}

/// The line after the block's is the one that no tap has touched yet.
void LepeTerm::prefetch(const RowBlock &block) {
  if (staged)
    return;
  SmallVector<Value> indices;
  for (int64_t axis = 0; axis < axes; ++axis) {
    Value index = axis + 1 < axes ? block.outer[axis] : block.inner;
    indices.push_back(b.createOrFold<arith::AddIOp>(origin(axis), index));
  }
  if (axes > 1)
    indices[axes - 2] = b.createOrFold<arith::AddIOp>(indices[axes - 2], ctx.index(1));
  indices.back() = b.createOrFold<arith::AddIOp>(indices.back(), ctx.index(2 * ctx.params.rows));
  prefetchRows(ctx, value, indices, ctx.params.rows);
}

/// rows + bias + sum_t weight[t] V[g + t - 1]
Value LepeTerm::addTo(const RowBlock &block, Value rows) {
  if (staged)
    return staged->addTo(block, rows);
  if (bias)
    rows = arith::AddFOp::create(b, rows, formulas.alongColumns(bias, ctx.params.rows));
  for (auto [tap, weight] : llvm::zip_equal(taps, weights)) {
    Value factor = formulas.alongColumns(weight, ctx.params.rows);
    Value product = arith::MulFOp::create(b, readTap(block, tap), factor, formulas.fused());
    rows = arith::AddFOp::create(b, rows, product, formulas.fused());
  }
  return rows;
}
