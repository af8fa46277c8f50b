// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ScoreFunction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

LogicalResult ScoreFunction::verify() {
  if (op.getScore().empty())
    return success();
  for (Operation &nested : op.getScore().front().without_terminator())
    if (!OpTrait::hasElementwiseMappableTraits(&nested) &&
        !nested.hasTrait<OpTrait::ConstantLike>())
      return op.emitOpError("cannot tile a score region that holds '")
             << nested.getName() << "'; expected elementwise ops and constants";
  return success();
}

ScoreBase ScoreFunction::getBase() {
  bool addsNumbers = llvm::any_of(op.getBias(), [](Value bias) {
    return isa<FloatType>(getElementTypeOrSelf(bias.getType()));
  });
  return hasRegion() || addsNumbers ? ScoreBase::E : ScoreBase::Two;
}

LogicalResult ScoreFunction::setRows(Value queryView, bool rowsAreFlattened) {
  query = queryView;
  flattened = rowsAreFlattened;
  FailureOr<int64_t> bound = staticRowBound(op, query);
  if (failed(bound))
    return failure();
  int64_t rows = ctx.params.rows;
  // The last block of every line may reach beyond it.
  rowBound = roundUp(*bound, rows) + rows;
  return success();
}

Value ScoreFunction::rowExtent(unsigned index) {
  return ctx.index(memref::getMixedSize(ctx.b, ctx.b.getLoc(), query, index));
}

//===----------------------------------------------------------------------===//
// Biases
//===----------------------------------------------------------------------===//

void ScoreFunction::beginKeyBlock(Value firstLine, Value keyLines, int64_t columns) {
  ImplicitLocOpBuilder &b = ctx.b;
  biases.clear();
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  OpFoldResult zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
  for (auto [index, bias] : llvm::enumerate(op.getBias())) {
    AffineMap map = maps[3 + index];
    // Loop dims: the rows where the bias has any, then the keys.
    bool hasRows = llvm::any_of(dims.rows, [&](unsigned d) { return map.isFunctionOfDim(d); });
    SmallVector<unsigned> loops;
    SmallVector<OpFoldResult> extents;
    if (hasRows)
      for (auto [at, dim] : llvm::enumerate(dims.rows)) {
        loops.push_back(dim);
        extents.push_back(memref::getMixedSize(b, b.getLoc(), query, at));
      }
    unsigned numRowDims = loops.size();
    for (auto [at, dim] : llvm::enumerate(dims.keys)) {
      loops.push_back(dim);
      extents.push_back(memref::getMixedSize(b, b.getLoc(), keyLines, at));
    }
    // The block's part of the bias.
    SmallVector<unsigned> present;
    SmallVector<AffineExpr> sourceDims;
    for (auto [position, dim] : llvm::enumerate(loops))
      if (map.isFunctionOfDim(dim)) {
        present.push_back(dim);
        sourceDims.push_back(b.getAffineDimExpr(position));
      }
    Value source = projectView(b, bias, map, present);
    if (auto at = llvm::find(present, dims.keys.front()); at != present.end()) {
      int64_t rank = present.size(), keyDim = at - present.begin();
      SmallVector<OpFoldResult> offsets(rank, zero), strides(rank, one);
      SmallVector<OpFoldResult> sizes = memref::getMixedSizes(b, b.getLoc(), source);
      offsets[keyDim] = firstLine;
      sizes[keyDim] = extents[numRowDims];
      source = memref::SubViewOp::create(b, source, offsets, sizes, strides);
    }
    // Its place in scratch: all row dims flattened, all key dims flattened.
    bool isMask = typeOf(source).getElementType().isInteger(1);
    Value matrix = ctx.scratch({hasRows ? rowBound : 1, columns}, ctx.type);
    auto flat = [&](ArrayRef<OpFoldResult> group) {
      Value product = ctx.index(1);
      for (OpFoldResult extent : group)
        product = b.createOrFold<arith::MulIOp>(product, ctx.index(extent));
      return getAsOpFoldResult(product);
    };
    SmallVector<OpFoldResult> flatSizes = {flat(ArrayRef(extents).take_front(numRowDims)),
                                           flat(ArrayRef(extents).drop_front(numRowDims))};
    Value part = memref::SubViewOp::create(b, matrix, SmallVector<OpFoldResult>{zero, zero},
                                           flatSizes, SmallVector<OpFoldResult>{one, one});
    SmallVector<ReassociationIndices> groups(2);
    SmallVector<int64_t> shape;
    SmallVector<OpFoldResult> outputShape(extents);
    SmallVector<AffineExpr> targetDims;
    if (!hasRows) {
      groups[0].push_back(0);
      outputShape.insert(outputShape.begin(), one);
      targetDims.push_back(b.getAffineConstantExpr(0));
    }
    for (unsigned position = 0; position < loops.size(); ++position)
      groups[position < numRowDims ? 0 : 1].push_back(position + (hasRows ? 0 : 1));
    for (unsigned position = 0; position < loops.size(); ++position)
      targetDims.push_back(b.getAffineDimExpr(position));
    for (OpFoldResult extent : outputShape)
      shape.push_back(getConstantIntValue(extent).value_or(ShapedType::kDynamic));
    Value target = memref::ExpandShapeOp::create(b, shape, part, groups, outputShape);
    if (!hasRows) {
      // A row of one: drop it, so that the loops are the keys alone.
      SmallVector<OpFoldResult> offsets(shape.size(), zero), strides(shape.size(), one);
      MemRefType reduced = memref::SubViewOp::inferRankReducedResultType(
          ArrayRef(shape).drop_front(), typeOf(target), offsets, outputShape, strides);
      target = memref::SubViewOp::create(b, reduced, target, offsets, outputShape, strides);
      targetDims.erase(targetDims.begin());
    }
    SmallVector<AffineMap> copyMaps = {AffineMap::get(loops.size(), 0, sourceDims, b.getContext()),
                                       AffineMap::get(loops.size(), 0, targetDims, b.getContext())};
    SmallVector<utils::IteratorType> iterators(loops.size(), utils::IteratorType::parallel);
    linalg::GenericOp::create(b, ValueRange{source}, ValueRange{target}, copyMaps, iterators,
                              [&](OpBuilder &nested, Location loc, ValueRange args) {
                                Value element = args[0];
                                if (isMask)
                                  element = arith::UIToFPOp::create(nested, loc, ctx.type, element);
                                else if (element.getType().getIntOrFloatBitWidth() <
                                         ctx.type.getWidth())
                                  element = arith::ExtFOp::create(nested, loc, ctx.type, element);
                                linalg::YieldOp::create(nested, loc, element);
                              });
    biases.push_back({matrix, hasRows, isMask});
  }
}

