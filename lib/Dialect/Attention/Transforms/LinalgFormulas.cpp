// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LinalgFormulas.h"

using namespace mlir;
using namespace elfatt::attention;
using utils::IteratorType;

LinalgFormulas::LinalgFormulas(OpBuilder &b, ViewOpInterface op)
    : builder(op->getLoc(), b), ranges(getMixedLoopRanges(builder, op)), type(getComputeType(op)) {}

/// Where `map` holds constants: the box of `source` there, of extent 1.
static void constantBox(ImplicitLocOpBuilder &b, Value source, AffineMap map,
                        SmallVector<OpFoldResult> &offsets, SmallVector<OpFoldResult> &sizes,
                        SmallVector<int64_t> &keptShape) {
  auto sourceType = cast<RankedTensorType>(source.getType());
  unsigned leading = sourceType.getRank() - map.getNumResults();
  sizes = tensor::getMixedSizes(b, b.getLoc(), source);
  offsets.assign(sourceType.getRank(), b.getIndexAttr(0));
  keptShape.assign(sourceType.getShape().begin(), sourceType.getShape().begin() + leading);
  for (auto [position, expr] : llvm::enumerate(map.getResults())) {
    unsigned at = leading + position;
    if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
      offsets[at] = b.getIndexAttr(constant.getValue());
      sizes[at] = b.getIndexAttr(1);
    } else {
      keptShape.push_back(sourceType.getDimSize(at));
    }
  }
}

static bool hasConstants(AffineMap map) {
  return llvm::any_of(map.getResults(), llvm::IsaPred<AffineConstantExpr>);
}

static SmallVector<unsigned> dimsOf(AffineMap map) {
  SmallVector<unsigned> dims;
  for (AffineExpr expr : map.getResults())
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      dims.push_back(dim.getPosition());
  return dims;
}

Term LinalgFormulas::read(Value operand, AffineMap map) {
  if (!hasConstants(map))
    return {operand, dimsOf(map)};
  SmallVector<OpFoldResult> offsets, sizes;
  SmallVector<int64_t> keptShape;
  constantBox(builder, operand, map, offsets, sizes, keptShape);
  SmallVector<OpFoldResult> strides(sizes.size(), builder.getIndexAttr(1));
  Value slice = tensor::ExtractSliceOp::create(
      builder, RankedTensorType::get(keptShape, getElementTypeOrSelf(operand)), operand, offsets,
      sizes, strides);
  return {slice, dimsOf(map)};
}

Value LinalgFormulas::extend(ImplicitLocOpBuilder &b, Value x) const {
  auto have = dyn_cast<FloatType>(x.getType());
  if (!have || have == type)
    return x;
  if (have.getIntOrFloatBitWidth() > type.getIntOrFloatBitWidth())
    return arith::TruncFOp::create(b, type, x);
  return arith::ExtFOp::create(b, type, x);
}

Value LinalgFormulas::generic(ArrayRef<unsigned> dims, unsigned numParallel, ArrayRef<Term> inputs,
                              Term out, OutElement outElement, PointFormula formula) {
  auto mapOf = [&](const Term &term) {
    SmallVector<unsigned> positions;
    for (unsigned dim : term.dims)
      positions.push_back(llvm::find(dims, dim) - dims.begin());
    return AffineMap::getMultiDimMapWithTargets(dims.size(), positions, builder.getContext());
  };
  SmallVector<AffineMap> maps = llvm::map_to_vector(inputs, mapOf);
  maps.push_back(mapOf(out));
  SmallVector<Value> tensors =
      llvm::map_to_vector(inputs, [](const Term &term) { return term.tensor; });
  SmallVector<IteratorType> iterators(numParallel, IteratorType::parallel);
  iterators.resize(dims.size(), IteratorType::reduction);
  auto op = linalg::GenericOp::create(
      builder, out.tensor.getType(), tensors, out.tensor, maps, iterators,
      [&](OpBuilder &nested, Location loc, ValueRange arguments) {
        ImplicitLocOpBuilder b(loc, nested);
        SmallVector<Value> elements;
        for (Value argument : outElement == OutElement::Given ? arguments : arguments.drop_back())
          elements.push_back(extend(b, argument));
        if (outElement == OutElement::Indices)
          for (unsigned dim = 0; dim < dims.size(); ++dim)
            elements.push_back(linalg::IndexOp::create(b, dim));
        linalg::YieldOp::create(b, formula(b, elements));
      });
  return op.getResult(0);
}

