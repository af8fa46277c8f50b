// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Positions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

#include <cmath>

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Index;

/// Bounds on one reading: how deep, and how many scalars.
static constexpr unsigned kMaxDepth = 48;
static constexpr unsigned kMaxSteps = 512;
/// Indices and sizes stay below this; two of them add without overflow.
static constexpr int64_t kUnbounded = int64_t(1) << 61;

//===----------------------------------------------------------------------===//
// Linear functions
//===----------------------------------------------------------------------===//

static void addTerm(Linear &linear, unsigned atom, int64_t coefficient) {
  auto *at = llvm::lower_bound(linear.terms, std::pair(atom, INT64_MIN));
  if (at == linear.terms.end() || at->first != atom)
    at = linear.terms.insert(at, {atom, 0});
  at->second += coefficient;
  if (at->second == 0)
    linear.terms.erase(at);
}

Linear Linear::operator+(const Linear &other) const {
  Linear sum = *this;
  sum.constant += other.constant;
  for (auto [atom, coefficient] : other.terms)
    addTerm(sum, atom, coefficient);
  return sum;
}

Linear Linear::operator*(int64_t factor) const {
  Linear product;
  product.constant = constant * factor;
  if (factor != 0)
    for (auto [atom, coefficient] : terms)
      product.terms.push_back({atom, coefficient * factor});
  return product;
}

Linear Linear::complement() const {
  Linear result = *this * -1;
  --result.constant;
  return result;
}

std::optional<Linear> elfatt::raise::toLinear(const view::IndexSpace &space, const Index &index) {
  Index normal = space.normalize(index);
  Linear linear;
  linear.constant = normal.offset;
  for (const view::Term &term : normal.terms) {
    std::optional<int64_t> stride = term.stride.getStatic();
    if (!stride || *stride > kUnbounded)
      return std::nullopt;
    addTerm(linear, term.atom, *stride);
  }
  return linear;
}

/// The values that `linear` lies between.
static std::pair<int64_t, int64_t> getRange(const view::IndexSpace &space, const Linear &linear) {
  int64_t low = linear.constant, high = linear.constant;
  auto clamp = [](__int128 value) {
    return int64_t(std::clamp<__int128>(value, -kUnbounded, kUnbounded));
  };
  for (auto [atom, coefficient] : linear.terms) {
    std::optional<int64_t> extent = space.getExtent(atom).getStatic();
    __int128 last = __int128(coefficient) * (extent ? *extent - 1 : kUnbounded);
    (last < 0 ? low : high) = clamp((last < 0 ? low : high) + last);
  }
  return {low, high};
}

namespace {
/// A dense constant read along the dims that an element's indices move in.
struct ConstantTable {
  ElementsAttr values;
  TableRegion region;
  /// The indices in the region's dims, from 0 up.
  SmallVector<Linear> indices;

  static std::optional<ConstantTable> get(ScalarReader &reader, const view::Element &element);
};
} // namespace

std::optional<ConstantTable> ConstantTable::get(ScalarReader &reader,
                                                const view::Element &element) {
  ConstantTable table;
  if (!matchPattern(element.source, m_Constant(&table.values)) ||
      !ConstantTables::isReadable(table.values))
    return std::nullopt;
  if (table.values.isSplat())
    return table;
  int64_t stride = 1;
  ArrayRef<int64_t> shape = table.values.getShapedType().getShape();
  for (size_t dim = shape.size(); dim-- > 0; stride *= shape[dim]) {
    std::optional<Linear> linear = toLinear(reader.getSpace(), element.indices[dim]);
    if (!linear)
      return std::nullopt;
    auto [low, high] = getRange(reader.getSpace(), *linear);
    if (low < 0)
      return std::nullopt;
    // Of a dynamic extent it is known that it fits.
    high = std::min(high, shape[dim] - 1);
    if (low > high)
      return std::nullopt;
    table.region.base += stride * low;
    if (linear->terms.empty())
      continue;
    linear->constant -= low;
    table.indices.push_back(*linear);
    table.region.strides.push_back(stride);
    table.region.extents.push_back(high - low + 1);
  }
  // Outermost first.
  std::reverse(table.indices.begin(), table.indices.end());
  std::reverse(table.region.strides.begin(), table.region.strides.end());
  std::reverse(table.region.extents.begin(), table.region.extents.end());
  return table;
}