Value ScoreFunction::readBias(Formulas &formulas, const StagedBias &bias, const RowBlock &block,
                              Value column, int64_t columns) {
  Value zero = ctx.index(0);
  if (bias.hasRows)
    return vector::TransferReadOp::create(
        ctx.b, VectorType::get({ctx.params.rows, columns}, ctx.type), bias.matrix,
        ValueRange{block.linear, column}, formulas.constant(0.0, ctx.type),
        ArrayRef<bool>{true, true});
  Value row = vector::TransferReadOp::create(
      ctx.b, VectorType::get({columns}, ctx.type), bias.matrix, ValueRange{zero, column},
      formulas.constant(0.0, ctx.type), ArrayRef<bool>{true});
  return formulas.alongColumns(row, ctx.params.rows);
}

//===----------------------------------------------------------------------===//
// Positions
//===----------------------------------------------------------------------===//

/// The op's origin in dim `dim` of the op it was tiled from.
Value ScoreFunction::offsetOf(unsigned dim) {
  if (op.getOffsets().empty())
    return ctx.index(0);
  SmallVector<unsigned> positions = op.getPositionDims();
  return op.getOffsets()[llvm::find(positions, dim) - positions.begin()];
}

/// Index along row dim `dim` of every element of a tile, as i32.
Value ScoreFunction::rowIndex(Formulas &formulas, unsigned dim, const RowBlock &block,
                              int64_t columns) {
  ImplicitLocOpBuilder &b = ctx.b;
  unsigned index = llvm::find(dims.rows, dim) - dims.rows.begin();
  bool innermost = index + 1 == dims.rows.size();
  auto tileType = VectorType::get({ctx.params.rows, columns}, b.getI32Type());
  auto asI32 = [&](Value value) { return arith::IndexCastOp::create(b, b.getI32Type(), value); };
  Value offset = offsetOf(dim);
  if (!flattened && !innermost)
    return formulas.splat(asI32(arith::AddIOp::create(b, offset, block.outer[index])), tileType);
  if (!flattened || dims.rows.size() == 1) {
    Value base = arith::AddIOp::create(b, offset, flattened ? block.linear : block.inner);
    return formulas.alongRows(formulas.indices(base, ctx.params.rows), columns);
  }
  // Flattened rows: the linear index, divided by what is inside and wrapped.
  Value linear = formulas.indices(block.linear, ctx.params.rows);
  auto vector = cast<VectorType>(linear.getType());
  Value inside = ctx.index(1);
  for (unsigned at = index + 1; at < dims.rows.size(); ++at)
    inside = arith::MulIOp::create(b, inside, rowExtent(at));
  Value wrapped = arith::DivUIOp::create(b, linear, formulas.splat(asI32(inside), vector));
  wrapped = arith::RemUIOp::create(b, wrapped, formulas.splat(asI32(rowExtent(index)), vector));
  wrapped = arith::AddIOp::create(b, wrapped, formulas.splat(asI32(offset), vector));
  return formulas.alongRows(wrapped, columns);
}

