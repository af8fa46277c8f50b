// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ElementwiseViews.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"

using namespace mlir;
using namespace elfatt::tile;

SmallVector<OpFoldResult> elfatt::tile::getExtents(OpBuilder &b, Location loc, Value value) {
  Operation *def = value.getDefiningOp();
  if (auto insert = dyn_cast_or_null<tensor::InsertSliceOp>(def))
    return getExtents(b, loc, insert.getDest());
  if (auto expand = dyn_cast_or_null<tensor::ExpandShapeOp>(def))
    return expand.getMixedOutputShape();
  if (auto slice = dyn_cast_or_null<tensor::ExtractSliceOp>(def);
      slice && slice.getDroppedDims().none())
    return slice.getMixedSizes();
  if (auto collapse = dyn_cast_or_null<tensor::CollapseShapeOp>(def)) {
    SmallVector<OpFoldResult> source = getExtents(b, loc, collapse.getSrc()), extents;
    for (auto [dim, group] : llvm::enumerate(collapse.getReassociationIndices())) {
      AffineExpr product = b.getAffineConstantExpr(1);
      SmallVector<OpFoldResult> factors;
      for (int64_t from : group) {
        product = product * b.getAffineSymbolExpr(factors.size());
        factors.push_back(source[from]);
      }
      int64_t known = collapse.getResultType().getDimSize(dim);
      extents.push_back(ShapedType::isDynamic(known)
                            ? affine::makeComposedFoldedAffineApply(b, loc, product, factors)
                            : b.getIndexAttr(known));
    }
    return extents;
  }
  if (auto dps = dyn_cast_or_null<DestinationStyleOpInterface>(def))
    return getExtents(b, loc, dps.getTiedOpOperand(cast<OpResult>(value))->get());
  return tensor::getMixedSizes(b, loc, value);
}

LogicalResult elfatt::tile::splitDims(OpBuilder &b, Location loc, ViewedOperand &operand,
                                      ArrayRef<ReassociationIndices> groups,
                                      ArrayRef<OpFoldResult> extents) {
  auto type = dyn_cast<RankedTensorType>(operand.value.getType());
  SmallVector<ReassociationIndices> own;
  SmallVector<AffineExpr> exprs;
  SmallVector<OpFoldResult> sizes;
  for (auto [position, expr] : llvm::enumerate(operand.map.getResults())) {
    ReassociationIndices &group = own.emplace_back();
    auto dim = dyn_cast<AffineDimExpr>(expr);
    ArrayRef<int64_t> parts;
    if (dim)
      parts = groups[dim.getPosition()];
    if (parts.size() > 1) {
      bool isKnown = llvm::all_of(
          parts, [&](int64_t part) { return getConstantIntValue(extents[part]).has_value(); });
      if (isKnown == type.isDynamicDim(position))
        return failure();
    }
    for (int64_t part : parts) {
      group.push_back(exprs.size());
      exprs.push_back(b.getAffineDimExpr(part));
      sizes.push_back(parts.size() > 1 ? extents[part]
                                       : tensor::getMixedSize(b, loc, operand.value, position));
    }
    if (!dim) {
      group.push_back(exprs.size());
      exprs.push_back(expr);
      sizes.push_back(tensor::getMixedSize(b, loc, operand.value, position));
    }
  }
  bool isSame = exprs.size() == operand.map.getNumResults();
  operand.map = AffineMap::get(extents.size(), 0, exprs, b.getContext());
  if (isSame)
    return success();
  SmallVector<int64_t> shape;
  SmallVector<Value> dynamicSizes;
  dispatchIndexOpFoldResults(sizes, dynamicSizes, shape);
  operand.value = tensor::ExpandShapeOp::create(
      b, loc, RankedTensorType::get(shape, type.getElementType()), operand.value, own, sizes);
  return success();
}

LogicalResult elfatt::tile::mergeDims(OpBuilder &b, Location loc, ViewedOperand &operand,
                                      ArrayRef<ReassociationIndices> groups,
                                      ArrayRef<int64_t> shape) {
  SmallVector<unsigned> groupOf(shape.size());
  for (auto [merged, group] : llvm::enumerate(groups))
    for (int64_t dim : group)
      groupOf[dim] = merged;
  SmallVector<ReassociationIndices> own;
  SmallVector<AffineExpr> exprs;
  ArrayRef<AffineExpr> results = operand.map.getResults();
  SmallVector<bool> seen(groups.size(), false);
  for (unsigned at = 0; at < results.size();) {
    ReassociationIndices &positions = own.emplace_back();
    auto dim = dyn_cast<AffineDimExpr>(results[at]);
    if (!dim) {
      exprs.push_back(results[at]);
      positions.push_back(at++);
      continue;
    }
    // All of the group, but what has extent 1, in order.
    unsigned merged = groupOf[dim.getPosition()];
    if (seen[merged])
      return failure();
    seen[merged] = true;
    for (int64_t part : groups[merged]) {
      if (at < results.size() && results[at] == b.getAffineDimExpr(part))
        positions.push_back(at++);
      else if (shape[part] != 1)
        return failure();
    }
    if (positions.empty())
      return failure();
    exprs.push_back(b.getAffineDimExpr(merged));
  }
  operand.map = AffineMap::get(groups.size(), 0, exprs, b.getContext());
  if (own.size() != results.size())
    operand.value = tensor::CollapseShapeOp::create(b, loc, operand.value, own);
  return success();
}

Box Box::of(OpBuilder &b, Location loc, const ViewedOperand &operand) const {
  Box box;
  for (auto [position, expr] : llvm::enumerate(operand.map.getResults())) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    box.offsets.push_back(dim ? offsets[dim.getPosition()] : b.getIndexAttr(0));
    box.sizes.push_back(dim ? sizes[dim.getPosition()]
                            : tensor::getMixedSize(b, loc, operand.value, position));
    box.strides.push_back(dim ? strides[dim.getPosition()] : b.getIndexAttr(1));
  }
  return box;
}

Value elfatt::tile::extract(OpBuilder &b, Location loc, const ViewedOperand &operand,
                            const Box &box) {
  if (operand.map.getNumResults() == 0)
    return operand.value;
  Box own = box.of(b, loc, operand);
  return tensor::ExtractSliceOp::create(b, loc, operand.value, own.offsets, own.sizes, own.strides);
}
