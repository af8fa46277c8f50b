// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// TilingInterface, written once against views: a tile of the domain is a box of
// every operand, because a map is a projected permutation plus constants.
#include "elfatt/Dialect/Attention/IR/Attention.h"

#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"

using namespace mlir;
using namespace elfatt::attention;
using utils::IteratorType;

//===----------------------------------------------------------------------===//
// Iterators and positions
//===----------------------------------------------------------------------===//

/// Dims that `output` lacks are reductions.
static SmallVector<IteratorType> iteratorsFrom(AffineMap output) {
  SmallVector<IteratorType> types;
  for (unsigned dim = 0, e = output.getNumDims(); dim < e; ++dim)
    types.push_back(output.isFunctionOfDim(dim) ? IteratorType::parallel : IteratorType::reduction);
  return types;
}

#define ELFATT_ITERATORS(OpTy, outputMap)                                                          \
  SmallVector<IteratorType> OpTy::getViewIteratorTypes() {                                         \
    return iteratorsFrom(getIndexingMapsArray()[outputMap]);                                       \
  }
ELFATT_ITERATORS(ElfattOp, 3)
ELFATT_ITERATORS(LinearOp, 3)
ELFATT_ITERATORS(ContextOp, 2)
ELFATT_ITERATORS(PartialContextOp, 2)
ELFATT_ITERATORS(MergeOp, 3)
ELFATT_ITERATORS(ApplyOp, 2)
ELFATT_ITERATORS(OnlineOp, 3)
ELFATT_ITERATORS(FinalizeOp, 2)
#undef ELFATT_ITERATORS

SmallVector<IteratorType> SdpaOp::getViewIteratorTypes() {
  return iteratorsFrom(getIndexingMapsArray().back());
}
SmallVector<IteratorType> LepeOp::getViewIteratorTypes() {
  return iteratorsFrom(getIndexingMapsArray().back());
}

SmallVector<unsigned> SdpaOp::getPositionDims() {
  // Without a causal mask or a score function no index matters.
  if (!getCausal() && getScore().empty())
    return {};
  return AttentionDims::get(*this).getPositionDims();
}

SmallVector<unsigned> LepeOp::getPositionDims() {
  return SmallVector<unsigned>(getGridDims().begin(), getGridDims().end());
}

bool LepeOp::isOperandTiled(OpOperand &operand, unsigned dim) {
  return &operand != &getValueMutable() || !llvm::is_contained(getGridDims(), dim);
}

//===----------------------------------------------------------------------===//
// Tiling
//===----------------------------------------------------------------------===//

/// The box of `operand` that the tile reads or writes, with its rank kept.
static Value sliceOperand(OpBuilder &builder, Location loc, ViewOpInterface op, OpOperand &operand,
                          AffineMap map, ArrayRef<OpFoldResult> offsets,
                          ArrayRef<OpFoldResult> sizes, SmallVectorImpl<Operation *> &slices) {
  auto type = cast<RankedTensorType>(operand.get().getType());
  unsigned skipped = type.getRank() - map.getNumResults();
  OpFoldResult zero = builder.getIndexAttr(0), one = builder.getIndexAttr(1);
  SmallVector<OpFoldResult> boxOffsets,
      boxSizes(tensor::getMixedSizes(builder, loc, operand.get()));
  boxOffsets.assign(type.getRank(), zero);
  SmallVector<OpFoldResult> strides(type.getRank(), one);
  for (auto [position, expr] : llvm::enumerate(map.getResults())) {
    unsigned at = skipped + position;
    if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
      if (!op.isOperandTiled(operand, dim.getPosition()))
        continue;
      boxOffsets[at] = offsets[dim.getPosition()];
      boxSizes[at] = sizes[dim.getPosition()];
    } else {
      boxOffsets[at] = builder.getIndexAttr(cast<AffineConstantExpr>(expr).getValue());
      boxSizes[at] = one;
    }
  }
  auto slice =
      tensor::ExtractSliceOp::create(builder, loc, operand.get(), boxOffsets, boxSizes, strides);
  slices.push_back(slice);
  return slice;
}

