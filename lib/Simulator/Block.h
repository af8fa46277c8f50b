// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One block of threads: fibers, and the places where they meet.
#ifndef ELFATT_LIB_SIMULATOR_BLOCK_H
#define ELFATT_LIB_SIMULATOR_BLOCK_H

#include "WarpOps.h"
#include "elfatt/Simulator/Simulator.h"

#include <boost/context/detail/fcontext.hpp>
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
  WarpSize
};

/// Where in the kernel an instruction stands, for messages.
using SiteNames = std::vector<std::string>;

class Block {
public:
  using Entry = void (*)(void **args);

  Block(const LaunchConfig &config, const SiteNames &sites, LaunchCounts &counts);
  ~Block();
  Block(const Block &) = delete;

  /// Runs the block at `position` of the grid to its end.
  llvm::Error run(Entry entry, void **args, Dim3 position);

  // Called by kernels, on their own fibers.
  void barrier(uint32_t site);
  void collective(WarpOp op, uint32_t site, const uint32_t *in, uint32_t *out);
  uint32_t special(Special which) const;
  void countExp2() { ++counts.exp2; }

  /// The block whose thread runs on this host thread.
  static Block *current();

private:
  enum class State { Ready, Collective, Barrier, Done };
  struct Thread {
    boost::context::detail::fcontext_t context = nullptr;
    State state = State::Ready;
    uint32_t site = 0;
    WarpOp op = WarpOp::ShflIdx;
    const uint32_t *in = nullptr;
    uint32_t *out = nullptr;
    char *stack = nullptr;
  };
  static void startFiber(boost::context::detail::transfer_t transfer);
  void wait(State state, uint32_t site);
  void runReady();
  llvm::Expected<bool> meetInWarps();
  llvm::Expected<bool> meetInWarp(size_t first);
  bool meetAtBarrier();
  llvm::Error divergence(size_t a, size_t b) const;
  std::string describe(size_t thread) const;

  const LaunchConfig &config;
  const SiteNames &sites;
  LaunchCounts &counts;
  std::vector<Thread> threads;
  std::vector<size_t> order;
  std::mt19937_64 random;
  Entry entry = nullptr;
  void **args = nullptr;
  Dim3 position;
  size_t running = 0;
  boost::context::detail::fcontext_t scheduler = nullptr;
};

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_BLOCK_H
