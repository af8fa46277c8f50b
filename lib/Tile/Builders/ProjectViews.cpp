// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Views of operands with some of their dims, and of the heads of one worker: neighbours in memory
// are staged as one matrix.
#include "TileViews.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace elfatt::tile;

Value elfatt::tile::projectView(ImplicitLocOpBuilder &b, Value buffer, AffineMap map,
                                ArrayRef<unsigned> order) {
  MemRefType type = typeOf(buffer);
  SmallVector<OpFoldResult> offsets, strides(type.getRank(), b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes = memref::getMixedSizes(b, b.getLoc(), buffer);
  // Kept dims in the order of the source, and where each of `order` lands.
  SmallVector<unsigned> kept;
  SmallVector<int64_t> shape;
  for (auto [position, expr] : llvm::enumerate(map.getResults())) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    offsets.push_back(b.getIndexAttr(dim ? 0 : cast<AffineConstantExpr>(expr).getValue()));
    if (dim && llvm::is_contained(order, dim.getPosition())) {
      kept.push_back(dim.getPosition());
      shape.push_back(type.getDimSize(position));
    } else {
      sizes[position] = b.getIndexAttr(1);
    }
  }
  MemRefType reduced =
      memref::SubViewOp::inferRankReducedResultType(shape, type, offsets, sizes, strides);
  Value view = memref::SubViewOp::create(b, reduced, buffer, offsets, sizes, strides);
  if (llvm::equal(kept, order))
    return view;
  SmallVector<AffineExpr> permutation;
  for (unsigned dim : order)
    permutation.push_back(b.getAffineDimExpr(llvm::find(kept, dim) - kept.begin()));
  return memref::TransposeOp::create(
      b, view, AffineMapAttr::get(AffineMap::get(kept.size(), 0, permutation, b.getContext())));
}

SmallVector<Value> elfatt::tile::projectHeads(const TileContext &ctx, Value buffer, AffineMap map,
                                              ArrayRef<unsigned> order,
                                              std::optional<unsigned> head) {
  ImplicitLocOpBuilder &b = ctx.b;
  if (!head)
    return {projectView(b, buffer, map, order)};
  SmallVector<unsigned> with(order);
  with.insert(with.end() - 1, *head);
  Value all = projectView(b, buffer, map, with);
  const int64_t rank = typeOf(all).getRank();
  SmallVector<ReassociationIndices> groups;
  for (int64_t dim = 0; dim < rank - 2; ++dim)
    groups.push_back({dim});
  groups.push_back({rank - 2, rank - 1});
  if (typeOf(all).getShape().back() % ctx.params.padTo == 0 &&
      memref::CollapseShapeOp::isGuaranteedCollapsible(typeOf(all), groups))
    return {memref::CollapseShapeOp::create(b, all, groups)};
  SmallVector<Value> views;
  SmallVector<OpFoldResult> offsets(rank, b.getIndexAttr(0)), strides(rank, b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes = memref::getMixedSizes(b, b.getLoc(), all);
  sizes[rank - 2] = b.getIndexAttr(1);
  SmallVector<int64_t> shape(typeOf(all).getShape());
  shape.erase(shape.end() - 2);
  for (int64_t i = 0, e = typeOf(all).getDimSize(rank - 2); i < e; ++i) {
    offsets[rank - 2] = b.getIndexAttr(i);
    MemRefType reduced =
        memref::SubViewOp::inferRankReducedResultType(shape, typeOf(all), offsets, sizes, strides);
    views.push_back(memref::SubViewOp::create(b, reduced, all, offsets, sizes, strides));
  }
  return views;
}

/// The columns of `matrix` that belong to view `index` of `count`.
static Value columnsOfHead(const TileContext &ctx, Value matrix, int64_t index, int64_t count) {
  if (count == 1)
    return matrix;
  ImplicitLocOpBuilder &b = ctx.b;
  const int64_t columns = typeOf(matrix).getDimSize(1) / count;
  SmallVector<OpFoldResult> offsets = {b.getIndexAttr(0), b.getIndexAttr(index * columns)};
  SmallVector<OpFoldResult> sizes = memref::getMixedSizes(b, b.getLoc(), matrix);
  SmallVector<OpFoldResult> strides(2, b.getIndexAttr(1));
  sizes[1] = b.getIndexAttr(columns);
  return memref::SubViewOp::create(b, matrix, offsets, sizes, strides);
}

void elfatt::tile::stageIn(const TileContext &ctx, ArrayRef<Value> views, Value matrix,
                           Padding padding, Reuse reuse) {
  for (auto [index, view] : llvm::enumerate(views))
    stageIn(ctx, view, columnsOfHead(ctx, matrix, index, views.size()), padding, reuse);
}

void elfatt::tile::stageRemainder(const TileContext &ctx, ArrayRef<Value> views, Value matrix) {
  for (auto [index, view] : llvm::enumerate(views))
    stageRemainder(ctx, view, columnsOfHead(ctx, matrix, index, views.size()));
}

void elfatt::tile::stageOut(const TileContext &ctx, Value matrix, ArrayRef<Value> views,
                            Reuse reuse) {
  for (auto [index, view] : llvm::enumerate(views))
    stageOut(ctx, columnsOfHead(ctx, matrix, index, views.size()), view, reuse);
}

Value RowBlock::firstColumn(const TileContext &ctx, int64_t columns) const {
  return head ? ctx.b.createOrFold<arith::MulIOp>(head, ctx.index(columns)) : ctx.index(0);
}

RowBlock RowBlock::amongHeads() const {
  RowBlock block = *this;
  if (head)
    block.inner = block.linear = ofHeads;
  block.head = Value();
  return block;
}

Value elfatt::tile::columnsOf(const TileContext &ctx, Value view, Value first, int64_t width) {
  ImplicitLocOpBuilder &b = ctx.b;
  const int64_t rank = typeOf(view).getRank();
  SmallVector<OpFoldResult> offsets(rank, b.getIndexAttr(0)), strides(rank, b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes = memref::getMixedSizes(b, b.getLoc(), view);
  offsets.back() = getAsOpFoldResult(first);
  sizes.back() = b.getIndexAttr(width);
  return memref::SubViewOp::create(b, view, offsets, sizes, strides);
}