/// Index along key dim `dim` of every element of a tile, as i32.
Value ScoreFunction::keyIndex(Formulas &formulas, unsigned dim, Value firstKey, int64_t columns) {
  ImplicitLocOpBuilder &b = ctx.b;
  auto asI32 = [&](Value value) { return arith::IndexCastOp::create(b, b.getI32Type(), value); };
  Value linear = formulas.indices(firstKey, columns);
  auto vector = cast<VectorType>(linear.getType());
  if (dims.keys.size() > 1) {
    SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(op.getOperation()));
    unsigned index = llvm::find(dims.keys, dim) - dims.keys.begin();
    int64_t inside = 1;
    for (unsigned at = index + 1; at < dims.keys.size(); ++at)
      inside *= ranges[dims.keys[at]];
    linear = arith::DivUIOp::create(b, linear, formulas.splat(asI32(ctx.index(inside)), vector));
    if (index > 0)
      linear =
          arith::RemUIOp::create(b, linear, formulas.splat(asI32(ctx.index(ranges[dim])), vector));
  }
  linear = arith::AddIOp::create(b, linear, formulas.splat(asI32(offsetOf(dim)), vector));
  return formulas.alongColumns(linear, ctx.params.rows);
}

Value ScoreFunction::position(Formulas &formulas, unsigned dim, const RowBlock &block,
                              Value firstKey, int64_t columns) {
  if (llvm::is_contained(dims.rows, dim))
    return rowIndex(formulas, dim, block, columns);
  if (llvm::is_contained(dims.keys, dim))
    return keyIndex(formulas, dim, firstKey, columns);
  ImplicitLocOpBuilder &b = ctx.b;
  Value offset = arith::IndexCastOp::create(b, b.getI32Type(), offsetOf(dim));
  return formulas.splat(offset, VectorType::get({ctx.params.rows, columns}, b.getI32Type()));
}

Value ScoreFunction::boundLines(Value lines) {
  if (!op.getCausal())
    return lines;
  ImplicitLocOpBuilder &b = ctx.b;
  // Beyond the last row's own index.
  Value end = arith::AddIOp::create(b, offsetOf(dims.rows.back()), rowExtent(dims.rows.size() - 1));
  end = arith::SubIOp::create(b, end, offsetOf(dims.keys.front()));
  end = arith::MaxSIOp::create(b, end, ctx.index(0));
  return arith::MinSIOp::create(b, lines, end);
}

//===----------------------------------------------------------------------===//
// The function
//===----------------------------------------------------------------------===//

