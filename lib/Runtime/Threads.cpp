// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A pool of threads for parallel loops. Its own, and not OpenMP's: two OpenMP
// runtimes in one process (ours and PyTorch's) do not go together.
#include "elfatt/Runtime.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <sched.h>
#include <thread>
#include <vector>

extern "C" void omp_set_num_threads(int);

namespace {

/// Chunks of one loop. Enough to even out tiles of unequal cost, few enough
/// that taking one costs nothing beside it.
constexpr int64_t maxChunks = 64;

/// How often an idle worker looks for work before it sleeps: tens of
/// microseconds, about the distance between two loops of a model.
constexpr int spins = 20000;

/// Set on a thread that runs a loop's body.
thread_local bool insideLoop = false;

int32_t usableCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0)
    return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

/// One loop. Workers that come late find `next` beyond `chunks` and do
/// nothing, so a loop is over when all its chunks are done.
struct Loop {
  elfatt_kernel kernel;
  void **args;
  int64_t count;
  int64_t chunks;
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> done{0};

  void work() {
    int64_t finished = 0;
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < chunks; ++finished)
      kernel(args, count * i / chunks, count * (i + 1) / chunks);
    if (finished)
      done.fetch_add(finished, std::memory_order_release);
  }
};

class Pool {
public:
  explicit Pool(int32_t threads) {
    for (int32_t i = 1; i < threads; ++i)
      workers.emplace_back([this] { run(); });
  }

  ~Pool() {
    {
      std::lock_guard lock(mutex);
      stop = true;
      generation.fetch_add(1, std::memory_order_release);
    }
    wake.notify_all();
    for (std::thread &worker : workers)
      worker.join();
  }

  int32_t size() const { return static_cast<int32_t>(workers.size()) + 1; }

  void parallelFor(elfatt_kernel kernel, void **args, int64_t count) {
    auto loop = std::make_shared<Loop>();
    loop->kernel = kernel;
    loop->args = args;
    loop->count = count;
    loop->chunks = std::min(count, maxChunks);
    {
      std::lock_guard lock(mutex);
      current = loop;
      generation.fetch_add(1, std::memory_order_release);
    }
    if (sleeping.load(std::memory_order_acquire) > 0)
      wake.notify_all();
    insideLoop = true;
    loop->work();
    insideLoop = false;
    while (loop->done.load(std::memory_order_acquire) < loop->chunks)
      std::this_thread::yield();
  }

  /// Held by the one thread whose loop runs.
  std::mutex entry;

private:
  void run() {
    // A dense product inside a loop runs on the thread that asks for it.
    omp_set_num_threads(1);
    insideLoop = true;
    uint64_t seen = 0;
    while (true) {
      for (int i = 0; i < spins && generation.load(std::memory_order_acquire) == seen; ++i)
        __builtin_ia32_pause();
      std::shared_ptr<Loop> loop;
      {
        std::unique_lock lock(mutex);
        sleeping.fetch_add(1);
        wake.wait(lock, [&] { return generation.load() != seen; });
        sleeping.fetch_sub(1);
        if (stop)
          return;
        seen = generation.load();
        loop = current;
      }
      loop->work();
    }
  }

  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<uint64_t> generation{0};
  std::atomic<int> sleeping{0};
  std::shared_ptr<Loop> current;
  bool stop = false;
};

std::mutex poolMutex;

std::shared_ptr<Pool> &poolSlot() {
  // Never destroyed: threads must not be joined while the process unloads.
  static auto *slot = new std::shared_ptr<Pool>;
  return *slot;
}

std::shared_ptr<Pool> pool() {
  std::lock_guard lock(poolMutex);
  if (!poolSlot())
    poolSlot() = std::make_shared<Pool>(usableCores());
  return poolSlot();
}

} // namespace

void elfatt_set_threads(int32_t threads) {
  auto fresh = std::make_shared<Pool>(threads > 0 ? threads : usableCores());
  std::lock_guard lock(poolMutex);
  poolSlot().swap(fresh);
}

int32_t elfatt_get_threads(void) { return pool()->size(); }

void elfatt_parallel_for(elfatt_kernel kernel, void **args, int64_t count) {
  if (count <= 0)
    return;
  if (insideLoop || count == 1)
    return kernel(args, 0, count);
  std::shared_ptr<Pool> threads = pool();
  std::unique_lock lock(threads->entry, std::try_to_lock);
  // Another caller's loop has the pool: this one runs here, beside it.
  if (threads->size() == 1 || !lock.owns_lock())
    return kernel(args, 0, count);
  threads->parallelFor(kernel, args, count);
}