/// A slice has extent 1 where the map was constant.
static AffineMap withZeroConstants(AffineMap map) {
  SmallVector<AffineExpr> results;
  for (AffineExpr expr : map.getResults())
    results.push_back(isa<AffineConstantExpr>(expr) ? getAffineConstantExpr(0, map.getContext())
                                                    : expr);
  return AffineMap::get(map.getNumDims(), 0, results, map.getContext());
}

/// The operands in `offsets` of a tile at `tileOffsets`: one per position dim.
static SmallVector<Value> tilePositions(OpBuilder &builder, Location loc, ViewOpInterface op,
                                        ValueRange positions, ArrayRef<OpFoldResult> tileOffsets) {
  SmallVector<Value> result;
  for (auto [index, dim] : llvm::enumerate(op.getPositionDims())) {
    OpFoldResult offset = tileOffsets[dim];
    if (!positions.empty()) {
      AffineExpr a, b;
      bindSymbols(builder.getContext(), a, b);
      offset = affine::makeComposedFoldedAffineApply(builder, loc, a + b,
                                                     {OpFoldResult(positions[index]), offset});
    }
    result.push_back(getValueOrCreateConstantIndexOp(builder, loc, offset));
  }
  return result;
}

template <typename OpTy>
static FailureOr<TilingResult> tile(OpTy op, OpBuilder &builder, ArrayRef<OpFoldResult> offsets,
                                    ArrayRef<OpFoldResult> sizes) {
  Location loc = op.getLoc();
  auto view = cast<ViewOpInterface>(op.getOperation());
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  IRMapping mapping;
  SmallVector<Operation *> slices;
  SmallVector<Attribute> newMaps;
  for (auto [operand, map] : llvm::zip_equal(op.getViewedOperands(), maps))
    newMaps.push_back(AffineMapAttr::get(withZeroConstants(map)));

  // One tensor may be several operands with different maps (packed QKV), so
  // operands are set one by one instead of through the mapping of values.
  SmallVector<std::pair<unsigned, Value>> tiles;
  for (auto [operand, map] : llvm::zip_equal(op.getViewedOperands(), maps))
    tiles.emplace_back(operand->getOperandNumber(),
                       sliceOperand(builder, loc, view, *operand, map, offsets, sizes, slices));
  OpTy tiled = cast<OpTy>(builder.clone(*op.getOperation(), mapping));
  for (auto [number, value] : tiles)
    tiled->setOperand(number, value);
  tiled.setIndexingMapsAttr(builder.getArrayAttr(newMaps));
  if constexpr (requires { op.getOffsetsMutable(); }) {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPoint(tiled);
    SmallVector<Value> positions = tilePositions(builder, loc, view, op.getOffsets(), offsets);
    tiled.getOffsetsMutable().assign(positions);
  }
  auto dps = cast<DestinationStyleOpInterface>(tiled.getOperation());
  for (auto [result, init] : llvm::zip(tiled->getResults(), dps.getDpsInits()))
    result.setType(init.getType());
  return TilingResult{{tiled}, SmallVector<Value>(tiled->getResults()), slices};
}

/// The place of a tile of the domain in result `number`.
template <typename OpTy>
static void resultTile(OpTy op, OpBuilder &builder, unsigned number, ArrayRef<OpFoldResult> offsets,
                       ArrayRef<OpFoldResult> sizes, SmallVector<OpFoldResult> &resultOffsets,
                       SmallVector<OpFoldResult> &resultSizes) {
  auto dps = cast<DestinationStyleOpInterface>(op.getOperation());
  unsigned operand = dps.getDpsInitOperand(number)->getOperandNumber();
  for (auto [viewed, map] : llvm::zip_equal(op.getViewedOperands(), op.getIndexingMapsArray())) {
    if (viewed->getOperandNumber() != operand)
      continue;
    for (AffineExpr expr : map.getResults()) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      resultOffsets.push_back(
          dim ? offsets[dim.getPosition()]
              : builder.getIndexAttr(cast<AffineConstantExpr>(expr).getValue()));
      resultSizes.push_back(dim ? sizes[dim.getPosition()] : builder.getIndexAttr(1));
    }
  }
}

