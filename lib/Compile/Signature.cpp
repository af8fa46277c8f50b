// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Signature.h"

#include "Extents.h"

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

static FailureOr<RankedTensorType> checkType(Value value, const char *what, int64_t i) {
  auto tensor = dyn_cast<RankedTensorType>(value.getType());
  if (tensor && isElement(tensor.getElementType()))
    return tensor;
  return emitError(value.getLoc())
         << what << " " << i << ": expected a tensor of f16, bf16, f32, f64 or integers, got "
         << value.getType();
}

FailureOr<json::Object> makeSignature(func::FuncOp func) {
  json::Array dims, arguments, results;
  for (auto [i, value] : llvm::enumerate(func.getArguments())) {
    FailureOr<RankedTensorType> tensor = checkType(value, "argument", i);
    if (failed(tensor))
      return failure();
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
    return func.emitOpError("has branches: expected one block");
  for (auto [i, value] : llvm::enumerate(func.getBody().front().getTerminator()->getOperands())) {
    FailureOr<RankedTensorType> tensor = checkType(value, "result", i);
    if (failed(tensor))
      return failure();
    json::Array shape;
    for (int64_t d = 0; d < tensor->getRank(); ++d) {
      std::optional<json::Value> extent = makeExpression(value, d);
      if (!extent)
        return emitError(value.getLoc())
               << "result " << i << ": extent " << d
               << " is no sum, product or quotient of extents of arguments";
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
