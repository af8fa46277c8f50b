// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Arguments.h"

#include "Error.h"

namespace elfatt::runtime {
namespace {

[[noreturn]] void fail(const std::string &message) { throw Error(ELFATT_BAD_ARGUMENT, message); }

std::string print(const int64_t *values, int64_t count) {
  std::string text;
  for (int64_t i = 0; i < count; ++i)
    text += (i ? "x" : "") + (values[i] == -1 ? "?" : std::to_string(values[i]));
  return "[" + text + "]";
}

std::string nameOf(const char *what, size_t i) { return what + (" " + std::to_string(i)); }

void checkType(const std::string &name, const elfatt_tensor &tensor, const ArrayType &type) {
  if (tensor.element != type.element)
    fail(name + ": expected elements of type " + std::string(getElementName(type.element)) +
         ", got " + std::string(getElementName(tensor.element)));
  auto rank = static_cast<int32_t>(type.shape.size());
  if (tensor.rank != rank)
    fail(name + ": expected " + std::to_string(rank) + " dims, got " + std::to_string(tensor.rank));
  if (rank > 0 && !tensor.shape)
    fail(name + ": the shape is null");
}

void checkStrides(const std::string &name, const elfatt_tensor &tensor, const ArrayType &type,
                  const std::vector<int64_t> &dims) {
  if (!tensor.strides)
    return;
  std::vector<int64_t> wanted = evaluateShape(type.strides, dims);
  for (int32_t d = 0; d < tensor.rank; ++d)
    if (tensor.shape[d] > 1 && tensor.strides[d] != wanted[d])
      fail(name + ": expected strides " + print(wanted.data(), tensor.rank) + ", got " +
           print(tensor.strides, tensor.rank));
}

/// Bytes of the array; the shape was checked.
int64_t countBytes(const std::string &name, const elfatt_tensor &tensor) {
  int64_t bytes = getElementBytes(tensor.element);
  for (int32_t d = 0; d < tensor.rank; ++d)
    if (tensor.shape[d] == 0)
      return 0;
  for (int32_t d = 0; d < tensor.rank; ++d)
    if (__builtin_mul_overflow(bytes, tensor.shape[d], &bytes))
      fail(name + ": the shape " + print(tensor.shape, tensor.rank) + " is too large");
  return bytes;
}

struct Range {
  std::string name;
  uintptr_t begin, end;
};

Range checkPointer(const std::string &name, const elfatt_tensor &tensor) {
  int64_t bytes = countBytes(name, tensor);
  auto begin = reinterpret_cast<uintptr_t>(tensor.data);
  if (bytes > 0 && !tensor.data)
    fail(name + ": the data is null");
  if (begin % static_cast<uintptr_t>(getElementBytes(tensor.element)) != 0)
    fail(name + ": the data is not aligned to its elements of " +
         std::to_string(getElementBytes(tensor.element)) + " bytes");
  uintptr_t end;
  if (__builtin_add_overflow(begin, static_cast<uintptr_t>(bytes), &end))
    fail(name + ": the data reaches beyond the address space");
  return {name, begin, end};
}

bool overlap(const Range &a, const Range &b) {
  return a.begin < a.end && b.begin < b.end && a.begin < b.end && b.begin < a.end;
}

} // namespace

std::vector<int64_t> evaluateShape(const std::vector<Expression> &shape,
                                   const std::vector<int64_t> &dims) {
  std::vector<int64_t> values;
  for (const Expression &extent : shape)
    values.push_back(extent.evaluate(dims));
  return values;
}

std::vector<int64_t> bindDims(const FunctionManifest &function, const elfatt_tensor *inputs,
                              int32_t inputCount) {
  if (inputCount != static_cast<int32_t>(function.arguments.size()))
    fail("'" + function.name + "' has " + std::to_string(function.arguments.size()) +
         " inputs, got " + std::to_string(inputCount));
  if (inputCount > 0 && !inputs)
    fail("the inputs are null");
  std::vector<int64_t> dims(function.dims.size(), -1);
  for (int32_t i = 0; i < inputCount; ++i) {
    const ArrayType &type = function.arguments[i];
    std::string name = nameOf("input", i);
    checkType(name, inputs[i], type);
    for (int32_t d = 0; d < inputs[i].rank; ++d) {
      const Expression::Node &node = type.shape[d].nodes[0];
      int64_t got = inputs[i].shape[d];
      bool isDim = node.kind == Expression::Kind::Dim;
      if (isDim && dims[node.value] < 0 && got >= 0)
        dims[node.value] = got;
      if (got < 0 || got != (isDim ? dims[node.value] : node.value))
        fail(name + ": expected shape " + print(type.fixedShape.data(), inputs[i].rank) + ", got " +
             print(inputs[i].shape, inputs[i].rank) +
             (isDim ? " (" + function.dims[node.value] + " is " + std::to_string(dims[node.value]) +
                          ")"
                    : ""));
    }
  }
  for (int32_t i = 0; i < inputCount; ++i)
    checkStrides(nameOf("input", i), inputs[i], function.arguments[i], dims);
  return dims;
}

void checkArrays(const FunctionManifest &function, const elfatt_tensor *inputs,
                 const elfatt_tensor *outputs, int32_t outputCount,
                 const std::vector<int64_t> &dims) {
  if (outputCount != static_cast<int32_t>(function.results.size()))
    fail("'" + function.name + "' has " + std::to_string(function.results.size()) +
         " outputs, got " + std::to_string(outputCount));
  if (outputCount > 0 && !outputs)
    fail("the outputs are null");
  std::vector<Range> ranges;
  for (size_t i = 0; i < function.arguments.size(); ++i)
    ranges.push_back(checkPointer(nameOf("input", i), inputs[i]));
  for (int32_t i = 0; i < outputCount; ++i) {
    std::string name = nameOf("output", i);
    checkType(name, outputs[i], function.results[i]);
    std::vector<int64_t> wanted = evaluateShape(function.results[i].shape, dims);
    for (int32_t d = 0; d < outputs[i].rank; ++d)
      if (outputs[i].shape[d] != wanted[d])
        fail(name + ": expected shape " + print(wanted.data(), outputs[i].rank) + ", got " +
             print(outputs[i].shape, outputs[i].rank));
    checkStrides(name, outputs[i], function.results[i], dims);
    Range range = checkPointer(name, outputs[i]);
    for (const Range &other : ranges)
      if (overlap(range, other))
        fail(name + " overlaps " + other.name);
    ranges.push_back(range);
  }
}

} // namespace elfatt::runtime
