// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What lies between a tensor and an operand's map, and can be said by the map.
#include "ViewFolding.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace elfatt::attention;

static View makeView(Value source, AffineMap like, ArrayRef<AffineExpr> exprs) {
  return {source, AffineMap::get(like.getNumDims(), 0, exprs, like.getContext())};
}

/// transposed[i0, i1, ..] = input[...] with input's dim perm[k] at ik.
static FailureOr<View> foldTranspose(linalg::TransposeOp op, AffineMap map) {
  SmallVector<AffineExpr> exprs(map.getNumResults());
  for (auto [position, dim] : llvm::enumerate(op.getPermutation()))
    exprs[dim] = map.getResult(position);
  return makeView(op.getInput(), map, exprs);
}

/// Whether a dim of the whole source: from 0, with stride 1, to its end.
static bool isWholeDim(tensor::ExtractSliceOp op, unsigned dim) {
  if (getConstantIntValue(op.getMixedOffsets()[dim]) != 0)
    return false;
  OpFoldResult size = op.getMixedSizes()[dim];
  int64_t extent = op.getSourceType().getDimSize(dim);
  if (!ShapedType::isDynamic(extent))
    return getConstantIntValue(size) == extent;
  auto value = dyn_cast<Value>(size);
  auto dimOp = value ? value.getDefiningOp<tensor::DimOp>() : tensor::DimOp();
  return dimOp && dimOp.getSource() == op.getSource() && dimOp.getConstantIndex() == int64_t(dim);
}

/// Each dim is whole, or one element at a constant offset, which becomes a
/// constant of the map.
static FailureOr<View> foldUnitSlice(tensor::ExtractSliceOp op, AffineMap map) {
  if (!op.hasUnitStride())
    return failure();
  llvm::SmallBitVector dropped = op.getDroppedDims();
  SmallVector<AffineExpr> exprs;
  unsigned next = 0;
  for (unsigned dim = 0; dim < op.getSourceType().getRank(); ++dim) {
    AffineExpr expr = dropped.test(dim) ? AffineExpr() : map.getResult(next++);
    if (expr && isWholeDim(op, dim)) {
      exprs.push_back(expr);
      continue;
    }
    std::optional<int64_t> offset = getConstantIntValue(op.getMixedOffsets()[dim]);
    bool isUnit = getConstantIntValue(op.getMixedSizes()[dim]) == 1;
    if (!offset || !isUnit || (expr && !isa<AffineConstantExpr>(expr)))
      return failure();
    exprs.push_back(getAffineConstantExpr(*offset, map.getContext()));
  }
  return makeView(op.getSource(), map, exprs);
}

/// The group of dims of the wider tensor that stands for each dim of the other,
/// reduced to the one that is not a unit dim (the first if all are); none where
/// several are not.
static FailureOr<SmallVector<int64_t>> findWideDims(ArrayRef<ReassociationIndices> groups,
                                                    RankedTensorType wide) {
  SmallVector<int64_t> kept;
  for (const ReassociationIndices &group : groups) {
    int64_t found = -1;
    for (int64_t dim : group)
      if (wide.getDimSize(dim) != 1) {
        if (found >= 0)
          return failure();
        found = dim;
      }
    kept.push_back(found >= 0 ? found : group.front());
  }
  return kept;
}

/// Unit dims that the map holds at 0 are dropped from it.
static FailureOr<View> foldUnitExpand(tensor::ExpandShapeOp op, AffineMap map) {
  FailureOr<SmallVector<int64_t>> kept =
      findWideDims(op.getReassociationIndices(), op.getResultType());
  if (failed(kept))
    return failure();
  for (auto [position, expr] : llvm::enumerate(map.getResults()))
    if (!llvm::is_contained(*kept, int64_t(position)) && !isa<AffineConstantExpr>(expr))
      return failure();
  return makeView(op.getSrc(), map,
                  llvm::map_to_vector(*kept, [&](int64_t dim) { return map.getResult(dim); }));
}

/// Unit dims that were dropped are held at 0.
static FailureOr<View> foldUnitCollapse(tensor::CollapseShapeOp op, AffineMap map) {
  FailureOr<SmallVector<int64_t>> kept =
      findWideDims(op.getReassociationIndices(), op.getSrcType());
  if (failed(kept))
    return failure();
  SmallVector<AffineExpr> exprs(op.getSrcType().getRank(),
                                getAffineConstantExpr(0, map.getContext()));
  for (auto [position, dim] : llvm::enumerate(*kept))
    exprs[dim] = map.getResult(position);
  return makeView(op.getSrc(), map, exprs);
}

Operation *elfatt::attention::getOnlyElementwiseOp(linalg::GenericOp op) {
  if (op.getNumDpsInputs() != 1 || op.getNumDpsInits() != 1 ||
      op.getNumParallelLoops() != op.getNumLoops() ||
      op.payloadUsesValueFromOperand(op.getDpsInitOperand(0)))
    return nullptr;
  Block *body = op.getBody();
  Operation *yield = body->getTerminator();
  if (!llvm::hasNItems(*body, 2) || yield->getOperand(0).getDefiningOp() != &body->front())
    return nullptr;
  return &body->front();
}

/// out[..] = extf(in[..]), where the loops are those of the output.
static FailureOr<View> foldExtension(linalg::GenericOp op, AffineMap map) {
  Operation *only = getOnlyElementwiseOp(op);
  AffineMap inputMap = op.getIndexingMapsArray()[0];
  if (!isa_and_nonnull<arith::ExtFOp>(only) || !op.getIndexingMapsArray()[1].isIdentity() ||
      only->getOperand(0) != op.getBody()->getArgument(0))
    return failure();
  SmallVector<AffineExpr> exprs;
  for (AffineExpr expr : inputMap.getResults()) {
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      exprs.push_back(map.getResult(dim.getPosition()));
    else if (isa<AffineConstantExpr>(expr))
      exprs.push_back(expr);
    else
      return failure();
  }
  return makeView(op.getInputs()[0], map, exprs);
}

FailureOr<View> elfatt::attention::foldProducer(View view) {
  Operation *producer = view.source.getDefiningOp();
  FailureOr<View> folded = failure();
  if (auto op = dyn_cast_or_null<linalg::TransposeOp>(producer))
    folded = foldTranspose(op, view.map);
  else if (auto op = dyn_cast_or_null<tensor::ExtractSliceOp>(producer))
    folded = foldUnitSlice(op, view.map);
  else if (auto op = dyn_cast_or_null<tensor::ExpandShapeOp>(producer))
    folded = foldUnitExpand(op, view.map);
  else if (auto op = dyn_cast_or_null<tensor::CollapseShapeOp>(producer))
    folded = foldUnitCollapse(op, view.map);
  else if (auto op = dyn_cast_or_null<linalg::GenericOp>(producer))
    folded = foldExtension(op, view.map);
  else if (auto op = dyn_cast_or_null<arith::ExtFOp>(producer))
    folded = View{op.getIn(), view.map};
  else if (auto op = dyn_cast_or_null<tensor::CastOp>(producer);
           op && tensor::canFoldIntoConsumerOp(op))
    folded = View{op.getSource(), view.map};
  if (failed(folded))
    return failure();
  // A broadcast would change the classes of dims: only the op's maker does that.
  for (unsigned dim = 0; dim < view.map.getNumDims(); ++dim)
    if (view.map.isFunctionOfDim(dim) && !folded->map.isFunctionOfDim(dim))
      return failure();
  return folded;
}
