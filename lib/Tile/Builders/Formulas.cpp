// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Formulas.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Matchers.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace elfatt::tile;

static constexpr double kMinusInf = -std::numeric_limits<double>::infinity();

/// Weights that are not rounded to f16 are at most 2^-kHeadroom, so that sums of their
/// products with values near the largest number do not overflow before they are divided by the
/// weights' sum.
static constexpr double kHeadroom = 24;

/// Up to these levels rounding leaves at most 2^32 of the largest score, or 2^8 where weights are
/// rounded to f16, and scores beyond lie so far apart that one of them alone has a weight.
static constexpr double kLargestLevel = 1 << 29, kLargestLevelOfF16 = 1 << 27;
static constexpr double kLeastFactor = 0x1p-60;

static VectorType typeOf(Value vector) { return cast<VectorType>(vector.getType()); }

//===----------------------------------------------------------------------===//
// Building blocks
//===----------------------------------------------------------------------===//

arith::FastMathFlagsAttr Formulas::fused() const {
  return arith::FastMathFlagsAttr::get(b.getContext(), arith::FastMathFlags::contract);
}

VectorType Formulas::vectorType(ArrayRef<int64_t> shape) const {
  return VectorType::get(shape, type);
}

Value Formulas::constant(double value, Type shapedOrScalar) {
  if (auto vector = dyn_cast<VectorType>(shapedOrScalar))
    return arith::ConstantOp::create(
        b,
        DenseElementsAttr::get(vector, Attribute(b.getFloatAttr(vector.getElementType(), value))));
  return arith::ConstantOp::create(b, b.getFloatAttr(shapedOrScalar, value));
}

Value Formulas::log2e() { return constant(std::log2(std::exp(1.0)), type); }

Value Formulas::splat(Value scalar, VectorType vector) {
  return vector::BroadcastOp::create(b, vector, scalar);
}

Value Formulas::alongRows(Value perRow, int64_t columns) {
  VectorType vector = typeOf(perRow);
  int64_t rows = vector.getDimSize(0);
  Value column =
      vector::ShapeCastOp::create(b, VectorType::get({rows, 1}, vector.getElementType()), perRow);
  return vector::BroadcastOp::create(b, VectorType::get({rows, columns}, vector.getElementType()),
                                     column);
}

Value Formulas::alongColumns(Value perColumn, int64_t rows) {
  VectorType vector = typeOf(perColumn);
  return vector::BroadcastOp::create(
      b, VectorType::get({rows, vector.getDimSize(0)}, vector.getElementType()), perColumn);
}

Value Formulas::widen(Value tile) {
  VectorType vector = typeOf(tile);
  if (vector.getElementType() == type)
    return tile;
  return arith::ExtFOp::create(b, vectorType(vector.getShape()), tile);
}

Value Formulas::narrow(Value tile, Type elementType) {
  VectorType vector = typeOf(tile);
  if (vector.getElementType() == elementType)
    return tile;
  auto target = VectorType::get(vector.getShape(), elementType);
  if (elementType.getIntOrFloatBitWidth() > vector.getElementTypeBitWidth())
    return arith::ExtFOp::create(b, target, tile);
  return arith::TruncFOp::create(b, target, tile);
}

Value Formulas::reduceMax(Value tile, bool perRow, Value with) {
  VectorType vector = typeOf(tile);
  int64_t extent = vector.getDimSize(perRow ? 0 : 1);
  Value init = with ? with : constant(kMinusInf, vectorType({extent}));
  return vector::MultiDimReductionOp::create(b, tile, init, ArrayRef<bool>{!perRow, perRow},
                                             vector::CombiningKind::MAXNUMF);
}

Value Formulas::reduceSum(Value tile, bool perRow, Value with) {
  VectorType vector = typeOf(tile);
  int64_t extent = vector.getDimSize(perRow ? 0 : 1);
  Value init = with ? with : constant(0.0, vectorType({extent}));
  return vector::MultiDimReductionOp::create(b, tile, init, ArrayRef<bool>{!perRow, perRow},
                                             vector::CombiningKind::ADD);
}