Value ScoreFunction::apply(Formulas &formulas, Value scores, const RowBlock &block, Value firstKey,
                           Value column) {
  ImplicitLocOpBuilder &b = ctx.b;
  auto vector = cast<VectorType>(scores.getType());
  int64_t columns = vector.getDimSize(1);
  Value minusInf = formulas.constant(-std::numeric_limits<double>::infinity(), vector);
  SmallVector<Value> tiles;
  for (const StagedBias &bias : biases) {
    Value tile = readBias(formulas, bias, block, column, columns);
    if (bias.isMask)
      tile =
          arith::CmpFOp::create(b, arith::CmpFPredicate::UNE, tile, formulas.constant(0.0, vector));
    tiles.push_back(tile);
  }
  if (hasRegion()) {
    scores = applyRegion(formulas, scores, tiles, block, firstKey);
  } else {
    for (auto [tile, bias] : llvm::zip_equal(tiles, biases))
      scores = bias.isMask ? Value(arith::SelectOp::create(b, tile, scores, minusInf))
                           : Value(arith::AddFOp::create(b, scores, tile));
  }
  if (!op.getCausal())
    return scores;
  // The row sees keys up to its own index.
  Value row = rowIndex(formulas, dims.rows.back(), block, columns);
  Value key = keyIndex(formulas, dims.keys.front(), firstKey, columns);
  Value seen = arith::CmpIOp::create(b, arith::CmpIPredicate::sle, key, row);
  return arith::SelectOp::create(b, seen, scores, minusInf);
}

/// The region's ops on whole tiles: every scalar becomes a vector.
Value ScoreFunction::applyRegion(Formulas &formulas, Value scores, ArrayRef<Value> biasTiles,
                                 const RowBlock &block, Value firstKey) {
  ImplicitLocOpBuilder &b = ctx.b;
  ArrayRef<int64_t> shape = cast<VectorType>(scores.getType()).getShape();
  Block &body = op.getScore().front();
  IRMapping mapping;
  auto toType = [&](Value tile, Type type) -> Value {
    Type have = cast<VectorType>(tile.getType()).getElementType();
    return have == type || have.isInteger(1) ? tile : formulas.narrow(tile, type);
  };
  mapping.map(body.getArgument(0), toType(scores, body.getArgument(0).getType()));
  for (auto [index, tile] : llvm::enumerate(biasTiles)) {
    BlockArgument arg = body.getArgument(1 + index);
    mapping.map(arg, toType(tile, arg.getType()));
  }
  SmallVector<unsigned> positions = op.getPositionDims();
  for (auto [index, dim] : llvm::enumerate(positions)) {
    BlockArgument arg = body.getArgument(1 + biasTiles.size() + index);
    if (arg.use_empty())
      continue;
    Value indices = position(formulas, dim, block, firstKey, shape[1]);
    mapping.map(arg,
                arith::IndexCastOp::create(b, VectorType::get(shape, b.getIndexType()), indices));
  }
  auto asTile = [&](Value value) -> Value {
    if (Value mapped = mapping.lookupOrNull(value))
      return mapped;
    return formulas.splat(value, VectorType::get(shape, value.getType()));
  };
  for (Operation &nested : body.without_terminator()) {
    if (nested.hasTrait<OpTrait::ConstantLike>()) {
      Value scalar = b.clone(nested)->getResult(0);
      mapping.map(nested.getResult(0),
                  formulas.splat(scalar, VectorType::get(shape, scalar.getType())));
      continue;
    }
    SmallVector<Value> operands = llvm::map_to_vector(nested.getOperands(), asTile);
    if (isa<math::AbsIOp>(nested)) {
      // Not lowered on vectors of two dims by MLIR 22's math-to-llvm.
      Value zero = arith::ConstantOp::create(b, b.getZeroAttr(operands[0].getType()));
      Value negated = arith::SubIOp::create(b, zero, operands[0]);
      mapping.map(nested.getResult(0), Value(arith::MaxSIOp::create(b, operands[0], negated)));
      continue;
    }
    SmallVector<Type> types;
    for (Type type : nested.getResultTypes())
      types.push_back(VectorType::get(shape, type));
    Operation *tiled = b.create(
        OperationState(nested.getLoc(), nested.getName(), operands, types, nested.getAttrs()));
    mapping.map(nested.getResults(), tiled->getResults());
  }
  auto yield = cast<YieldOp>(body.getTerminator());
  return formulas.widen(asTile(yield.getScore()));
}
