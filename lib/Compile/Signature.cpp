// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Signature.h"

#include "mlir/Interfaces/ValueBoundsOpInterface.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
namespace json = llvm::json;

namespace elfatt::compile {

SmallVector<func::FuncOp> getFunctions(ModuleOp module) {
  SmallVector<func::FuncOp> functions;
  for (auto func : module.getOps<func::FuncOp>())
    if (!func.isDeclaration() && func.isPublic())
      functions.push_back(func);
  return functions;
}

static std::string print(Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return text;
}

/// An extent of an argument of the function; its name is all that a manifest
/// needs.
static std::string getDimName(int64_t argument, int64_t dim) {
  return ("arg" + Twine(argument) + "_" + Twine(dim)).str();
}

static bool isArgument(Value value) {
  auto argument = dyn_cast<BlockArgument>(value);
  return argument && argument.getOwner()->isEntryBlock() &&
         isa<func::FuncOp>(argument.getOwner()->getParentOp());
}

static json::Value toJSON(AffineExpr expr, ArrayRef<json::Value> operands) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return constant.getValue();
  // Bounds name their operands as dims alone.
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return operands[dim.getPosition()];
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
  return json::Array{name, toJSON(binary.getLHS(), operands), toJSON(binary.getRHS(), operands)};
}

std::optional<json::Value> makeExpression(Value value, std::optional<int64_t> dim) {
  if (dim)
    if (auto type = cast<ShapedType>(value.getType()); !type.isDynamicDim(*dim))
      return json::Value(type.getDimSize(*dim));
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
  SmallVector<AffineExpr> dims;
  for (unsigned i = 0; i < map.getNumSymbols(); ++i)
    dims.push_back(getAffineDimExpr(map.getNumDims() + i, map.getContext()));
  return toJSON(map.getResult(0).replaceSymbols(dims), names);
}

static bool isElement(Type type) {
  return type.isF16() || type.isBF16() || type.isF32() || type.isF64() ||
         (type.isSignlessInteger() &&
          llvm::is_contained({1u, 8u, 16u, 32u, 64u}, type.getIntOrFloatBitWidth()));
}

/// a * b, without a node where one of them is 1 or both are numbers.
static json::Value multiply(const json::Value &a, const json::Value &b) {
  std::optional<int64_t> x = a.getAsInteger(), y = b.getAsInteger();
  if (x && y)
    return *x * *y;
  if (x == 1)
    return b;
  if (y == 1)
    return a;
  return json::Array{"*", a, b};
}

/// Row-major.
static json::Array makeStrides(const json::Array &shape) {
  std::vector<json::Value> strides(shape.size(), json::Value(1));
  for (size_t d = shape.size(); d-- > 1;)
    strides[d - 1] = multiply(strides[d], shape[d]);
  json::Array result;
  for (json::Value &stride : strides)
    result.push_back(std::move(stride));
  return result;
}

static json::Object describe(RankedTensorType type, json::Array shape) {
  json::Array strides = makeStrides(shape);
  return json::Object{{"type", print(type.getElementType())},
                      {"shape", std::move(shape)},
                      {"strides", std::move(strides)}};
}

static llvm::Expected<RankedTensorType> checkType(func::FuncOp func, Type type, const char *what,
                                                  int64_t i) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (tensor && isElement(tensor.getElementType()))
    return tensor;
  return llvm::createStringError(Twine(what) + " " + Twine(i) + " of @" + func.getName() +
                                 ": expected a tensor of f16, bf16, f32, f64 or integers, got " +
                                 print(type));
}

llvm::Expected<json::Object> makeSignature(func::FuncOp func) {
  json::Array dims, arguments, results;
  for (auto [i, type] : llvm::enumerate(func.getArgumentTypes())) {
    llvm::Expected<RankedTensorType> tensor = checkType(func, type, "argument", i);
    if (!tensor)
      return tensor.takeError();
    json::Array shape;
    for (int64_t d = 0; d < tensor->getRank(); ++d) {
      if (!tensor->isDynamicDim(d)) {
        shape.push_back(tensor->getDimSize(d));
        continue;
      }
      shape.push_back(getDimName(i, d));
      dims.push_back(getDimName(i, d));
    }
    arguments.push_back(describe(*tensor, std::move(shape)));
  }
  if (!llvm::hasSingleElement(func.getBody()))
    return llvm::createStringError("@" + func.getName() + " has branches: expected one block");
  for (auto [i, value] : llvm::enumerate(func.getBody().front().getTerminator()->getOperands())) {
    llvm::Expected<RankedTensorType> tensor = checkType(func, value.getType(), "result", i);
    if (!tensor)
      return tensor.takeError();
    json::Array shape;
    for (int64_t d = 0; d < tensor->getRank(); ++d) {
      std::optional<json::Value> extent = makeExpression(value, d);
      if (!extent)
        return llvm::createStringError("result " + Twine(i) + " of @" + func.getName() +
                                       ": extent " + Twine(d) +
                                       " is not an affine expression of the arguments' extents");
      shape.push_back(std::move(*extent));
    }
    results.push_back(describe(*tensor, std::move(shape)));
  }
  return json::Object{{"name", func.getName()},
                      {"dims", std::move(dims)},
                      {"arguments", std::move(arguments)},
                      {"results", std::move(results)}};
}

} // namespace elfatt::compile
