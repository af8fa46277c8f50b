// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Ops whose lanes hardly need each other: elementwise, broadcasts, masks, and
// reductions, whose last steps are shuffles.
#include "Distributor.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace elfatt::gpu;

LogicalResult Distributor::visitElementwise(Operation *op) {
  if (op->getNumResults() != 1 || op->getNumRegions() != 0)
    return op->emitOpError("cannot be spread over lanes");
  Value result = op->getResult(0);
  b.clone(*op, mapping)
      ->getResult(0)
      .setType(localType(getElementTypeOrSelf(result), layouts[result]));
  return success();
}

LogicalResult Distributor::visitConstant(arith::ConstantOp op) {
  auto dense = dyn_cast<DenseElementsAttr>(op.getValue());
  if (!dense || !dense.isSplat())
    return op.emitOpError("expected all elements of a constant vector to be the same");
  const FragmentLayout &layout = layouts[op.getResult()];
  auto type = localType(dense.getElementType(), layout);
  auto local = arith::ConstantOp::create(
      b, loc, DenseElementsAttr::get(type, dense.getSplatValue<Attribute>()));
  define(op.getResult(), local);
  return success();
}

LogicalResult Distributor::visitBroadcast(vector::BroadcastOp op) {
  const FragmentLayout &layout = layouts[op.getVector()];
  Type element = getElementTypeOrSelf(op.getVector());
  auto source = dyn_cast<VectorType>(op.getSourceType());
  if (!source) {
    Value local =
        vector::BroadcastOp::create(b, loc, localType(element, layout), get(op.getSource()));
    define(op.getVector(), local);
    return success();
  }
  // Spread as the result's innermost dims are.
  const FragmentLayout &from = layouts[op.getSource()];
  Value value = get(op.getSource());
  SmallVector<Value> elements;
  for (int64_t flat = 0; flat < layout.numLocal(); ++flat) {
    SmallVector<int64_t> local = layout.unflatten(flat);
    local.erase(local.begin(), local.end() - source.getRank());
    for (auto [size, position] : llvm::zip(source.getShape(), local))
      if (size == 1)
        position = 0;
    elements.push_back(extract(value, from.flatten(local)));
  }
  define(op.getVector(), fromElements(elements, element));
  return success();
}

/// Dims of one come and go; nothing moves.
LogicalResult Distributor::visitShapeCast(vector::ShapeCastOp op) {
  VectorType from = op.getSourceVectorType(), to = op.getResultVectorType();
  auto squeezed = [](VectorType type) {
    return llvm::filter_to_vector(type.getShape(), [](int64_t size) { return size != 1; });
  };
  if (squeezed(from) != squeezed(to))
    return op.emitOpError("expected only dims of one to come or go, got ") << from << " to " << to;
  define(op.getResult(), get(op.getSource()));
  return success();
}

FailureOr<SmallVector<int64_t>> Distributor::getPositions(const FragmentLayout &whole,
                                                          const FragmentLayout &part,
                                                          ArrayAttr offsets) {
  SmallVector<int64_t> first;
  for (auto [d, attr] : llvm::enumerate(offsets.getAsRange<IntegerAttr>())) {
    int64_t offset = attr.getInt();
    if (offset % FragmentLayout::getCovered(whole.getDims()[d]) != 0)
      return failure();
    first.push_back(whole.localOf(d, offset));
  }
  SmallVector<int64_t> positions;
  for (int64_t flat = 0; flat < part.numLocal(); ++flat) {
    SmallVector<int64_t> local = part.unflatten(flat);
    for (auto [position, start] : llvm::zip(local, first))
      position += start;
    positions.push_back(whole.flatten(local));
  }
  return positions;
}

