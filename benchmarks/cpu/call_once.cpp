// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Calls a compiled @attention twice: once to warm up, once inside `measured`, which is
// what callgrind counts. Linked with the code of @attention and with libelfatt_runtime;
// SHAPES lists the arguments' shapes, RESULT_RANK the rank of the only result.
#include "elfatt/Runtime.h"

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace {

const std::vector<std::vector<int64_t>> shapes = {SHAPES};
constexpr int numArguments = NUM_ARGUMENTS;
constexpr int resultWords = 3 + 2 * RESULT_RANK;

/// A float32 array that is not zero, and its memref descriptor: allocated and
/// aligned pointer, offset, sizes, strides.
struct Argument {
  std::vector<float> values;
  std::vector<int64_t> descriptor;

  explicit Argument(const std::vector<int64_t> &shape) {
    int64_t size = 1;
    for (int64_t extent : shape)
      size *= extent;
    for (int64_t i = 0; i < size; ++i)
      values.push_back(static_cast<float>(i * 37 % 101) / 101 - 0.5f);
    int64_t address = reinterpret_cast<int64_t>(values.data());
    descriptor = {address, address, 0};
    descriptor.insert(descriptor.end(), shape.begin(), shape.end());
    for (int64_t extent : shape)
      descriptor.push_back(size = size / extent);
  }
};

template <std::size_t> using Pointer = void *;

} // namespace

extern "C" {
void *_mlir_memref_to_llvm_aligned_alloc(int64_t alignment, int64_t bytes) {
  return elfatt_alloc(alignment, bytes);
}
void _mlir_memref_to_llvm_free(void *block) { elfatt_free(block); }
}

template <std::size_t... Is>
static void call(int64_t *result, std::vector<Argument> &arguments, std::index_sequence<Is...>) {
  // The declaration has as many parameters as @attention.
  extern void entry(void *, Pointer<Is>...) __asm__("_mlir_ciface_attention");
  entry(result, arguments[Is].descriptor.data()...);
}

extern "C" __attribute__((noinline)) void measured(int64_t *result,
                                                   std::vector<Argument> &arguments) {
  call(result, arguments, std::make_index_sequence<numArguments>());
}

int main() {
  elfatt_set_threads(1);
  std::vector<Argument> arguments(shapes.begin(), shapes.end());
  int64_t result[resultWords];
  call(result, arguments, std::make_index_sequence<numArguments>());
  elfatt_free(reinterpret_cast<void *>(result[0]));
  measured(result, arguments);
  elfatt_free(reinterpret_cast<void *>(result[0]));
}
