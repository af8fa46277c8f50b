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
  const FragmentLayout &layout = layouts[op->getResult(0)];
  IRMapping operands;
  for (Value operand : op->getOperands())
    operands.map(operand, isa<VectorType>(operand.getType()) ? get(operand, layout) : get(operand));
  Operation *local = b.clone(*op, operands);
  local->getResult(0).setType(localType(getElementTypeOrSelf(op->getResult(0)), layout));
  define(op->getResult(0), local->getResult(0), layout);
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
  define(op.getResult(), local, layout);
  return success();
}

LogicalResult Distributor::visitBroadcast(vector::BroadcastOp op) {
  const FragmentLayout &layout = layouts[op.getVector()];
  Type element = getElementTypeOrSelf(op.getVector());
  auto source = dyn_cast<VectorType>(op.getSourceType());
  if (!source) {
    Value local =
        vector::BroadcastOp::create(b, loc, localType(element, layout), get(op.getSource()));
    define(op.getVector(), local, layout);
    return success();
  }
  // The source, spread as the result's innermost dims are.
  SmallVector<LaneDim> dims(layout.getDims().take_back(source.getRank()));
  for (auto [size, dim] : llvm::zip(source.getShape(), dims))
    if (size == 1)
      dim = LaneDim::None;
  FragmentLayout from(source.getShape(), dims);
  Value value = get(op.getSource(), from);
  SmallVector<Value> elements;
  for (int64_t flat = 0; flat < layout.numLocal(); ++flat) {
    SmallVector<int64_t> local = layout.unflatten(flat);
    local.erase(local.begin(), local.end() - source.getRank());
    for (auto [size, position] : llvm::zip(source.getShape(), local))
      if (size == 1)
        position = 0;
    elements.push_back(extract(value, from.flatten(local)));
  }
  define(op.getVector(), fromElements(elements, element), layout);
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
  const FragmentLayout &layout = layouts[op.getResult()];
  SmallVector<LaneDim> known, dims;
  for (auto [size, dim] : llvm::zip(layout.getShape(), layout.getDims()))
    if (size != 1)
      known.push_back(dim);
  unsigned next = 0;
  for (int64_t size : from.getShape())
    dims.push_back(size != 1 ? known[next++] : LaneDim::None);
  define(op.getResult(), get(op.getSource(), FragmentLayout(from.getShape(), dims)), layout);
  return success();
}

FailureOr<SmallVector<int64_t>> Distributor::getPositions(const FragmentLayout &whole,
                                                          const FragmentLayout &part,
                                                          ArrayAttr offsets) {
  SmallVector<int64_t> first;
  for (auto [d, attr] : llvm::enumerate(offsets.getAsRange<IntegerAttr>())) {
    int64_t offset = attr.getInt();
    if (whole.getDims()[d] != LaneDim::None && offset % kLaneDimExtent != 0)
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
  if (failed(positions) || op.hasNonUnitStrides() || whole.getDims() != part.getDims())
    return op.emitOpError("expected a slice that starts in steps of ")
           << kLaneDimExtent << ", got " << op.getOffsets() << " of " << whole.str();
  Value source = get(op.getSource(), whole);
  SmallVector<Value> elements =
      llvm::map_to_vector(*positions, [&](int64_t position) { return extract(source, position); });
  define(op.getResult(), fromElements(elements, op.getSourceVectorType().getElementType()), part);
  return success();
}

LogicalResult Distributor::visitInsertSlice(vector::InsertStridedSliceOp op) {
  const FragmentLayout &whole = layouts[op.getResult()];
  FragmentLayout part(op.getSourceVectorType().getShape(), whole.getDims());
  FailureOr<SmallVector<int64_t>> positions = getPositions(whole, part, op.getOffsets());
  if (failed(positions) || op.hasNonUnitStrides() || !part.isValid())
    return op.emitOpError("expected a slice in steps of ")
           << kLaneDimExtent << ", got " << op.getSourceVectorType() << " at " << op.getOffsets();
  Value source = get(op.getValueToStore(), part), dest = get(op.getDest(), whole);
  SmallVector<Value> elements;
  for (int64_t flat = 0; flat < whole.numLocal(); ++flat)
    elements.push_back(extract(dest, flat));
  for (auto [flat, position] : llvm::enumerate(*positions))
    elements[position] = extract(source, flat);
  define(op.getResult(), fromElements(elements, op.getSourceVectorType().getElementType()), whole);
  return success();
}

/// Whether a comparison holds for any element: one by one, since LLVM would make numbers of
/// vectors of conditions, then a vote of the warp.
LogicalResult Distributor::visitAny(vector::MultiDimReductionOp op) {
  auto compare = op.getSource().getDefiningOp<arith::CmpFOp>();
  if (!compare)
    return op.emitOpError("expected a comparison's result");
  const FragmentLayout &layout = layouts[op.getSource()];
  Value lhs = get(compare.getLhs(), layout), rhs = get(compare.getRhs(), layout), any;
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
  const FragmentLayout &layout = layouts[op.getResult()];
  int64_t reduced = op.isReducedDim(0) ? 0 : 1, kept = 1 - reduced;
  FragmentLayout natural({source.getShape()[kept]}, {source.getDims()[kept]});
  Value value = get(op.getSource(), source), acc = get(op.getAcc(), natural);

  auto finish = [&](Value reduced) {
    Fragment fragment{reduced, natural};
    if (!(natural == layout))
      fragment = convert(fragment, layout);
    define(op.getResult(), fragment.value, fragment.layout);
    return success();
  };

  auto widened = op.getSource().getDefiningOp<arith::ExtFOp>();
  if (widened && op.getKind() == vector::CombiningKind::ADD && reduced == 1)
    if (Value sums = sumRowsByMma({get(widened.getIn(), source), source}, acc))
      return finish(sums);

  SmallVector<int64_t> masks;
  if (source.getDims()[reduced] == LaneDim::Quad)
    masks = {1, 2};
  else if (source.getDims()[reduced] == LaneDim::Group)
    masks = {4, 8, 16};
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
  return finish(fromElements(results, element));
}

LogicalResult Distributor::visitStep(vector::StepOp op) {
  const FragmentLayout &layout = layouts[op.getResult()];
  SmallVector<Value> elements;
  for (int64_t i = 0; i < layout.numLocal(); ++i)
    elements.push_back(coordinate(layout, 0, i));
  define(op.getResult(), fromElements(elements, b.getIndexType()), layout);
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
  define(op->getResult(0), fromElements(elements, b.getI1Type()), layout);
  return success();
}
