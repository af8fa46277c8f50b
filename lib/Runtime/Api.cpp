// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The C API of bundles: what it throws inside becomes a status and a message.
#include "elfatt/Runtime.h"

#include "Arguments.h"
#include "Bundle.h"
#include "Error.h"
#include "Run.h"

#include <algorithm>
#include <new>

using namespace elfatt::runtime;

namespace {

/// Of the thread's last call. Plain memory, so that no call fails for it.
thread_local char message[512];

void setMessage(const char *text) {
  size_t i = 0;
  for (; text[i] && i + 1 < sizeof(message); ++i)
    message[i] = text[i];
  message[i] = 0;
}

template <typename Body> elfatt_status guard(Body body) {
  setMessage("");
  try {
    body();
    return ELFATT_OK;
  } catch (const Error &error) {
    setMessage(error.what());
    return error.status;
  } catch (const std::bad_alloc &) {
    setMessage("no memory");
    return ELFATT_NO_MEMORY;
  } catch (const std::exception &error) {
    setMessage(error.what());
    return ELFATT_RUN_FAILED;
  }
}

template <typename T> void require(T *pointer, const char *name) {
  if (!pointer)
    throw Error(ELFATT_BAD_ARGUMENT, std::string("'") + name + "' is null");
}

template <typename T> T &at(std::vector<T> &items, int32_t i, const char *what) {
  if (i < 0 || static_cast<size_t>(i) >= items.size())
    throw Error(ELFATT_BAD_ARGUMENT, std::string(what) + " " + std::to_string(i) + ": there are " +
                                         std::to_string(items.size()));
  return items[i];
}

template <typename T> const T &at(const std::vector<T> &items, int32_t i, const char *what) {
  return at(const_cast<std::vector<T> &>(items), i, what);
}

void describe(const ArrayType &from, elfatt_type *type) {
  *type = {from.element, static_cast<int32_t>(from.shape.size()), from.fixedShape.data()};
}

/// A memref descriptor: allocated and aligned pointer, offset, extents, strides.
std::vector<int64_t> makeDescriptor(const elfatt_tensor &tensor) {
  auto data = static_cast<int64_t>(reinterpret_cast<uintptr_t>(tensor.data));
  std::vector<int64_t> words{data, data, 0};
  words.insert(words.end(), tensor.shape, tensor.shape + tensor.rank);
  words.resize(words.size() + tensor.rank, 1);
  for (int32_t d = tensor.rank - 1; d-- > 0;) {
    int64_t *strides = &words[3 + tensor.rank];
    strides[d] = strides[d + 1] * std::max<int64_t>(tensor.shape[d + 1], 1);
  }
  return words;
}

void runOnHost(const elfatt_function &function, const elfatt_tensor *inputs, int32_t inputCount,
               const elfatt_tensor *outputs, int32_t outputCount) {
  std::vector<std::vector<int64_t>> descriptors;
  for (int32_t i = 0; i < inputCount; ++i)
    descriptors.push_back(makeDescriptor(inputs[i]));
  for (int32_t i = 0; i < outputCount; ++i)
    descriptors.push_back(makeDescriptor(outputs[i]));
  std::vector<void *> args;
  for (std::vector<int64_t> &descriptor : descriptors)
    args.push_back(descriptor.data());
  Run run;
  Run::Scope scope(&run);
  function.entry(args.data());
}

} // namespace

const char *elfatt_message(void) { return message; }

elfatt_status elfatt_bundle_open(const char *path, const char *target, elfatt_bundle **bundle) {
  return guard([&] {
    require(path, "path");
    require(bundle, "bundle");
    *bundle = nullptr;
    *bundle = new elfatt_bundle(path, target);
  });
}

void elfatt_bundle_close(elfatt_bundle *bundle) { delete bundle; }

elfatt_status elfatt_bundle_target(const elfatt_bundle *bundle, const char **target) {
  return guard([&] {
    require(bundle, "bundle");
    require(target, "target");
    *target = bundle->target.c_str();
  });
}