/// The tile of the domain that makes a tile of result `number`: whole in every
/// dim that the result lacks.
template <typename OpTy>
static LogicalResult
domainTile(OpTy op, OpBuilder &builder, unsigned number, ArrayRef<OpFoldResult> resultOffsets,
           ArrayRef<OpFoldResult> resultSizes, SmallVectorImpl<OpFoldResult> &offsets,
           SmallVectorImpl<OpFoldResult> &sizes) {
  auto view = cast<ViewOpInterface>(op.getOperation());
  sizes = getMixedLoopRanges(builder, view);
  offsets.assign(sizes.size(), builder.getIndexAttr(0));
  auto dps = cast<DestinationStyleOpInterface>(op.getOperation());
  unsigned operand = dps.getDpsInitOperand(number)->getOperandNumber();
  for (auto [viewed, map] : llvm::zip_equal(op.getViewedOperands(), op.getIndexingMapsArray()))
    if (viewed->getOperandNumber() == operand)
      for (auto [position, expr] : llvm::enumerate(map.getResults()))
        if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
          offsets[dim.getPosition()] = resultOffsets[position];
          sizes[dim.getPosition()] = resultSizes[position];
        }
  return success();
}

static SmallVector<Range> iterationDomain(ViewOpInterface op, OpBuilder &builder) {
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(op);
  SmallVector<Range> domain;
  for (OpFoldResult size : getMixedLoopRanges(builder, op))
    domain.push_back({builder.getIndexAttr(0), size, builder.getIndexAttr(1)});
  return domain;
}

#define ELFATT_TILING(OpTy)                                                                        \
  SmallVector<IteratorType> OpTy::getLoopIteratorTypes() { return getViewIteratorTypes(); }        \
  SmallVector<Range> OpTy::getIterationDomain(OpBuilder &builder) {                                \
    return iterationDomain(cast<ViewOpInterface>(getOperation()), builder);                        \
  }                                                                                                \
  FailureOr<TilingResult> OpTy::getTiledImplementation(                                            \
      OpBuilder &builder, ArrayRef<OpFoldResult> offsets, ArrayRef<OpFoldResult> sizes) {          \
    return tile(*this, builder, offsets, sizes);                                                   \
  }                                                                                                \
  LogicalResult OpTy::getResultTilePosition(                                                       \
      OpBuilder &builder, unsigned number, ArrayRef<OpFoldResult> offsets,                         \
      ArrayRef<OpFoldResult> sizes, SmallVector<OpFoldResult> &resultOffsets,                      \
      SmallVector<OpFoldResult> &resultSizes) {                                                    \
    resultTile(*this, builder, number, offsets, sizes, resultOffsets, resultSizes);                \
    return success();                                                                              \
  }                                                                                                \
  LogicalResult OpTy::getIterationDomainTileFromResultTile(                                        \
      OpBuilder &builder, unsigned number, ArrayRef<OpFoldResult> resultOffsets,                   \
      ArrayRef<OpFoldResult> resultSizes, SmallVectorImpl<OpFoldResult> &offsets,                  \
      SmallVectorImpl<OpFoldResult> &sizes) {                                                      \
    return domainTile(*this, builder, number, resultOffsets, resultSizes, offsets, sizes);         \
  }                                                                                                \
  FailureOr<TilingResult> OpTy::generateResultTileValue(OpBuilder &builder, unsigned number,       \
                                                        ArrayRef<OpFoldResult> resultOffsets,      \
                                                        ArrayRef<OpFoldResult> resultSizes) {      \
    SmallVector<OpFoldResult> offsets, sizes;                                                      \
    if (failed(domainTile(*this, builder, number, resultOffsets, resultSizes, offsets, sizes)))    \
      return failure();                                                                            \
    FailureOr<TilingResult> tiled = tile(*this, builder, offsets, sizes);                          \
    if (failed(tiled))                                                                             \
      return failure();                                                                            \
    return TilingResult{tiled->tiledOps, {tiled->tiledValues[number]}, tiled->generatedSlices};    \
  }
ELFATT_TILING(SdpaOp)
ELFATT_TILING(LinearOp)
ELFATT_TILING(ContextOp)
ELFATT_TILING(PartialContextOp)
ELFATT_TILING(MergeOp)
ELFATT_TILING(ApplyOp)
ELFATT_TILING(LepeOp)
ELFATT_TILING(OnlineOp)
ELFATT_TILING(FinalizeOp)
#undef ELFATT_TILING