LogicalResult Distributor::visitExtractSlice(vector::ExtractStridedSliceOp op) {
  const FragmentLayout &whole = layouts[op.getSource()], &part = layouts[op.getResult()];
  FailureOr<SmallVector<int64_t>> positions = getPositions(whole, part, op.getOffsets());
  if (failed(positions) || op.hasNonUnitStrides())
    return op.emitOpError("expected a slice that starts in steps of ")
           << whole.getStep() << ", got " << op.getOffsets() << " of " << whole.str();
  Value source = get(op.getSource());
  SmallVector<Value> elements =
      llvm::map_to_vector(*positions, [&](int64_t position) { return extract(source, position); });
  define(op.getResult(), fromElements(elements, op.getSourceVectorType().getElementType()));
  return success();
}

LogicalResult Distributor::visitInsertSlice(vector::InsertStridedSliceOp op) {
  const FragmentLayout &whole = layouts[op.getResult()];
  FragmentLayout part(op.getSourceVectorType().getShape(), whole.getDims());
  FailureOr<SmallVector<int64_t>> positions = getPositions(whole, part, op.getOffsets());
  if (failed(positions) || op.hasNonUnitStrides() || !part.isValid())
    return op.emitOpError("expected a slice in steps of ")
           << whole.getStep() << ", got " << op.getSourceVectorType() << " at " << op.getOffsets();
  Value source = get(op.getValueToStore()), dest = get(op.getDest());
  SmallVector<Value> elements;
  for (int64_t flat = 0; flat < whole.numLocal(); ++flat)
    elements.push_back(extract(dest, flat));
  for (auto [flat, position] : llvm::enumerate(*positions))
    elements[position] = extract(source, flat);
  define(op.getResult(), fromElements(elements, op.getSourceVectorType().getElementType()));
  return success();
}

/// Whether a comparison holds for any element: one by one, since LLVM would make numbers of
/// vectors of conditions, then a vote of the warp.
LogicalResult Distributor::visitAny(vector::MultiDimReductionOp op) {
  auto compare = op.getSource().getDefiningOp<arith::CmpFOp>();
  if (!compare)
    return op.emitOpError("expected a comparison's result");
  const FragmentLayout &layout = layouts[op.getSource()];
  Value lhs = get(compare.getLhs()), rhs = get(compare.getRhs()), any;
  for (int64_t flat = 0; flat < layout.numLocal(); ++flat) {
    Value one = arith::CmpFOp::create(b, loc, compare.getPredicate(), extract(lhs, flat),
                                      extract(rhs, flat));
    any = any ? arith::OrIOp::create(b, loc, any, one).getResult() : one;
  }
  any = NVVM::VoteSyncOp::create(b, loc, b.getI1Type(), constantI32(-1), any,
                                 NVVM::VoteSyncKind::any);
  mapping.map(op.getResult(), arith::OrIOp::create(b, loc, any, get(op.getAcc())));
  return success();
}

LogicalResult Distributor::visitReduction(vector::MultiDimReductionOp op) {
  if (op.getResult().getType().isInteger(1) && op.getKind() == vector::CombiningKind::OR)
    return visitAny(op);
  auto resultType = dyn_cast<VectorType>(op.getResult().getType());
  Type element = op.getSourceVectorType().getElementType();
  if (!resultType || resultType.getRank() != 1 || element.getIntOrFloatBitWidth() != 32)
    return op.emitOpError("expected a reduction of a 32-bit tile over one of its two dims, got ")
           << op.getSourceVectorType() << " to " << op.getResult().getType();
  const FragmentLayout &source = layouts[op.getSource()];
  int64_t reduced = op.isReducedDim(0) ? 0 : 1, kept = 1 - reduced;
  Value value = get(op.getSource()), acc = get(op.getAcc());

  auto widened = op.getSource().getDefiningOp<arith::ExtFOp>();
  if (widened && op.getKind() == vector::CombiningKind::ADD && reduced == 1)
    if (Value sums = sumRowsByMma(getFragment(widened.getIn()), acc)) {
      define(op.getResult(), sums);
      return success();
    }

  SmallVector<int64_t> masks;
  for (int64_t mask = 1; mask < kWarpSize; mask *= 2)
    if (source.getLaneMask(reduced) & mask)
      masks.push_back(mask);
  SmallVector<Value> results;
  for (int64_t k = 0; k < source.localSize(kept); ++k) {
    Value sum;
    for (int64_t r = 0; r < source.localSize(reduced); ++r) {
      SmallVector<int64_t, 2> local(2);
      local[kept] = k;
      local[reduced] = r;
      Value v = extract(value, source.flatten(local));
      sum = sum ? vector::makeArithReduction(b, loc, op.getKind(), sum, v) : v;
    }
    for (int64_t mask : masks)
      sum = vector::makeArithReduction(b, loc, op.getKind(), sum, shuffleXor(sum, mask));
    results.push_back(vector::makeArithReduction(b, loc, op.getKind(), sum, extract(acc, k)));
  }
  define(op.getResult(), fromElements(results, element));
  return success();
}

