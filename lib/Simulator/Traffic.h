// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Puts what the lanes of a warp did one by one together again as instructions of the warp, and
// counts what each costs.
#ifndef ELFATT_LIB_SIMULATOR_TRAFFIC_H
#define ELFATT_LIB_SIMULATOR_TRAFFIC_H

#include "Cache.h"
#include "Sites.h"
#include "elfatt/Simulator/Simulator.h"

#include "llvm/ADT/BitVector.h"

namespace elfatt::sim {

/// One instruction of one lane. For memory, the address on the device, or the offset in shared
/// memory with the highest bit set; for a basic block, where it goes.
struct Event {
  uint64_t value;
  uint32_t site;
};
constexpr uint64_t kSharedEvent = uint64_t(1) << 63;

/// What a lane did since its warp was looked at.
struct LaneLog {
  static constexpr size_t kCapacity = 1024;
  std::vector<Event> events;
  size_t next = 0;
  bool isFull() const { return events.size() >= kCapacity; }
  bool isEmpty() const { return next == events.size(); }
};

class Traffic {
public:
  Traffic(const Sites &sites, LaunchCounts &counts, bool wantsTrace)
      : sites(sites), counts(counts), wantsTrace(wantsTrace), executed(sites.size()) {}

  /// Takes the events of lanes (null: not there). Lanes part at branches and meet again at the
  /// instruction that comes first in the code. Stops where a lane that will have more to say
  /// has no events left; with `atEnd` no lane will.
  void flush(std::array<LaneLog *, kLanes> lanes, bool atEnd);

  /// Shared memory serves the rows of one 8 x 8 matrix in one clock, without conflicts.
  void countMatrix(llvm::ArrayRef<uint64_t> rows);

  Trace takeTrace() { return std::exchange(trace, {}); }

  /// The instructions that were executed, a bit each.
  llvm::BitVector getPath() const;

private:
  struct Group {
    std::array<uint64_t, kLanes> values;
    std::array<uint8_t, kLanes> lanes;
    size_t size = 0;
  };
  void count(uint32_t site, const Group &group);
  void countGlobal(const Site &site, const Group &group, uint32_t offset);
  void countShared(const Site &site, const Group &group, uint32_t offset);

  const Sites &sites;
  LaunchCounts &counts;
  bool wantsTrace;
  Trace trace;
  llvm::BitVector executed; ///< basic blocks, by their sites
};

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_TRAFFIC_H