/// A constant whose values are a linear function of its indices.
static std::optional<Linear> readLinearTable(ScalarReader &reader, const view::Element &element) {
  std::optional<ConstantTable> table = ConstantTable::get(reader, element);
  if (!table)
    return std::nullopt;
  const std::optional<Ramp> &ramp = reader.getTables().getRamp(table->values, table->region);
  if (!ramp)
    return std::nullopt;
  Linear result;
  result.constant = ramp->origin;
  for (auto [index, slope] : llvm::zip_equal(table->indices, ramp->slopes))
    result = result + index * slope;
  return result;
}

namespace {
/// One reading, with the scalars that it may still look at.
struct Reading {
  ScalarReader &reader;
  unsigned steps = kMaxSteps;

  std::optional<Linear> linear(const Scalar &closed, unsigned depth);
  std::optional<Choice> choice(const Scalar &closed, unsigned depth);
  std::optional<Choice> compare(const Scalar &scalar, unsigned depth);
  bool positional(const Scalar &closed, unsigned depth);
};
} // namespace

static Attribute getScalarConstant(const Scalar &scalar) {
  Attribute attr;
  if (scalar.value)
    matchPattern(scalar.value, m_Constant(&attr));
  return attr;
}

std::optional<Linear> Reading::linear(const Scalar &closed, unsigned depth) {
  if (depth > kMaxDepth || steps == 0)
    return std::nullopt;
  --steps;
  Scalar scalar = reader.open(closed);
  if (scalar.element)
    return readLinearTable(reader, scalar.element);
  if (Attribute constant = getScalarConstant(scalar)) {
    std::optional<int64_t> value = getInteger(constant);
    return value ? std::optional(Linear{{}, *value}) : std::nullopt;
  }
  Operation *op = scalar.getOp();
  if (!op)
    return std::nullopt;
  if (auto index = dyn_cast<linalg::IndexOp>(op))
    return scalar.frame ? toLinear(reader.getSpace(), scalar.frame->loops[index.getDim()])
                        : std::nullopt;
  auto operand = [&](unsigned i) { return linear(reader.getOperand(scalar, i), depth + 1); };
  // Narrowing casts could wrap; indices in tensors do not reach that far.
  if (isa<arith::IndexCastOp, arith::ExtSIOp>(op))
    return operand(0);
  if (isa<arith::SIToFPOp, arith::ExtFOp>(op)) {
    std::optional<Linear> value = operand(0);
    if (!value || !isa<Float32Type, Float64Type>(scalar.getType()))
      return std::nullopt;
    auto [low, high] = getRange(reader.getSpace(), *value);
    bool isExact = low > -kMaxExactInFloat && high < kMaxExactInFloat;
    return isExact ? value : std::nullopt;
  }
  if (!isa<arith::AddIOp, arith::SubIOp, arith::MulIOp>(op))
    return std::nullopt;
  std::optional<Linear> a = operand(0), b = operand(1);
  if (!a || !b)
    return std::nullopt;
  if (isa<arith::AddIOp>(op))
    return *a + *b;
  if (isa<arith::SubIOp>(op))
    return *a + *b * -1;
  if (!a->terms.empty())
    std::swap(a, b);
  return a->terms.empty() && std::abs(a->constant) < kMaxExactInFloat
             ? std::optional(*b * a->constant)
             : std::nullopt;
}

std::optional<Linear> elfatt::raise::readLinear(ScalarReader &reader, const Scalar &scalar) {
  return Reading{reader}.linear(scalar, 0);
}

//===----------------------------------------------------------------------===//
// Choices
//===----------------------------------------------------------------------===//

