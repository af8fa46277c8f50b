// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Calls @main of a bundle of float32 twice on one thread: once to warm up, once inside `measured`,
// which is what callgrind counts.
#include "elfatt/Runtime.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

void check(elfatt_status status) {
  if (status == ELFATT_OK)
    return;
  std::fprintf(stderr, "error: %s\n", elfatt_message());
  std::exit(2);
}

/// A float32 array that is not zero.
struct Argument {
  std::vector<int64_t> shape;
  std::vector<float> values;

  explicit Argument(const elfatt_type &type) : shape(type.shape, type.shape + type.rank) {
    int64_t size = 1;
    for (int64_t extent : shape)
      size *= extent;
    for (int64_t i = 0; i < size; ++i)
      values.push_back(static_cast<float>(i * 37 % 101) / 101 - 0.5f);
  }

  elfatt_tensor get() {
    return {values.data(), ELFATT_F32, static_cast<int32_t>(shape.size()), shape.data(), nullptr};
  }
};

} // namespace

extern "C" __attribute__((noinline)) void measured(const elfatt_function *function,
                                                   const std::vector<elfatt_tensor> &inputs,
                                                   const std::vector<elfatt_tensor> &outputs) {
  check(elfatt_run(function, inputs.data(), inputs.size(), outputs.data(), outputs.size(), nullptr,
                   0, nullptr));
}

int main(int argc, char **argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: call_once BUNDLE TARGET\n");
    return 2;
  }
  elfatt_set_threads(1);
  elfatt_bundle *bundle;
  const elfatt_function *function;
  int32_t numInputs, numOutputs;
  check(elfatt_bundle_open(argv[1], argv[2], &bundle));
  check(elfatt_bundle_find(bundle, "main", &function));
  check(elfatt_function_counts(function, &numInputs, &numOutputs));
  std::vector<Argument> arguments;
  for (int32_t i = 0; i < numInputs + numOutputs; ++i) {
    elfatt_type type;
    check(i < numInputs ? elfatt_function_input(function, i, &type)
                        : elfatt_function_output(function, i - numInputs, &type));
    arguments.emplace_back(type);
  }
  std::vector<elfatt_tensor> inputs, outputs;
  for (int32_t i = 0; i < numInputs + numOutputs; ++i)
    (i < numInputs ? inputs : outputs).push_back(arguments[i].get());
  check(elfatt_run(function, inputs.data(), numInputs, outputs.data(), numOutputs, nullptr, 0,
                   nullptr));
  measured(function, inputs, outputs);
  elfatt_bundle_close(bundle);
}