LogicalResult Distributor::visitStep(vector::StepOp op) {
  const FragmentLayout &layout = layouts[op.getResult()];
  SmallVector<Value> elements;
  for (int64_t i = 0; i < layout.numLocal(); ++i)
    elements.push_back(coordinate(layout, 0, i));
  define(op.getResult(), fromElements(elements, b.getIndexType()));
  return success();
}

/// Positions beside a bound that all lanes share, `lane + c < bound` as `lane < bound - c`: what
/// differs between a lane's elements takes registers of the warp, and none of each lane.
LogicalResult Distributor::visitCompare(arith::CmpIOp op) {
  auto cast = op.getLhs().getDefiningOp<arith::IndexCastOp>();
  auto bound = op.getRhs().getDefiningOp<vector::BroadcastOp>();
  if (!cast || !cast.getIn().getDefiningOp<vector::StepOp>() || !bound ||
      isa<VectorType>(bound.getSourceType()) || op.getPredicate() != arith::CmpIPredicate::slt)
    return visitElementwise(op);
  const FragmentLayout &layout = layouts[op.getResult()];
  Value limit = get(bound.getSource());
  Value position =
      arith::IndexCastOp::create(b, loc, limit.getType(), laneOffset(layout.getDims()[0]));
  SmallVector<Value> elements;
  for (int64_t i = 0; i < layout.numLocal(); ++i) {
    Value offset = constantI32(layout.constantOffset(0, i));
    elements.push_back(arith::CmpIOp::create(b, loc, op.getPredicate(), position,
                                             b.createOrFold<arith::SubIOp>(loc, limit, offset)));
  }
  define(op.getResult(), fromElements(elements, b.getI1Type()));
  return success();
}

/// A box that starts at the origin: each coordinate below its bound.
LogicalResult Distributor::visitMask(Operation *op, ArrayRef<OpFoldResult> bounds) {
  const FragmentLayout &layout = layouts[op->getResult(0)];
  SmallVector<SmallVector<Value>> below(layout.rank());
  for (int64_t d = 0; d < layout.rank(); ++d) {
    std::optional<int64_t> known = getConstantIntValue(bounds[d]);
    for (int64_t i = 0; i < layout.localSize(d); ++i) {
      if (known && *known >= layout.getShape()[d]) {
        below[d].push_back(arith::ConstantIntOp::create(b, loc, 1, 1));
        continue;
      }
      Value bound = known ? constant(*known) : get(cast<Value>(bounds[d]));
      below[d].push_back(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                               coordinate(layout, d, i), bound));
    }
  }
  SmallVector<Value> elements;
  for (int64_t flat = 0; flat < layout.numLocal(); ++flat) {
    Value inside;
    for (auto [d, i] : llvm::enumerate(layout.unflatten(flat)))
      inside = inside ? b.createOrFold<arith::AndIOp>(loc, inside, below[d][i]) : below[d][i];
    elements.push_back(inside);
  }
  define(op->getResult(0), fromElements(elements, b.getI1Type()));
  return success();
}