Value Formulas::indices(Value base, int64_t extent) {
  Type i32 = b.getI32Type();
  Value step = vector::StepOp::create(b, VectorType::get({extent}, b.getIndexType()));
  step = arith::IndexCastOp::create(b, VectorType::get({extent}, i32), step);
  Value start = arith::IndexCastOp::create(b, i32, base);
  return arith::AddIOp::create(b, splat(start, typeOf(step)), step);
}

Value Formulas::slice(Value tile, int64_t row, int64_t column, int64_t height, int64_t width) {
  return vector::ExtractStridedSliceOp::create(b, tile, ArrayRef<int64_t>{row, column},
                                               ArrayRef<int64_t>{height, width},
                                               ArrayRef<int64_t>{1, 1});
}

Value Formulas::insertColumns(Value part, Value tile, int64_t column) {
  return vector::InsertStridedSliceOp::create(b, part, tile, ArrayRef<int64_t>{0, column},
                                              ArrayRef<int64_t>{1, 1});
}

Value Formulas::maskColumns(Value scores, Value bound, int64_t first) {
  VectorType vector = typeOf(scores);
  if (first > 0) {
    int64_t rows = vector.getDimSize(0), rest = vector.getDimSize(1) - first;
    if (rest == 0)
      return scores;
    Value part = slice(scores, 0, first, rows, rest);
    Value start = arith::ConstantIndexOp::create(b, first);
    part = maskColumns(part, b.createOrFold<arith::SubIOp>(bound, start));
    return insertColumns(part, scores, first);
  }
  Value zero = arith::ConstantIndexOp::create(b, 0);
  Value columns = indices(zero, vector.getDimSize(1));
  Value limit = splat(arith::IndexCastOp::create(b, b.getI32Type(), bound), typeOf(columns));
  Value valid = arith::CmpIOp::create(b, arith::CmpIPredicate::slt, columns, limit);
  valid = alongColumns(valid, vector.getDimSize(0));
  return arith::SelectOp::create(b, valid, scores, constant(kMinusInf, vector));
}

Value Formulas::anyNaN(Value tile) {
  Value isNaN = arith::CmpFOp::create(b, arith::CmpFPredicate::UNO, tile, tile);
  Value no = arith::ConstantIntOp::create(b, 0, 1);
  return vector::MultiDimReductionOp::create(b, isNaN, no, ArrayRef<bool>{true, true},
                                             vector::CombiningKind::OR);
}

Value Formulas::finiteOrZero(Value max) {
  Value minusInf = constant(kMinusInf, max.getType());
  Value empty = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, max, minusInf);
  return arith::SelectOp::create(b, empty, constant(0.0, max.getType()), max);
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

Value Formulas::product(Product kind, Value lhs, Value rhs, Value acc) {
  AffineExpr i, j, k;
  bindDims(b.getContext(), i, j, k);
  bool lhsTransposed = kind == Product::TN, rhsTransposed = kind == Product::NT;
  auto map = [&](AffineExpr x, AffineExpr y) {
    return AffineMap::get(3, 0, {x, y}, b.getContext());
  };
  SmallVector<AffineMap> maps = {lhsTransposed ? map(k, i) : map(i, k),
                                 rhsTransposed ? map(j, k) : map(k, j), map(i, j)};
  SmallVector<Attribute> iterators = {
      vector::IteratorTypeAttr::get(b.getContext(), vector::IteratorType::parallel),
      vector::IteratorTypeAttr::get(b.getContext(), vector::IteratorType::parallel),
      vector::IteratorTypeAttr::get(b.getContext(), vector::IteratorType::reduction)};
  return vector::ContractionOp::create(b, lhs, rhs, acc, b.getAffineMapArrayAttr(maps),
                                       b.getArrayAttr(iterators));
}

Value Formulas::product(Product kind, Value lhs, Value rhs) {
  int64_t rows = typeOf(lhs).getDimSize(kind == Product::TN ? 1 : 0);
  int64_t columns = typeOf(rhs).getDimSize(kind == Product::NT ? 0 : 1);
  return product(kind, lhs, rhs, constant(0.0, vectorType({rows, columns})));
}

