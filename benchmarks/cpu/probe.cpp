// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What this machine can do at the most, as JSON: multiply-adds, exponentials and
// copies a second.
//
//     clang++ -O3 -march=native -std=c++20 -pthread probe.cpp -o probe
//     ./probe THREADS BYTES...
//
// A copy of BYTES reads half of them and writes the other half. Each figure is the
// best of some tries: a limit is what nothing else disturbs.
#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int bytesOfRegister = 64;
#elif defined(__AVX2__)
constexpr int bytesOfRegister = 32;
#else
constexpr int bytesOfRegister = 16;
#endif
using Floats = float __attribute__((vector_size(bytesOfRegister)));
using Ints = int32_t __attribute__((vector_size(bytesOfRegister)));
constexpr int lanes = bytesOfRegister / 4;
constexpr int tries = 15;

/// Twelve independent chains hide the latency of two pipes.
void multiplyAdd(int64_t steps) {
  constexpr int chains = 12;
  Floats x[chains], factor = Floats{} + 0.999f, addend = Floats{} + 0.001f;
  for (int i = 0; i < chains; ++i)
    x[i] = Floats{} + float(i);
  for (int64_t step = 0; step < steps; ++step)
    for (int i = 0; i < chains; ++i)
      x[i] = x[i] * factor + addend;
  asm volatile("" : : "r"(x) : "memory");
}

/// 2^x: nearest integer apart, polynomial of degree 6 (below 2 ulp), exponent added.
void exponentiate(int64_t steps) {
  constexpr int chains = 4;
  Floats x[chains], sum[chains] = {};
  for (int i = 0; i < chains; ++i)
    x[i] = Floats{} - 0.3f * float(i);
  for (int64_t step = 0; step < steps; ++step)
    for (int i = 0; i < chains; ++i) {
      Floats shifted = x[i] + 12582912.0f, f = x[i] - (shifted - 12582912.0f);
      Floats p = f * 1.5403530e-4f + 1.3333558e-3f;
      p = p * f + 9.6181291e-3f;
      p = p * f + 5.5504109e-2f;
      p = p * f + 2.4022651e-1f;
      p = p * f + 6.9314718e-1f;
      p = p * f + 1.0f;
      sum[i] += (Floats)((Ints)p + ((Ints)shifted << 23));
      x[i] -= 0.001f;
    }
  asm volatile("" : : "r"(sum) : "memory");
}

/// The least seconds in which all threads have done `work(thread)`.
template <typename Work> double measure(int threads, Work &&work) {
  using Clock = std::chrono::steady_clock;
  double best = 1e30;
  std::barrier all(threads);
  auto run = [&](int thread) {
    for (int i = 0; i < tries; ++i) {
      all.arrive_and_wait();
      auto start = Clock::now();
      work(thread);
      all.arrive_and_wait();
      std::chrono::duration<double> time = Clock::now() - start;
      if (thread == 0)
        best = std::min(best, time.count());
    }
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread)
    others.emplace_back(run, thread);
  run(0);
  for (std::thread &other : others)
    other.join();
  return best;
}

} // namespace

int main(int argc, char **argv) {
  int threads = argc > 1 ? std::atoi(argv[1]) : 0;
  if (threads < 1) {
    std::fprintf(stderr, "usage: probe THREADS BYTES...\n");
    return 2;
  }
  constexpr int64_t steps = 200000;
  double values = double(steps) * threads * lanes;
  double flops = 2 * 12 * values / measure(threads, [](int) { multiplyAdd(steps); });
  double exponentials = 4 * values / measure(threads, [](int) { exponentiate(steps); });
  std::printf("{\"flops\": %.6e, \"exponentials\": %.6e, \"copies\": {", flops, exponentials);
  for (int i = 2; i < argc; ++i) {
    int64_t half = std::max<int64_t>(std::atoll(argv[i]) / 2, threads);
    std::vector<char> from(half, 1), to(half);
    double seconds = measure(threads, [&](int thread) {
      int64_t first = half * thread / threads, last = half * (thread + 1) / threads;
      std::memcpy(to.data() + first, from.data() + first, last - first);
    });
    std::printf("%s\"%s\": %.6e", i > 2 ? ", " : "", argv[i], 2 * half / seconds);
  }
  std::printf("}}\n");
}
