// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The instructions of a kernel that the simulator looks at.
#ifndef ELFATT_LIB_SIMULATOR_SITES_H
#define ELFATT_LIB_SIMULATOR_SITES_H

#include "Collectives.h"

#include <string>
#include <vector>

namespace elfatt::sim {

enum class SiteKind : uint8_t {
  BasicBlock, ///< its end: what it costs, and where it goes
  Load,
  Store,
  Atomic,
  AsyncCopy, ///< cp.async; the site behind it is its store to shared memory
  Collective,
  Barrier,
  Other
};

/// How threads meet at a barrier.
struct BarrierKind {
  bool waits = true;     ///< false: barrier.arrive
  bool isAligned = true; ///< all of a warp at the same instruction
  enum { None, And, Or, Popc } reduces = None;
};

struct Site {
  SiteKind kind = SiteKind::Other;
  std::string name; ///< "ld.shared in kernel (file:line:column)"
  // Memory.
  uint32_t bytes = 0;     ///< of one thread
  uint32_t alignment = 1; ///< what the code promises
  uint32_t chunk = 1;     ///< bytes that one instruction moves
  int argument = -1;      ///< the kernel's parameter that the address comes from, if known
  int sharedArray = -1;   ///< the array in shared memory, if known
  bool acquires = false, releases = false;
  bool evictsFirst = false; ///< the L2 is told to give these lines up first
  // Basic blocks.
  uint32_t slots = 0, floats = 0; ///< of the whole warp
  Collective collective;
  BarrierKind barrier;
};
using Sites = std::vector<Site>;

/// An array in shared memory.
struct SharedArray {
  std::string name;
  uint64_t offset = 0; ///< in the simulator's arena
  uint64_t bytes = 0;
  bool isDynamic = false; ///< the launch says how many bytes
};

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_SITES_H