//===----------------------------------------------------------------------===//
// Softmax attention
//===----------------------------------------------------------------------===//

Value Formulas::scores(Value query, Value keys, bool keysTransposed) {
  return product(keysTransposed ? Product::NN : Product::NT, query, keys);
}

Value Formulas::pairedScores(Value query, Value keys) {
  AffineExpr i, j, k, p;
  bindDims(b.getContext(), i, j, k, p);
  auto map = [&](ArrayRef<AffineExpr> exprs) {
    return AffineMap::get(4, 0, exprs, b.getContext());
  };
  SmallVector<Attribute> iterators;
  for (auto type : {vector::IteratorType::parallel, vector::IteratorType::parallel,
                    vector::IteratorType::reduction, vector::IteratorType::reduction})
    iterators.push_back(vector::IteratorTypeAttr::get(b.getContext(), type));
  Value zero = constant(0.0, vectorType({typeOf(query).getDimSize(0), typeOf(keys).getDimSize(1)}));
  return vector::ContractionOp::create(
      b, query, keys, zero, b.getAffineMapArrayAttr({map({i, k, p}), map({k, j, p}), map({i, j})}),
      b.getArrayAttr(iterators));
}

Value Formulas::weight(Value x, Value pivot, Value factor, bool headroom) {
  // Without a factor the pivot takes the headroom, once for many elements.
  auto constantOf = [&](Value like, double value) { return constant(value, like.getType()); };
  if (headroom && !factor)
    pivot = arith::AddFOp::create(b, pivot, constantOf(pivot, kHeadroom));
  if (pivot.getType() != x.getType())
    pivot = alongRows(pivot, typeOf(x).getDimSize(1));
  Value power = arith::SubFOp::create(b, x, pivot);
  if (factor)
    power = arith::MulFOp::create(b, power, splat(factor, typeOf(power)), fused());
  if (headroom && factor)
    power = arith::SubFOp::create(b, power, constantOf(power, kHeadroom), fused());
  return math::Exp2Op::create(b, power);
}

std::optional<Formulas::Pivot> Formulas::findPivot(Value max, Value factor, bool headroom) {
  APFloat known(0.0);
  if (!fusesWeights || !type.isF32() || !factor || !matchPattern(factor, m_ConstantFloat(&known)))
    return std::nullopt;
  const double by = known.convertToDouble();
  if (!(by > kLeastFactor && by < 2))
    return std::nullopt;
  const double largest = headroom ? kLargestLevel : kLargestLevelOfF16;
  VectorType rows = typeOf(max);
  Value size = math::AbsFOp::create(b, max);
  Value isUsual =
      arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, size, constant(largest / by, rows));
  auto either = [&](double usual, double large) {
    return arith::SelectOp::create(b, isUsual, constant(usual, rows), constant(large, rows));
  };
  Pivot pivot;
  // No more than 1, by which no score overflows.
  pivot.factor = either(by, std::exp2(std::min(0.0, std::round(std::log2(by)))));
  pivot.offset = either(headroom ? kHeadroom : 0, 0);
  pivot.level = levelOf(max, pivot);
  pivot.shift = arith::NegFOp::create(b, pivot.level);
  return pivot;
}

Value Formulas::levelOf(Value max, const Pivot &pivot) {
  return math::FmaOp::create(b, max, pivot.factor, pivot.offset);
}

Value Formulas::weight(Value x, const Pivot &pivot) {
  const int64_t columns = typeOf(x).getDimSize(1);
  return math::Exp2Op::create(b, math::FmaOp::create(b, x, alongRows(pivot.factor, columns),
                                                     alongRows(pivot.shift, columns)));
}

Value Formulas::rescale(Value before, Value max, Value factor, const std::optional<Pivot> &pivot) {
  if (!pivot)
    return weight(before, max, factor, /*headroom=*/false);
  return math::Exp2Op::create(b, arith::SubFOp::create(b, levelOf(before, *pivot), pivot->level));
}