/// The choice by `condition` >= 0, in the form with a first coefficient above 0; a
/// constant where the ranges decide.
static Choice makeChoice(ScalarReader &reader, Linear condition, TypedAttr ifTrue,
                         TypedAttr ifFalse) {
  auto [low, high] = getRange(reader.getSpace(), condition);
  if (low >= 0 || high < 0) {
    TypedAttr value = low >= 0 ? ifTrue : ifFalse;
    return {std::nullopt, value, value};
  }
  if (condition.terms.front().second < 0) {
    condition = condition.complement();
    std::swap(ifTrue, ifFalse);
  }
  return {condition, ifTrue, ifFalse};
}

/// A dense constant with one value on and below a diagonal, and another above.
static std::optional<Choice> readTriangle(ScalarReader &reader, const view::Element &element) {
  std::optional<ConstantTable> table = ConstantTable::get(reader, element);
  if (!table)
    return std::nullopt;
  const std::optional<Triangle> &triangle =
      reader.getTables().getTriangle(table->values, table->region);
  if (!triangle)
    return std::nullopt;
  if (table->indices.size() != 2)
    return Choice{std::nullopt, triangle->below, triangle->below};
  Linear condition = table->indices[0] + table->indices[1] * -1;
  condition.constant += triangle->diagonal;
  return makeChoice(reader, condition, triangle->below, triangle->above);
}

/// A comparison of two linear functions.
std::optional<Choice> Reading::compare(const Scalar &scalar, unsigned depth) {
  enum { LT, LE, GT, GE, EQ, NE } kind;
  if (auto integers = dyn_cast<arith::CmpIOp>(scalar.getOp())) {
    using enum arith::CmpIPredicate;
    switch (integers.getPredicate()) {
    case slt:
      kind = LT;
      break;
    case sle:
      kind = LE;
      break;
    case sgt:
      kind = GT;
      break;
    case sge:
      kind = GE;
      break;
    case eq:
      kind = EQ;
      break;
    case ne:
      kind = NE;
      break;
    default:
      return std::nullopt;
    }
  } else if (auto floats = dyn_cast<arith::CmpFOp>(scalar.getOp())) {
    using enum arith::CmpFPredicate;
    switch (floats.getPredicate()) {
    case OLT:
    case ULT:
      kind = LT;
      break;
    case OLE:
    case ULE:
      kind = LE;
      break;
    case OGT:
    case UGT:
      kind = GT;
      break;
    case OGE:
    case UGE:
      kind = GE;
      break;
    default:
      return std::nullopt;
    }
  } else {
    return std::nullopt;
  }
  std::optional<Linear> a = linear(reader.getOperand(scalar, 0), depth + 1),
                        b = linear(reader.getOperand(scalar, 1), depth + 1);
  if (!a || !b)
    return std::nullopt;
  if (kind == LT || kind == LE)
    std::swap(a, b);
  Linear difference = *a + *b * -1;
  Builder builder(scalar.getOp()->getContext());
  TypedAttr yes = builder.getBoolAttr(true), no = builder.getBoolAttr(false);
  if (kind == EQ || kind == NE) {
    auto [low, high] = getRange(reader.getSpace(), difference);
    if (low > 0 || high < 0 || (low == 0 && high == 0)) {
      TypedAttr value = ((low == 0 && high == 0) == (kind == EQ)) ? yes : no;
      return Choice{std::nullopt, value, value};
    }
    return std::nullopt;
  }
  if (kind == LT || kind == GT)
    --difference.constant;
  return makeChoice(reader, difference, yes, no);
}

/// `op` on constants.
static TypedAttr evaluate(Operation *op, ArrayRef<Attribute> operands) {
  if (isa<arith::ExtFOp, arith::TruncFOp>(op)) {
    auto number = dyn_cast<FloatAttr>(operands[0]);
    if (!number)
      return {};
    APFloat value = number.getValue();
    bool losesInfo;
    auto type = cast<FloatType>(op->getResult(0).getType());
    value.convert(type.getFloatSemantics(), APFloat::rmNearestTiesToEven, &losesInfo);
    return FloatAttr::get(type, value);
  }
  SmallVector<OpFoldResult> results;
  if (failed(op->fold(operands, results)) || results.size() != 1)
    return {};
  if (auto attr = dyn_cast<Attribute>(results.front()))
    return dyn_cast<TypedAttr>(attr);
  for (auto [operand, attr] : llvm::zip_equal(op->getOperands(), operands))
    if (operand == cast<Value>(results.front()))
      return cast<TypedAttr>(attr);
  return {};
}

