// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A pool of threads for parallel loops. Its own, and not OpenMP's: two OpenMP
// runtimes in one process (ours and PyTorch's) do not go together.
#include "elfatt/Runtime.h"

#include "Processor.h"
#include "Run.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

using namespace elfatt::runtime;

namespace {

/// Chunks of one loop. Enough to even out tiles of unequal cost, few enough
/// that taking one costs nothing beside it.
constexpr int64_t maxChunks = 64;

/// How often an idle worker looks for work before it sleeps: tens of
/// microseconds, about the distance between two loops of a model.
constexpr int spins = 20000;

/// Set on a thread that runs a loop's body.
thread_local bool insideLoop = false;

/// One loop. Workers that come late find `next` beyond `chunks` and do
/// nothing, so a loop is over when all its chunks are done.
struct Loop {
  Loop(elfatt_kernel kernel, void **args, int64_t count)
      : kernel(kernel), args(args), count(count), chunks(std::min(count, maxChunks)) {}

  elfatt_kernel kernel;
  void **args;
  int64_t count;
  int64_t chunks;
  /// The run that the loop is part of; null outside of one.
  Run *run = Run::current();
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> done{0};
  std::atomic<bool> failed{false};
  /// The first fault of a chunk, written by the one that sets `failed`.
  std::exception_ptr fault;

  void runChunk(int64_t i) {
    if (failed.load(std::memory_order_relaxed))
      return;
    try {
      kernel(args, count * i / chunks, count * (i + 1) / chunks);
    } catch (...) {
      if (!failed.exchange(true))
        fault = std::current_exception();
    }
  }

  void work() {
    Run::Scope scope(run);
    int64_t finished = 0;
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < chunks; ++finished)
      runChunk(i);
    if (finished)
      done.fetch_add(finished, std::memory_order_release);
  }

  /// Of the thread that started the loop, once all chunks are done.
  void rethrowFault() {
    if (fault)
      std::rethrow_exception(fault);
  }
};

/// Keeps a loop that is started on this thread from starting others.
struct InsideLoop {
  InsideLoop() : before(std::exchange(insideLoop, true)) {}
  ~InsideLoop() { insideLoop = before; }
  bool before;
};

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

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
    auto loop = std::make_shared<Loop>(kernel, args, count);
    {
      std::lock_guard lock(mutex);
      current = loop;
      generation.fetch_add(1, std::memory_order_release);
    }
    if (sleeping.load(std::memory_order_acquire) > 0)
      wake.notify_all();
    {
      InsideLoop inside;
      loop->work();
    }
    while (loop->done.load(std::memory_order_acquire) < loop->chunks)
      std::this_thread::yield();
    loop->rethrowFault();
  }

  /// Held by the one thread whose loop runs.
  std::mutex entry;

private:
  void run() {
    insideLoop = true;
    uint64_t seen = 0;
    while (true) {
      for (int i = 0; i < spins && generation.load(std::memory_order_acquire) == seen; ++i)
        relax();
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

/// The embedder's threads, where it has set some.
struct External {
  elfatt_parallel_for_function function;
  void *context;
};
std::mutex externalMutex;
External external{nullptr, nullptr};

External getExternal() {
  std::lock_guard lock(externalMutex);
  return external;
}

/// Cut into the same chunks as on the pool.
void runExternally(const External &threads, elfatt_kernel kernel, void **args, int64_t count) {
  Loop loop(kernel, args, count);
  threads.function(
      threads.context, loop.chunks,
      [](void *data, int64_t begin, int64_t end) {
        Loop &loop = *static_cast<Loop *>(data);
        InsideLoop inside;
        Run::Scope scope(loop.run);
        for (int64_t i = begin; i < end; ++i)
          loop.runChunk(i);
      },
      &loop);
  loop.rethrowFault();
}

std::mutex poolMutex;

std::shared_ptr<Pool> &poolSlot() {
  // Never destroyed: threads must not be joined while the process unloads.
  static auto *slot = new std::shared_ptr<Pool>;
  return *slot;
}

std::shared_ptr<Pool> pool() {
  std::lock_guard lock(poolMutex);
  if (!poolSlot())
    poolSlot() = std::make_shared<Pool>(countUsableCores());
  return poolSlot();
}

} // namespace

void elfatt_set_threads(int32_t threads) {
  auto fresh = std::make_shared<Pool>(threads > 0 ? threads : countUsableCores());
  std::lock_guard lock(poolMutex);
  poolSlot().swap(fresh);
}

void elfatt_set_parallel_for(elfatt_parallel_for_function function, void *context) {
  std::lock_guard lock(externalMutex);
  external = {function, context};
}

int32_t elfatt_get_threads(void) { return pool()->size(); }

void elfatt_parallel_for(elfatt_kernel kernel, void **args, int64_t count) {
  if (count <= 0)
    return;
  if (insideLoop || count == 1)
    return kernel(args, 0, count);
  if (External threads = getExternal(); threads.function)
    return runExternally(threads, kernel, args, count);
  std::shared_ptr<Pool> threads = pool();
  std::unique_lock lock(threads->entry, std::try_to_lock);
  // Another caller's loop has the pool: this one runs here, beside it.
  if (threads->size() == 1 || !lock.owns_lock())
    return kernel(args, 0, count);
  threads->parallelFor(kernel, args, count);
}