Value Formulas::readAll(Value buffer) {
  auto shape = cast<MemRefType>(buffer.getType()).getShape();
  Value zero = arith::ConstantIndexOp::create(b, 0);
  SmallVector<Value> indices(shape.size(), zero);
  SmallVector<bool> inBounds(shape.size(), true);
  return vector::TransferReadOp::create(b, vectorType(shape), buffer, indices, constant(0.0, type),
                                        ArrayRef<bool>(inBounds));
}

void Formulas::writeAll(Value tile, Value buffer) {
  Value zero = arith::ConstantIndexOp::create(b, 0);
  SmallVector<Value> indices(typeOf(tile).getRank(), zero);
  SmallVector<bool> inBounds(typeOf(tile).getRank(), true);
  vector::TransferWriteOp::create(b, tile, buffer, indices, ArrayRef<bool>(inBounds));
}

void Formulas::forEachRow(Value matrix, function_ref<Value(Value row, Value index)> body) {
  auto shape = cast<MemRefType>(matrix.getType()).getShape();
  Value zero = arith::ConstantIndexOp::create(b, 0), one = arith::ConstantIndexOp::create(b, 1);
  auto loop = scf::ForOp::create(b, zero, arith::ConstantIndexOp::create(b, shape[0]), one);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value index = loop.getInductionVar();
  Value row =
      vector::TransferReadOp::create(b, vectorType({1, shape[1]}), matrix, ValueRange{index, zero},
                                     constant(0.0, type), ArrayRef<bool>{true, true});
  if (Value instead = body(row, index))
    vector::TransferWriteOp::create(b, instead, matrix, ValueRange{index, zero},
                                    ArrayRef<bool>{true, true});
}

OnlineState Formulas::noKeys(int64_t rows, int64_t values) {
  VectorType perRow = vectorType({rows});
  return {constant(0.0, vectorType({rows, values})), constant(kMinusInf, perRow),
          constant(0.0, perRow)};
}

OnlineState Formulas::online(const OnlineState *state, Value scores, Value value, ScoreBase base,
                             Value scale, const ScoreScratch *scratch) {
  Value factor = scale;
  if (base == ScoreBase::E)
    factor = log2e();
  bool headroom = scratch || !typeOf(value).getElementType().isF16();
  auto writeRow = [&](Value number, Value index) {
    vector::TransferWriteOp::create(b, number, scratch->perRow, ValueRange{index},
                                    ArrayRef<bool>{true});
  };
  // What rows hold of the state is one more of their elements.
  const bool joins = fusesWeights && state;
  if (scratch)
    writeAll(scores, scratch->scores);
  Value max = reduceMax(scores, /*perRow=*/true, joins ? state->max : Value());
  if (state && !joins)
    max = arith::MaxNumFOp::create(b, state->max, max);
  Value pivot = finiteOrZero(max), operand, sum;
  if (scratch && !scratch->perRow)
    return inColumns(state, max, pivot, factor, headroom, *scratch);
  const std::optional<Pivot> shared = scratch ? std::nullopt : findPivot(pivot, factor, headroom);
  Value rescaled = state ? rescale(state->max, pivot, factor, shared) : Value();
  Value before = state ? arith::MulFOp::create(b, rescaled, state->sum).getResult() : Value();
  if (scratch) {
    writeAll(pivot, scratch->perRow);
    forEachRow(scratch->scores, [&](Value row, Value index) {
      Value ofRow =
          vector::TransferReadOp::create(b, vectorType({1}), scratch->perRow, ValueRange{index},
                                         constant(0.0, type), ArrayRef<bool>{true});
      Value weights = weight(row, ofRow, factor, headroom);
      writeRow(reduceSum(weights, /*perRow=*/true), index);
      return weights;
    });
    sum = readAll(scratch->perRow);
    operand = readAll(scratch->scores);
    value = scratch->readValue(arith::ConstantIndexOp::create(b, 0), typeOf(scores).getDimSize(1));
  } else {
    Value weights = shared ? weight(scores, *shared) : weight(scores, pivot, factor, headroom);
    operand = narrow(weights, typeOf(value).getElementType());
    sum = reduceSum(widen(operand), /*perRow=*/true, joins ? before : Value());
  }
  if (!state)
    return {product(Product::NN, operand, value), max, sum};
  if (!joins)
    sum = arith::AddFOp::create(b, before, sum);
  Value acc =
      arith::MulFOp::create(b, alongRows(rescaled, typeOf(state->acc).getDimSize(1)), state->acc);
  return {product(Product::NN, operand, value, acc), max, sum};
}