elfatt_status elfatt_bundle_function_count(const elfatt_bundle *bundle, int32_t *count) {
  return guard([&] {
    require(bundle, "bundle");
    require(count, "count");
    *count = static_cast<int32_t>(bundle->functions.size());
  });
}

elfatt_status elfatt_bundle_function(const elfatt_bundle *bundle, int32_t i,
                                     const elfatt_function **function) {
  return guard([&] {
    require(bundle, "bundle");
    require(function, "function");
    *function = &at(bundle->functions, i, "function");
  });
}

elfatt_status elfatt_bundle_find(const elfatt_bundle *bundle, const char *name,
                                 const elfatt_function **function) {
  return guard([&] {
    require(bundle, "bundle");
    require(name, "name");
    require(function, "function");
    for (const elfatt_function &candidate : bundle->functions)
      if (candidate.manifest->name == name) {
        *function = &candidate;
        return;
      }
    throw Error(ELFATT_BAD_ARGUMENT, std::string("the bundle has no function '") + name + "'");
  });
}

elfatt_status elfatt_function_name(const elfatt_function *function, const char **name) {
  return guard([&] {
    require(function, "function");
    require(name, "name");
    *name = function->manifest->name.c_str();
  });
}

elfatt_status elfatt_function_counts(const elfatt_function *function, int32_t *inputs,
                                     int32_t *outputs) {
  return guard([&] {
    require(function, "function");
    require(inputs, "inputs");
    require(outputs, "outputs");
    *inputs = static_cast<int32_t>(function->manifest->arguments.size());
    *outputs = static_cast<int32_t>(function->manifest->results.size());
  });
}

elfatt_status elfatt_function_input(const elfatt_function *function, int32_t i, elfatt_type *type) {
  return guard([&] {
    require(function, "function");
    require(type, "type");
    describe(at(function->manifest->arguments, i, "input"), type);
  });
}

elfatt_status elfatt_function_output(const elfatt_function *function, int32_t i,
                                     elfatt_type *type) {
  return guard([&] {
    require(function, "function");
    require(type, "type");
    describe(at(function->manifest->results, i, "output"), type);
  });
}

elfatt_status elfatt_function_output_shape(const elfatt_function *function,
                                           const elfatt_tensor *inputs, int32_t inputCount,
                                           int32_t i, int64_t *shape) {
  return guard([&] {
    require(function, "function");
    const ArrayType &type = at(function->manifest->results, i, "output");
    if (!type.shape.empty())
      require(shape, "shape");
    std::vector<int64_t> extents =
        evaluateShape(type.shape, bindDims(*function->manifest, inputs, inputCount));
    std::copy(extents.begin(), extents.end(), shape);
  });
}

elfatt_status elfatt_function_workspace(const elfatt_function *function,
                                        const elfatt_tensor *inputs, int32_t inputCount,
                                        int64_t *bytes) {
  return guard([&] {
    require(function, "function");
    require(bytes, "bytes");
    std::vector<int64_t> dims = bindDims(*function->manifest, inputs, inputCount);
    *bytes = function->entry ? 0 : countWorkspace(*function->device, dims);
  });
}

elfatt_status elfatt_run(const elfatt_function *function, const elfatt_tensor *inputs,
                         int32_t inputCount, const elfatt_tensor *outputs, int32_t outputCount,
                         void *workspace, int64_t workspaceBytes, void *stream) {
  return guard([&] {
    require(function, "function");
    const FunctionManifest &manifest = *function->manifest;
    std::vector<int64_t> dims = bindDims(manifest, inputs, inputCount);
    checkArrays(manifest, inputs, outputs, outputCount, dims);
    if (function->entry)
      runOnHost(*function, inputs, inputCount, outputs, outputCount);
    else
      function->bundle->module->launch(manifest.name, *function->device, function->kernels, dims,
                                       inputs, outputs, workspace, workspaceBytes, stream);
  });
}