static SmallVector<OpFoldResult> pick(ArrayRef<OpFoldResult> ranges, ArrayRef<unsigned> dims) {
  return llvm::map_to_vector(dims, [&](unsigned dim) { return ranges[dim]; });
}

Term LinalgFormulas::map(ArrayRef<unsigned> dims, ArrayRef<Term> inputs, PointFormula formula) {
  Term out = {tensor::EmptyOp::create(builder, pick(ranges, dims), type),
              SmallVector<unsigned>(dims)};
  return {generic(dims, dims.size(), inputs, out, OutElement::Unused, formula), out.dims};
}

Term LinalgFormulas::mapWithIndices(ArrayRef<unsigned> dims, ArrayRef<Term> inputs,
                                    PointFormula formula) {
  Term out = {tensor::EmptyOp::create(builder, pick(ranges, dims), type),
              SmallVector<unsigned>(dims)};
  return {generic(dims, dims.size(), inputs, out, OutElement::Indices, formula), out.dims};
}

Term LinalgFormulas::reduce(Term start, ArrayRef<Term> inputs, PointFormula formula) {
  SmallVector<unsigned> dims = start.dims;
  for (const Term &input : inputs)
    for (unsigned dim : input.dims)
      if (!llvm::is_contained(dims, dim))
        dims.push_back(dim);
  return {generic(dims, start.dims.size(), inputs, start, OutElement::Given, formula), start.dims};
}

Term LinalgFormulas::addSum(Term start, Term x) {
  return reduce(start, {x}, [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
    return arith::AddFOp::create(b, v[1], v[0]);
  });
}

Term LinalgFormulas::maxWith(Term start, Term x) {
  return reduce(start, {x}, [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
    return arith::MaximumFOp::create(b, v[1], v[0]);
  });
}

Term LinalgFormulas::addProduct(Term start, Term a, Term b) {
  return reduce(start, {a, b}, [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
    return arith::AddFOp::create(b, v[2], arith::MulFOp::create(b, v[0], v[1]));
  });
}

Term LinalgFormulas::contract(ArrayRef<unsigned> dims, Term a, Term b) {
  return addProduct(fill(dims, 0.0), a, b);
}

Term LinalgFormulas::fill(ArrayRef<unsigned> dims, double value) {
  Value empty = tensor::EmptyOp::create(builder, pick(ranges, dims), type);
  Value constant = arith::ConstantOp::create(builder, builder.getFloatAttr(type, value));
  return {linalg::FillOp::create(builder, constant, empty).getResult(0),
          SmallVector<unsigned>(dims)};
}

Term LinalgFormulas::softmax(Term x, ArrayRef<unsigned> over, bool zeroMasked) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  SmallVector<unsigned> kept;
  for (unsigned dim : x.dims)
    if (!llvm::is_contained(over, dim))
      kept.push_back(dim);
  Term max = maxWith(fill(kept, -kInfinity), x);
  Term p = map(x.dims, {x, max}, [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
    return math::ExpOp::create(b, arith::SubFOp::create(b, v[0], v[1]));
  });
  Term sum = addSum(fill(kept, 0.0), p);
  if (!zeroMasked)
    return map(x.dims, {p, sum}, [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
      return arith::DivFOp::create(b, v[0], v[1]);
    });
  return map(x.dims, {p, sum, max}, [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
    Value masked = arith::ConstantOp::create(b, b.getFloatAttr(type, -kInfinity));
    Value zero = arith::ConstantOp::create(b, b.getFloatAttr(type, 0.0));
    Value isMasked = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, v[2], masked);
    return arith::SelectOp::create(b, isMasked, zero, arith::DivFOp::create(b, v[0], v[1]));
  });
}

