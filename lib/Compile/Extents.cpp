// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Extents.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/ValueBoundsOpInterface.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
namespace json = llvm::json;

namespace elfatt::compile {

std::string getDimName(int64_t argument, int64_t dim) {
  return ("arg" + Twine(argument) + "_" + Twine(dim)).str();
}

namespace {
bool isArgument(Value value) {
  auto argument = dyn_cast<BlockArgument>(value);
  return argument && argument.getOwner()->isEntryBlock() &&
         isa<func::FuncOp>(argument.getOwner()->getParentOp());
}

json::Value toJSON(AffineExpr expr, ArrayRef<json::Value> names) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return constant.getValue();
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
    return names[symbol.getPosition()];
  auto binary = cast<AffineBinaryOpExpr>(expr);
  const char *name = "";
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    name = "+";
    break;
  case AffineExprKind::Mul:
    name = "*";
    break;
  case AffineExprKind::FloorDiv:
    name = "floordiv";
    break;
  case AffineExprKind::CeilDiv:
    name = "ceildiv";
    break;
  default:
    name = "mod";
    break;
  }
  return json::Array{name, toJSON(binary.getLHS(), names), toJSON(binary.getRHS(), names)};
}

/// Reads what bounds of values do not know: products of extents, and the multiplications and
/// divisions by which front ends merge dims and take them apart again.
class ExtentReader {
public:
  explicit ExtentReader(MLIRContext *context) : context(context) {}

  AffineExpr read(Value value);
  AffineExpr read(Value tensor, int64_t dim);
  /// The names of the symbols.
  std::vector<json::Value> takeNames() { return std::move(names); }

private:
  AffineExpr getNumber(int64_t number) { return getAffineConstantExpr(number, context); }
  AffineExpr read(OpFoldResult value);
  AffineExpr readDim(Value tensor, std::optional<int64_t> dim) {
    return dim ? read(tensor, *dim) : AffineExpr();
  }
  AffineExpr subtract(AffineExpr a, AffineExpr b) {
    return simplifyAffineExpr(a - b, /*numDims=*/0, names.size());
  }
  /// The larger or the smaller, where it is always the same one.
  AffineExpr choose(AffineExpr a, AffineExpr b, bool wantLarger);
  AffineExpr divide(Value lhs, Value rhs);
  std::optional<bool> readCondition(Value condition);
  AffineExpr readResult(Operation *op, OpResult result, int64_t dim);
  AffineExpr getSymbol(BlockArgument argument, int64_t dim);

  MLIRContext *context;
  std::vector<json::Value> names;
  llvm::MapVector<std::pair<int64_t, int64_t>, AffineExpr> symbols;
};
} // namespace

AffineExpr ExtentReader::getSymbol(BlockArgument argument, int64_t dim) {
  AffineExpr &symbol = symbols[{argument.getArgNumber(), dim}];
  if (!symbol) {
    symbol = getAffineSymbolExpr(names.size(), context);
    names.push_back(getDimName(argument.getArgNumber(), dim));
  }
  return symbol;
}

AffineExpr ExtentReader::read(OpFoldResult value) {
  if (auto attribute = dyn_cast<Attribute>(value))
    return getNumber(cast<IntegerAttr>(attribute).getInt());
  return read(cast<Value>(value));
}

/// Whether `expr`, of extents, is none that may be negative.
static bool isNonNegative(AffineExpr expr) {
  bool result = true;
  expr.walk([&](AffineExpr part) {
    if (auto constant = dyn_cast<AffineConstantExpr>(part))
      result &= constant.getValue() >= 0;
  });
  return result;
}

AffineExpr ExtentReader::choose(AffineExpr a, AffineExpr b, bool wantLarger) {
  if (isNonNegative(subtract(a, b)))
    return wantLarger ? a : b;
  if (isNonNegative(subtract(b, a)))
    return wantLarger ? b : a;
  return {};
}

/// Rounds towards zero, which is down for what is not negative.
AffineExpr ExtentReader::divide(Value lhs, Value rhs) {
  AffineExpr a = read(lhs), b = read(rhs);
  if (!a || !b || !isNonNegative(a) || !isNonNegative(b) || b == 0)
    return {};
  // (x * b) / b; of numbers AffineExpr knows more.
  if (auto product = dyn_cast<AffineBinaryOpExpr>(a);
      product && product.getKind() == AffineExprKind::Mul && product.getRHS() == b)
    return product.getLHS();
  return a.floorDiv(b);
}

/// Indices are counted from the end where they are negative: whether they are.
std::optional<bool> ExtentReader::readCondition(Value condition) {
  auto compare = condition.getDefiningOp<arith::CmpIOp>();
  if (!compare || !matchPattern(compare.getRhs(), m_Zero()))
    return std::nullopt;
  AffineExpr lhs = read(compare.getLhs());
  if (!lhs || !isNonNegative(lhs))
    return std::nullopt;
  if (compare.getPredicate() == arith::CmpIPredicate::slt)
    return false;
  if (compare.getPredicate() == arith::CmpIPredicate::sge)
    return true;
  return std::nullopt;
}