/// Weights of some keys are made before the products of those that precede them: a core computes
/// both at once, and does so in the order of the program where both want the same of it.
OnlineState Formulas::inColumns(const OnlineState *state, Value max, Value pivot, Value factor,
                                bool headroom, const ScoreScratch &scratch) {
  auto shape = cast<MemRefType>(scratch.scores.getType()).getShape();
  const int64_t rows = shape[0], columns = scratch.columns;
  VectorType partial = vectorType({rows, columns});
  Value zero = arith::ConstantIndexOp::create(b, 0);
  Value step = arith::ConstantIndexOp::create(b, columns);
  Value last = arith::ConstantIndexOp::create(b, shape[1] - columns);
  SmallVector<bool> inBounds(2, true);
  auto readScores = [&](Value first) -> Value {
    return vector::TransferReadOp::create(b, partial, scratch.scores, ValueRange{zero, first},
                                          constant(0.0, type), ArrayRef<bool>(inBounds));
  };
  auto makeWeights = [&](Value first) {
    Value weights = weight(readScores(first), pivot, factor, headroom);
    vector::TransferWriteOp::create(b, weights, scratch.scores, ValueRange{zero, first},
                                    ArrayRef<bool>(inBounds));
    return weights;
  };
  auto addProduct = [&](Value first, Value value, Value to) {
    return product(Product::NN, readScores(first), value, to);
  };
  Value lastValue = scratch.readValue(last, columns), acc, rescaled;
  const int64_t values = typeOf(lastValue).getDimSize(1);
  if (state) {
    rescaled = weight(state->max, pivot, factor, /*headroom=*/false);
    acc = arith::MulFOp::create(b, alongRows(rescaled, values), state->acc);
  } else {
    acc = constant(0.0, vectorType({rows, values}));
  }
  auto loop = scf::ForOp::create(b, zero, last, step, ValueRange{acc, makeWeights(zero)});
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value first = loop.getInductionVar();
    Value weights = makeWeights(arith::AddIOp::create(b, first, step));
    Value sums = arith::AddFOp::create(b, loop.getRegionIterArg(1), weights);
    Value value = scratch.readValue(first, columns);
    acc = addProduct(first, value, loop.getRegionIterArg(0));
    scf::YieldOp::create(b, ValueRange{acc, sums});
  }
  acc = addProduct(last, lastValue, loop.getResult(0));
  Value sum = reduceSum(loop.getResult(1), /*perRow=*/true);
  if (state)
    sum = arith::AddFOp::create(b, arith::MulFOp::create(b, rescaled, state->sum), sum);
  return {acc, max, sum};
}

OnlineState Formulas::join(const OnlineState &first, const OnlineState &second, ScoreBase base) {
  Value factor = base == ScoreBase::E ? log2e() : Value();
  Value max = arith::MaxNumFOp::create(b, first.max, second.max);
  Value pivot = finiteOrZero(max);
  OnlineState joined{Value(), max, Value()};
  for (const OnlineState *state : {&first, &second}) {
    Value rescaled = weight(state->max, pivot, factor, /*headroom=*/false);
    Value sum = arith::MulFOp::create(b, rescaled, state->sum);
    Value acc =
        arith::MulFOp::create(b, alongRows(rescaled, typeOf(state->acc).getDimSize(1)), state->acc);
    joined.sum = joined.sum ? arith::AddFOp::create(b, joined.sum, sum).getResult() : sum;
    joined.acc = joined.acc ? arith::AddFOp::create(b, joined.acc, acc).getResult() : acc;
  }
  return joined;
}

