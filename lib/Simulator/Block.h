// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One block of threads: fibers, and the places where they meet.
#ifndef ELFATT_LIB_SIMULATOR_BLOCK_H
#define ELFATT_LIB_SIMULATOR_BLOCK_H

#include "GlobalMemory.h"
#include "SharedMemory.h"
#include "Traffic.h"

#include <boost/context/detail/fcontext.hpp>
#include <map>
#include <random>

namespace elfatt::sim {

/// Special registers that kernels read.
enum class Special : uint32_t {
  TidX,
  TidY,
  TidZ,
  NtidX,
  NtidY,
  NtidZ,
  CtaidX,
  CtaidY,
  CtaidZ,
  NctaidX,
  NctaidY,
  NctaidZ,
  LaneId,
  WarpSize,
  WarpId,
  LaneMaskEq,
  LaneMaskLt,
  LaneMaskLe,
  LaneMaskGt,
  LaneMaskGe,
  DynamicSharedSize,
};

/// What the threads of a launch share.
struct LaunchState {
  const LaunchConfig &config;
  const Sites &sites;
  SharedMemory &shared;
  GlobalMemory &global;
  Traffic &traffic;
  LaunchCounts &counts;
  /// The buffer that each parameter of the kernel points to; -1: none.
  std::vector<int> argumentBuffers;
  size_t stackBytes;
};

class Block {
public:
  using Entry = void (*)(void **args);

  explicit Block(LaunchState &launch);
  ~Block();
  Block(const Block &) = delete;

  /// Runs the block at `position` of the grid to its end.
  llvm::Error run(Entry entry, void **args, Dim3 position);

  // Called by kernels, on their own fibers.
  void access(uint32_t site, char *pointer);
  void store(uint32_t site, char *pointer, const void *value);
  void divide(uint32_t site, uint64_t divisor, bool overflows);
  void accessRange(uint32_t site, char *pointer, uint64_t bytes);
  void branch(uint32_t site, uint32_t where);
  void collective(uint32_t site, const uint32_t *in, uint32_t *out);
  uint32_t barrier(uint32_t site, uint32_t id, uint32_t count, uint32_t value);
  void copyAsync(uint32_t site, char *to, const char *from, uint32_t bytes);
  void commitAsync();
  /// Lands all groups but the last `left`; all copies at all where it is negative.
  void waitAsync(int64_t left);
  uint32_t special(Special which) const;
  LaunchCounts &getCounts() { return launch.counts; }
  bool isShared(const void *pointer) const { return launch.shared.contains(pointer); }
  /// Ends the block: `what` went wrong at the site. Does not return.
  [[noreturn]] void fail(uint32_t site, const std::string &what);
  /// Ends the thread.
  [[noreturn]] void exit();

  /// The block whose thread runs on this host thread.
  static Block *current();

private:
  enum class State { Ready, Collective, Barrier, Done };
  struct AsyncCopy {
    char *to;
    uint32_t site, bytes;
    uint64_t group;
    char data[16];
  };
  struct Thread {
    boost::context::detail::fcontext_t context = nullptr;
    State state = State::Ready;
    uint32_t site = 0;
    uint64_t steps = 0;
    // Collectives.
    const uint32_t *in = nullptr;
    uint32_t *out = nullptr;
    // Barriers.
    uint32_t barrier = 0, count = 0, value = 0;
    // cp.async: copies on their way, groups committed.
    std::vector<AsyncCopy> copies;
    uint64_t groups = 0;
    LaneLog log;
    char *stack = nullptr;
  };
  /// Threads that came to a barrier without waiting.
  struct Arrivals {
    uint32_t count = 0, expected = 0;
    std::vector<Clocks::Time> times;
  };

  static void startFiber(boost::context::detail::transfer_t transfer);
  void wait(State state, uint32_t site);
  void log(uint32_t site, uint64_t value);
  void makeRoom(uint32_t site);
  void touch(uint32_t site, char *pointer, uint32_t bytes, const void *value = nullptr);
  uint64_t checkGlobal(const Site &site, uint32_t index, const char *pointer, uint32_t bytes);
  bool runReady();
  void flush(size_t warp, uint32_t mask, bool atEnd);
  bool meetInWarps();
  bool meetInWarp(size_t first, size_t leader);
  bool canMeet(size_t first, uint32_t mask, uint32_t site) const;
  uint32_t maskOf(const Thread &thread) const;
  void perform(size_t first, uint32_t mask, uint32_t site);
  void moveMatrices(size_t first, const Site &site, uint32_t index, const WarpRegisters &in,
                    WarpRegisters &out);
  bool meetAtBarriers();
  bool meetAtBarrier(uint32_t id);
  void release(uint32_t id, llvm::ArrayRef<size_t> waiting);
  void reportDeadlock();
  void report(std::string text);
  std::string nameThread(size_t thread) const;
  std::string describe(size_t thread) const;

  LaunchState &launch;
  const Sites &sites;
  std::vector<Thread> threads;
  std::vector<size_t> order;
  std::mt19937_64 random;
  std::map<uint32_t, Arrivals> arrivals;
  char *stacks = nullptr;
  size_t stacksBytes = 0;
  Entry entry = nullptr;
  void **args = nullptr;
  Dim3 position;
  size_t running = 0;
  std::string failure;
  boost::context::detail::fcontext_t scheduler = nullptr;
};

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_BLOCK_H