AffineExpr ExtentReader::read(Value value) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    return getNumber(*constant);
  Operation *op = value.getDefiningOp();
  if (!op)
    return {};
  auto combine = [&](Value lhs, Value rhs, auto &&function) -> AffineExpr {
    AffineExpr a = read(lhs), b = read(rhs);
    return a && b ? function(a, b) : AffineExpr();
  };
  return llvm::TypeSwitch<Operation *, AffineExpr>(op)
      .Case<tensor::DimOp, memref::DimOp>(
          [&](auto dim) { return readDim(dim.getSource(), dim.getConstantIndex()); })
      .Case<arith::IndexCastOp, arith::ExtSIOp>([&](auto cast) { return read(cast.getIn()); })
      .Case([&](arith::AddIOp add) {
        return combine(add.getLhs(), add.getRhs(), [](auto a, auto b) { return a + b; });
      })
      .Case([&](arith::SubIOp sub) {
        return combine(sub.getLhs(), sub.getRhs(), [&](auto a, auto b) { return subtract(a, b); });
      })
      .Case([&](arith::MinSIOp min) {
        return combine(min.getLhs(), min.getRhs(),
                       [&](auto a, auto b) { return choose(a, b, /*wantLarger=*/false); });
      })
      .Case([&](arith::MaxSIOp max) {
        return combine(max.getLhs(), max.getRhs(),
                       [&](auto a, auto b) { return choose(a, b, /*wantLarger=*/true); });
      })
      .Case([&](arith::MulIOp mul) {
        return combine(mul.getLhs(), mul.getRhs(), [](auto a, auto b) { return a * b; });
      })
      .Case<arith::DivSIOp, arith::FloorDivSIOp>(
          [&](auto division) { return divide(division.getLhs(), division.getRhs()); })
      .Case([&](arith::SelectOp select) {
        std::optional<bool> condition = readCondition(select.getCondition());
        return !condition ? AffineExpr()
                          : read(*condition ? select.getTrueValue() : select.getFalseValue());
      })
      .Default(AffineExpr());
}

AffineExpr ExtentReader::readResult(Operation *op, OpResult result, int64_t dim) {
  if (auto destination = dyn_cast<DestinationStyleOpInterface>(op))
    return read(destination.getTiedOpOperand(result)->get(), dim);
  return llvm::TypeSwitch<Operation *, AffineExpr>(op)
      .Case([&](tensor::EmptyOp empty) { return read(empty.getMixedSizes()[dim]); })
      .Case([&](memref::AllocOp alloc) { return read(alloc.getMixedSizes()[dim]); })
      .Case<tensor::CastOp, memref::CastOp>([&](auto cast) { return read(cast.getSource(), dim); })
      .Case([&](tensor::ExpandShapeOp expand) { return read(expand.getMixedOutputShape()[dim]); })
      .Case([&](tensor::CollapseShapeOp collapse) {
        AffineExpr product = getNumber(1);
        ReassociationIndices group = collapse.getReassociationIndices()[dim];
        for (int64_t source : group) {
          AffineExpr extent = read(collapse.getSrc(), source);
          if (!extent)
            return AffineExpr();
          product = product * extent;
        }
        return product;
      })
      .Case([&](tensor::ExtractSliceOp slice) -> AffineExpr {
        llvm::SmallBitVector dropped = slice.getDroppedDims();
        for (auto [source, size] : llvm::enumerate(slice.getMixedSizes()))
          if (!dropped.test(source) && dim-- == 0)
            return read(size);
        return {};
      })
      .Case([&](tensor::ConcatOp concat) {
        if (dim != int64_t(concat.getDim()))
          return read(concat.getInputs().front(), dim);
        AffineExpr sum = getNumber(0);
        for (Value input : concat.getInputs()) {
          AffineExpr extent = read(input, dim);
          if (!extent)
            return AffineExpr();
          sum = sum + extent;
        }
        return sum;
      })
      .Case([&](tensor::ReshapeOp reshape) {
        auto shape = reshape.getShape().getDefiningOp<tensor::FromElementsOp>();
        return shape ? read(shape.getElements()[dim]) : AffineExpr();
      })
      .Default(AffineExpr());
}

AffineExpr ExtentReader::read(Value tensor, int64_t dim) {
  auto type = cast<ShapedType>(tensor.getType());
  if (!type.isDynamicDim(dim))
    return getNumber(type.getDimSize(dim));
  if (isArgument(tensor))
    return getSymbol(cast<BlockArgument>(tensor), dim);
  auto result = dyn_cast<OpResult>(tensor);
  return result ? readResult(result.getOwner(), result, dim) : AffineExpr();
}

/// By the bounds that ops know of their results.
static std::optional<json::Value> makeBound(Value value, std::optional<int64_t> dim) {
  AffineMap map;
  ValueDimList operands;
  if (failed(ValueBoundsConstraintSet::computeBound(
          map, operands, presburger::BoundType::EQ, ValueBoundsConstraintSet::Variable(value, dim),
          [](Value value, std::optional<int64_t> dim, ValueBoundsConstraintSet &) {
            return dim && isArgument(value);
          })))
    return std::nullopt;
  std::vector<json::Value> names;
  for (auto [operand, operandDim] : operands) {
    if (!operandDim || !isArgument(operand))
      return std::nullopt;
    names.push_back(getDimName(cast<BlockArgument>(operand).getArgNumber(), *operandDim));
  }
  // Operands are dims first, then symbols.
  SmallVector<AffineExpr> dims, symbols;
  for (unsigned i = 0; i < map.getNumInputs(); ++i)
    (i < map.getNumDims() ? dims : symbols).push_back(getAffineSymbolExpr(i, map.getContext()));
  return toJSON(map.getResult(0).replaceDimsAndSymbols(dims, symbols), names);
}

std::optional<json::Value> makeExpression(Value value, std::optional<int64_t> dim) {
  if (dim)
    if (auto type = cast<ShapedType>(value.getType()); !type.isDynamicDim(*dim))
      return json::Value(type.getDimSize(*dim));
  if (std::optional<json::Value> bound = makeBound(value, dim))
    return bound;
  ExtentReader reader(value.getContext());
  AffineExpr expr = dim ? reader.read(value, *dim) : reader.read(value);
  return expr ? std::optional(toJSON(expr, reader.takeNames())) : std::nullopt;
}

} // namespace elfatt::compile
