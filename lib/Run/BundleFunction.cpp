// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "BundleFunction.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using llvm::Error;
using llvm::Expected;

namespace elfatt::run {
namespace {

Error check(elfatt_status status) {
  if (status == ELFATT_OK)
    return Error::success();
  return llvm::createStringError(elfatt_message());
}

/// For queries of a function that is there.
void mustBeOk(elfatt_status status) {
  if (status != ELFATT_OK)
    llvm::report_fatal_error(elfatt_message());
}

/// How elements travel in arrays; bf16 as its bits.
constexpr std::pair<elfatt_element, std::pair<char, int>> kElements[] = {
    {ELFATT_F16, {'f', 2}}, {ELFATT_BF16, {'u', 2}}, {ELFATT_F32, {'f', 4}},
    {ELFATT_F64, {'f', 8}}, {ELFATT_I8, {'i', 1}},   {ELFATT_I16, {'i', 2}},
    {ELFATT_I32, {'i', 4}}, {ELFATT_I64, {'i', 8}},  {ELFATT_BOOL, {'b', 1}}};

ElementType toArrayElement(elfatt_element element) {
  for (auto [candidate, spelling] : kElements)
    if (candidate == element)
      return {spelling.first, spelling.second};
  return {};
}

Type toType(Builder &b, elfatt_element element) {
  switch (element) {
  case ELFATT_F16:
    return b.getF16Type();
  case ELFATT_BF16:
    return b.getBF16Type();
  case ELFATT_F32:
    return b.getF32Type();
  case ELFATT_F64:
    return b.getF64Type();
  case ELFATT_BOOL:
    return b.getI1Type();
  default:
    return b.getIntegerType(toArrayElement(element).bytes * 8);
  }
}

std::vector<elfatt_type> queryTypes(const elfatt_function *function, bool inputs) {
  int32_t inputCount, outputCount;
  mustBeOk(elfatt_function_counts(function, &inputCount, &outputCount));
  std::vector<elfatt_type> types(inputs ? inputCount : outputCount);
  for (auto [i, type] : llvm::enumerate(types))
    mustBeOk(inputs ? elfatt_function_input(function, i, &type)
                    : elfatt_function_output(function, i, &type));
  return types;
}

std::vector<elfatt_tensor> makeTensors(const std::vector<elfatt_type> &types,
                                       const std::vector<Array> &arrays) {
  std::vector<elfatt_tensor> tensors;
  for (auto [type, array] : llvm::zip_equal(types, arrays))
    tensors.push_back({const_cast<char *>(array.data.data()), type.element,
                       static_cast<int32_t>(array.shape.size()), array.shape.data(), nullptr});
  return tensors;
}

} // namespace

Expected<std::unique_ptr<BundleFunction>> BundleFunction::open(const std::string &path,
                                                               const char *target, Cuda *cuda) {
  auto function = std::make_unique<BundleFunction>();
  function->cuda = cuda;
  if (Error error = check(elfatt_bundle_open(path.c_str(), target, &function->bundle)))
    return std::move(error);
  if (Error error = check(elfatt_bundle_find(function->bundle, "main", &function->function)))
    return std::move(error);
  return function;
}

BundleFunction::~BundleFunction() { elfatt_bundle_close(bundle); }

std::vector<RankedTensorType> BundleFunction::getTypes(MLIRContext *context, bool inputs) const {
  Builder b(context);
  std::vector<RankedTensorType> types;
  for (const elfatt_type &type : queryTypes(function, inputs)) {
    SmallVector<int64_t> shape(type.shape, type.shape + type.rank);
    for (int64_t &extent : shape)
      if (extent < 0)
        extent = ShapedType::kDynamic;
    types.push_back(RankedTensorType::get(shape, toType(b, type.element)));
  }
  return types;
}

llvm::StringRef BundleFunction::getTarget() const {
  const char *target = "";
  mustBeOk(elfatt_bundle_target(bundle, &target));
  return target;
}

Expected<Results> BundleFunction::makeResults(const std::vector<Array> &inputs) const {
  std::vector<elfatt_tensor> tensors = makeTensors(queryTypes(function, true), inputs);
  Results results;
  for (auto [i, type] : llvm::enumerate(queryTypes(function, false))) {
    Array array{toArrayElement(type.element), std::vector<int64_t>(type.rank), {}};
    if (Error error = check(elfatt_function_output_shape(function, tensors.data(), tensors.size(),
                                                         i, array.shape.data())))
      return std::move(error);
    array.data.resize(array.size() * array.type.bytes);
    results.push_back(std::move(array));
  }
  return results;
}

Error BundleFunction::run(const std::vector<Array> &inputs, Results &results) const {
  std::vector<elfatt_tensor> from = makeTensors(queryTypes(function, true), inputs);
  std::vector<elfatt_tensor> to = makeTensors(queryTypes(function, false), results);
  if (cuda)
    return runOnDevice(std::move(from), std::move(to), inputs, results);
  return check(elfatt_run(function, from.data(), from.size(), to.data(), to.size(),
                          /*workspace=*/nullptr, /*workspace_bytes=*/0, /*stream=*/nullptr));
}

Error BundleFunction::runOnDevice(std::vector<elfatt_tensor> from, std::vector<elfatt_tensor> to,
                                  const std::vector<Array> &inputs, Results &results) const {
  std::vector<Cuda::Memory> memory;
  auto allocate = [&](uint64_t bytes) -> Expected<DevicePointer> {
    auto allocated = cuda->allocate(bytes);
    if (!allocated)
      return allocated.takeError();
    memory.push_back(std::move(*allocated));
    return memory.back().get();
  };
  auto toDevice = [&](elfatt_tensor &tensor, const Array &array) -> Error {
    Expected<DevicePointer> pointer = allocate(array.data.size());
    if (!pointer)
      return pointer.takeError();
    tensor.data = reinterpret_cast<void *>(*pointer);
    return Error::success();
  };
  int64_t workspaceBytes = 0;
  if (Error error =
          check(elfatt_function_workspace(function, from.data(), from.size(), &workspaceBytes)))
    return error;
  Expected<DevicePointer> workspace = allocate(workspaceBytes);
  if (!workspace)
    return workspace.takeError();
  for (auto [tensor, array] : llvm::zip_equal(to, results))
    if (Error error = toDevice(tensor, array))
      return error;
  for (auto [tensor, array] : llvm::zip_equal(from, inputs)) {
    if (Error error = toDevice(tensor, array))
      return error;
    if (Error error = cuda->copyTo(memory.back().get(), array.data.data(), array.data.size()))
      return error;
  }
  if (Error error = check(elfatt_run(function, from.data(), from.size(), to.data(), to.size(),
                                     reinterpret_cast<void *>(*workspace), workspaceBytes,
                                     /*stream=*/nullptr)))
    return error;
  if (Error error = cuda->synchronize())
    return error;
  for (auto [tensor, array] : llvm::zip_equal(to, results))
    if (Error error = cuda->copyFrom(
            array.data.data(), reinterpret_cast<DevicePointer>(tensor.data), array.data.size()))
      return error;
  return Error::success();
}

} // namespace elfatt::run