std::optional<Choice> Reading::choice(const Scalar &closed, unsigned depth) {
  if (depth > kMaxDepth || steps == 0)
    return std::nullopt;
  --steps;
  Scalar scalar = reader.open(closed);
  if (scalar.element)
    return readTriangle(reader, scalar.element);
  if (auto constant = dyn_cast_or_null<TypedAttr>(getScalarConstant(scalar)))
    return Choice{std::nullopt, constant, constant};
  Operation *op = scalar.getOp();
  if (!op || op->getNumOperands() == 0 || op->getNumResults() != 1 || op->getNumRegions() != 0)
    return std::nullopt;
  SmallVector<std::optional<Choice>> operands;
  SmallVector<Attribute> ifTrue, ifFalse;
  std::optional<Linear> condition;
  bool isReadable = true;
  for (unsigned i = 0, e = op->getNumOperands(); i < e; ++i) {
    operands.push_back(choice(reader.getOperand(scalar, i), depth + 1));
    if (!operands.back()) {
      isReadable = false;
      continue;
    }
    ifTrue.push_back(operands.back()->ifTrue);
    ifFalse.push_back(operands.back()->ifFalse);
    if (!operands.back()->condition)
      continue;
    isReadable &= !condition || *condition == *operands.back()->condition;
    condition = operands.back()->condition;
  }
  if (!isReadable) {
    // x and false, x and true: what is not read does not matter, or is all.
    if (isa<arith::AndIOp, arith::OrIOp>(op) && scalar.getType().isInteger(1))
      for (unsigned side : {0, 1})
        if (operands[side] && !operands[side]->condition) {
          bool value = cast<BoolAttr>(operands[side]->ifTrue).getValue();
          return value == isa<arith::OrIOp>(op) ? operands[side] : operands[1 - side];
        }
    return compare(scalar, depth);
  }
  TypedAttr whereTrue = evaluate(op, ifTrue), whereFalse = evaluate(op, ifFalse);
  if (!whereTrue || !whereFalse)
    return std::nullopt;
  if (whereTrue == whereFalse)
    condition.reset();
  return Choice{condition, whereTrue, whereFalse};
}

std::optional<Choice> elfatt::raise::readChoice(ScalarReader &reader, const Scalar &scalar) {
  return Reading{reader}.choice(scalar, 0);
}

std::optional<bool> elfatt::raise::getTruth(ScalarReader &reader, const Scalar &scalar) {
  if (!scalar.getType().isInteger(1))
    return std::nullopt;
  std::optional<Choice> choice = readChoice(reader, scalar);
  if (!choice || choice->condition)
    return std::nullopt;
  return cast<BoolAttr>(choice->ifTrue).getValue();
}

//===----------------------------------------------------------------------===//
// Positional scalars
//===----------------------------------------------------------------------===//

bool Reading::positional(const Scalar &closed, unsigned depth) {
  if (depth > kMaxDepth || steps == 0)
    return false;
  --steps;
  Scalar scalar = reader.open(closed);
  if (scalar.element) {
    DenseElementsAttr values;
    return matchPattern(scalar.element.source, m_Constant(&values)) && values.isSplat();
  }
  Operation *op = scalar.getOp();
  if (!op || op->getNumRegions() != 0)
    return false;
  if (isa<linalg::IndexOp>(op))
    return scalar.frame;
  if (op->hasTrait<OpTrait::ConstantLike>())
    return scalar.getType().isIntOrIndexOrFloat();
  if (!OpTrait::hasElementwiseMappableTraits(op))
    return false;
  for (unsigned i = 0, e = op->getNumOperands(); i < e; ++i)
    if (!positional(reader.getOperand(scalar, i), depth + 1))
      return false;
  return true;
}

bool elfatt::raise::isPositional(ScalarReader &reader, const Scalar &scalar) {
  return Reading{reader}.positional(scalar, 0);
}
