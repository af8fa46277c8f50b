// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// libFuzzer on the reader of manifest.json: whatever the bytes, it ends with a
// manifest or with an error. What it reads is used as a caller would.
#include "../../lib/Runtime/Arguments.h"
#include "../../lib/Runtime/Cuda.h"
#include "../../lib/Runtime/Error.h"
#include "../../lib/Runtime/Manifest.h"

#include <cstddef>
#include <cstdint>

using namespace elfatt::runtime;

/// Inputs of the shapes that a function asks for; extents that are not fixed are 5.
static void useFunction(const FunctionManifest &function) {
  std::vector<elfatt_tensor> inputs;
  std::vector<std::vector<int64_t>> shapes;
  for (const ArrayType &type : function.arguments) {
    std::vector<int64_t> shape = type.fixedShape;
    for (int64_t &extent : shape)
      extent = extent < 0 ? 5 : extent;
    shapes.push_back(std::move(shape));
    inputs.push_back({nullptr, type.element, static_cast<int32_t>(shapes.back().size()),
                      shapes.back().data(), nullptr});
  }
  auto count = static_cast<int32_t>(inputs.size());
  std::vector<int64_t> dims = bindDims(function, inputs.data(), count);
  for (const auto &[target, device] : function.devices)
    (void)countWorkspace(device, dims);
  for (const ArrayType &type : function.results)
    (void)evaluateShape(type.shape, dims);
  checkArrays(function, inputs.data(), nullptr, 0, dims);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Manifest manifest;
  try {
    manifest = parseManifest({reinterpret_cast<const char *>(data), size});
    (void)listDeviceCode(manifest.code, 87, 12060);
  } catch (const Error &) {
    return 0;
  }
  for (const FunctionManifest &function : manifest.functions)
    try {
      useFunction(function);
    } catch (const Error &) {
    }
  return 0;
}
