// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "HostRates.h"

#include "elfatt/Runtime.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <vector>

// The loops below are compiled for each of these and chosen at load.
#if defined(__x86_64__)
#define ELFATT_FOR_EACH_ISA                                                                        \
  __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define ELFATT_FOR_EACH_ISA
#endif

namespace elfatt::run {
namespace {

/// As wide as the widest registers; narrower ones hold a part each.
using Floats = float __attribute__((vector_size(64)));
using Ints = int32_t __attribute__((vector_size(64)));
constexpr int lanes = sizeof(Floats) / sizeof(float);

/// Independent chains: enough to fill two pipes of four or five steps.
constexpr int chains = 12;

/// Keeps what a loop has computed.
void use(const Floats *values) { asm volatile("" : : "r"(values) : "memory"); }

ELFATT_FOR_EACH_ISA void multiplyAdd(int64_t steps) {
  Floats x[chains], factor = Floats{} + 0.999f, addend = Floats{} + 0.001f;
  for (int i = 0; i < chains; ++i)
    x[i] = Floats{} + static_cast<float>(i);
  for (int64_t step = 0; step < steps; ++step)
#pragma clang loop unroll(full)
    for (int i = 0; i < chains; ++i)
      x[i] = x[i] * factor + addend;
  use(x);
}

/// 2^x as kernels compute it: the nearest integer apart, a polynomial of degree 6,
/// the integer added to the exponent. Of 4 vectors a step.
ELFATT_FOR_EACH_ISA void exponentiate(int64_t steps) {
  constexpr int vectors = 4;
  // Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits.
  constexpr float rounder = 12582912.0f;
  Floats x[vectors], sum[vectors] = {};
  for (int i = 0; i < vectors; ++i)
    x[i] = Floats{} - 0.3f * static_cast<float>(i);
  for (int64_t step = 0; step < steps; ++step) {
#pragma clang loop unroll(full)
    for (int i = 0; i < vectors; ++i) {
      Floats shifted = x[i] + rounder, f = x[i] - (shifted - rounder);
      Floats p = f * 1.5403530e-4f + 1.3333558e-3f;
      p = p * f + 9.6181291e-3f;
      p = p * f + 5.5504109e-2f;
      p = p * f + 2.4022651e-1f;
      p = p * f + 6.9314718e-1f;
      p = p * f + 1.0f;
      sum[i] += (Floats)((Ints)p + ((Ints)shifted << 23));
    }
    // Other values each time: the powers are not to be moved out of the loop.
#pragma clang loop unroll(full)
    for (int i = 0; i < vectors; ++i)
      x[i] -= 0.001f;
  }
  use(sum);
}

/// The least seconds of a few calls; the first ones warm up.
template <typename Function> double measure(Function &&call) {
  double best = INFINITY;
  for (int i = 0; i < 7; ++i) {
    auto start = std::chrono::steady_clock::now();
    call();
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

/// One iteration for each thread of the pool.
double measureLoop(void (*loop)(int64_t), int64_t steps) {
  void *args[] = {reinterpret_cast<void *>(loop), &steps};
  return measure([&] {
    elfatt_parallel_for(
        [](void **args, int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i)
            reinterpret_cast<void (*)(int64_t)>(args[0])(*static_cast<int64_t *>(args[1]));
        },
        args, elfatt_get_threads());
  });
}

} // namespace

HostRates::HostRates() {
  constexpr int64_t steps = 100000;
  double units = static_cast<double>(steps) * elfatt_get_threads() * lanes;
  flops = 2 * chains * units / measureLoop(multiplyAdd, steps);
  exponentials = 4 * units / measureLoop(exponentiate, steps);
}

double HostRates::getCopySeconds(int64_t bytes) {
  double &seconds = copies.try_emplace(bytes, 0).first->second;
  if (seconds != 0)
    return seconds;
  // Pieces of a page or more, so that every thread has one.
  int64_t half = std::max<int64_t>(bytes / 2, 1), piece = std::max<int64_t>(half / 64, 4096);
  std::vector<char> from(half, 1), to(half);
  void *args[] = {from.data(), to.data(), &half, &piece};
  seconds = measure([&] {
    elfatt_parallel_for(
        [](void **args, int64_t begin, int64_t end) {
          int64_t half = *static_cast<int64_t *>(args[2]), piece = *static_cast<int64_t *>(args[3]);
          int64_t first = begin * piece, last = std::min(end * piece, half);
          std::memcpy(static_cast<char *>(args[1]) + first,
                      static_cast<const char *>(args[0]) + first, last - first);
        },
        args, (half + piece - 1) / piece);
  });
  return seconds;
}

target::HostRates HostRates::getRates(int64_t bytes) {
  return {std::max<int64_t>(bytes, 2) / getCopySeconds(bytes), flops, exponentials};
}

} // namespace elfatt::run