OnlineState Formulas::settle(const OnlineState &state, Type weightType, ScoreBase base) {
  Value factor = base == ScoreBase::E ? log2e() : Value();
  Value max = finiteOrZero(state.max);
  const std::optional<Pivot> shared = findPivot(max, factor, /*headroom=*/!weightType.isF16());
  if (!shared)
    return state;
  // 2^(level - offset - factor max), whose exponent is what the level was rounded by.
  Value rounding = math::FmaOp::create(b, max, shared->factor, shared->shift);
  rounding = arith::AddFOp::create(b, rounding, shared->offset);
  Value by = math::Exp2Op::create(b, arith::NegFOp::create(b, rounding));
  Value columns = alongRows(by, typeOf(state.acc).getDimSize(1));
  return {arith::MulFOp::create(b, columns, state.acc), state.max,
          arith::MulFOp::create(b, by, state.sum)};
}

Value Formulas::finalize(const OnlineState &state, bool emptyRowsAreZero) {
  VectorType perRow = typeOf(state.sum);
  int64_t columns = typeOf(state.acc).getDimSize(1);
  Value inverse = arith::DivFOp::create(b, constant(1.0, perRow), state.sum);
  if (emptyRowsAreZero) {
    Value zero = constant(0.0, perRow);
    Value empty = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, state.sum, zero);
    inverse = arith::SelectOp::create(b, empty, zero, inverse);
  }
  return arith::MulFOp::create(b, state.acc, alongRows(inverse, columns));
}

//===----------------------------------------------------------------------===//
// Linear attention
//===----------------------------------------------------------------------===//

Formulas::ContextStep Formulas::contextStep(Value max, Value sum, Value key, Value valid,
                                            Value scratch, Value pivots) {
  VectorType vector = typeOf(key);
  int64_t tokens = vector.getDimSize(0), channels = vector.getDimSize(1);
  if (valid)
    key = arith::SelectOp::create(b, alongRows(valid, channels), key, constant(kMinusInf, vector));
  Value newMax = arith::MaxNumFOp::create(b, max, reduceMax(key, /*perRow=*/false));
  Value pivot = finiteOrZero(newMax), weights;
  if (scratch) {
    writeAll(key, scratch);
    writeAll(pivot, pivots);
    forEachRow(scratch, [&](Value row, Value) {
      return weight(row, alongColumns(readAll(pivots), 1), log2e(), /*headroom=*/true);
    });
    weights = readAll(scratch);
  } else {
    weights = weight(key, alongColumns(pivot, tokens), log2e(), /*headroom=*/true);
  }
  Value rescale = weight(max, pivot, log2e(), /*headroom=*/false);
  Value newSum = arith::AddFOp::create(b, arith::MulFOp::create(b, rescale, sum),
                                       reduceSum(weights, /*perRow=*/false));
  return {weights, rescale, newMax, newSum};
}

std::pair<Value, Value> Formulas::unnormalizedSoftmax(Value query, int64_t validColumns,
                                                      Type weightType) {
  if (validColumns < typeOf(query).getDimSize(1))
    query = maskColumns(query, arith::ConstantIndexOp::create(b, validColumns));
  Value pivot = finiteOrZero(reduceMax(query, /*perRow=*/true)), factor = log2e();
  const bool headroom = !weightType.isF16();
  const std::optional<Pivot> shared = findPivot(pivot, factor, headroom);
  Value weights = shared ? weight(query, *shared) : weight(query, pivot, factor, headroom);
  weights = narrow(weights, weightType);
  return {weights, reduceSum(widen(weights), /*perRow=*/true)};
}

Value Formulas::apply(Value query, int64_t validColumns, ValueRange contexts) {
  Type weightType = typeOf(contexts.front()).getElementType();
  auto [weights, sum] = unnormalizedSoftmax(widen(query), validColumns, weightType);
  Value acc = product(Product::NN, weights, contexts.front());
  for (Value rest : contexts.drop_front())
    acc = product(Product::NN, weights, rest, acc);
  return finalize({acc, Value(), sum}, /*emptyRowsAreZero=*/false);
}