Term LinalgFormulas::addDepthwiseConv(Term start, Term value, Term weight,
                                      ArrayRef<int64_t> gridDims) {
  // The taps are dims of their own, after those of `start`.
  MLIRContext *ctx = builder.getContext();
  unsigned numDims = start.dims.size(), axes = gridDims.size();
  auto at = [&](unsigned dim) {
    return getAffineDimExpr(llvm::find(start.dims, dim) - start.dims.begin(), ctx);
  };
  SmallVector<AffineExpr> valueExprs, weightExprs, startExprs;
  for (unsigned dim : value.dims) {
    auto axis = llvm::find(gridDims, int64_t(dim));
    valueExprs.push_back(axis == gridDims.end()
                             ? at(dim)
                             : at(dim) +
                                   getAffineDimExpr(numDims + (axis - gridDims.begin()), ctx));
  }
  for (unsigned axis = 0; axis < axes; ++axis)
    weightExprs.push_back(getAffineDimExpr(numDims + axis, ctx));
  for (unsigned dim : weight.dims)
    weightExprs.push_back(at(dim));
  for (unsigned dim : start.dims)
    startExprs.push_back(at(dim));
  SmallVector<AffineMap> maps;
  for (ArrayRef<AffineExpr> exprs : {valueExprs, weightExprs, startExprs})
    maps.push_back(AffineMap::get(numDims + axes, 0, exprs, ctx));
  SmallVector<IteratorType> iterators(numDims, IteratorType::parallel);
  iterators.append(axes, IteratorType::reduction);
  auto conv = linalg::GenericOp::create(
      builder, start.tensor.getType(), ValueRange{value.tensor, weight.tensor}, start.tensor, maps,
      iterators, [&](OpBuilder &nested, Location loc, ValueRange v) {
        ImplicitLocOpBuilder b(loc, nested);
        Value product = arith::MulFOp::create(b, extend(b, v[0]), extend(b, v[1]));
        linalg::YieldOp::create(b, ValueRange(arith::AddFOp::create(b, v[2], product)));
      });
  return {conv.getResult(0), start.dims};
}

Value LinalgFormulas::finish(Value result, Value init, AffineMap map) {
  if (!hasConstants(map))
    return result;
  SmallVector<OpFoldResult> offsets, sizes;
  SmallVector<int64_t> keptShape;
  constantBox(builder, init, map, offsets, sizes, keptShape);
  SmallVector<OpFoldResult> strides(sizes.size(), builder.getIndexAttr(1));
  return tensor::InsertSliceOp::create(builder, result, init, offsets, sizes, strides);
}

Value LinalgFormulas::write(Term x, Value init, AffineMap map) {
  Type elementType = getElementTypeOrSelf(init);
  Term out = read(init, map);
  if (elementType == type && x.dims == out.dims) {
    // `init` may have a dynamic dim where another operand tells its extent.
    if (x.tensor.getType() != out.tensor.getType())
      x.tensor = tensor::CastOp::create(builder, out.tensor.getType(), x.tensor);
    return finish(x.tensor, init, map);
  }
  Value result = generic(out.dims, out.dims.size(), {x}, out, OutElement::Unused,
                         [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                           if (elementType == type)
                             return v[0];
                           return arith::TruncFOp::create(b, elementType, v[0]);
                         });
  return finish(result, init, map);
}

Value LinalgFormulas::writeProduct(Term a, Term b, Value init, AffineMap map) {
  // The product starts from a tensor of its own even where it could start in its
  // part of `init`: IREE 3.13 fails where it fuses into such a part.
  return write(contract(dimsOf(map), a, b), init, map);
}
