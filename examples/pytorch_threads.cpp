/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

   Has the loops of bundles run on PyTorch's threads, so that a process with both has one
   pool. As a shared object beside a PyTorch extension, or as a part of one:

     torch=$(python -c 'import torch; print(torch.__path__[0])')
     g++ -std=c++20 -O2 -fPIC -shared -fopenmp -I bundle/runtime -I $torch/include \
       examples/pytorch_threads.cpp -o libpytorch_threads.so -L. -lelfatt_runtime \
       -L $torch/lib -ltorch_cpu -lc10 -Wl,-rpath,$torch/lib:.

   -fopenmp is not to be left out: at::parallel_for is a template, and without it a plain
   loop. Load it after PyTorch, whose OpenMP library then serves both. */
#include "elfatt/Runtime.h"

#include <ATen/Parallel.h>

#include <atomic>

static std::atomic<uint64_t> threads_seen{0};

static void run_loop(void *, int64_t count, elfatt_body body, void *data) {
  at::parallel_for(0, count, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
    threads_seen |= uint64_t(1) << (at::get_thread_num() % 64);
    body(data, begin, end);
  });
}

extern "C" {
/* From now on; 0 goes back to the runtime's own pool. Not while a function runs. */
void use_pytorch_threads(int on) { elfatt_set_parallel_for(on ? run_loop : nullptr, nullptr); }

/* Which of PyTorch's threads have had a part of a loop, a bit for each, and forgets them. */
uint64_t take_pytorch_threads_seen(void) { return threads_seen.exchange(0); }
}
