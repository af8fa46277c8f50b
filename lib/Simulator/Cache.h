// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The L2: what of the global traffic goes on to memory.
#ifndef ELFATT_LIB_SIMULATOR_CACHE_H
#define ELFATT_LIB_SIMULATOR_CACHE_H

#include <cstdint>
#include <deque>
#include <vector>

namespace elfatt::sim {

/// What a block does to a sector.
struct SectorAccess {
  uint64_t sector : 62;
  uint64_t isWrite : 1;
  uint64_t evictsFirst : 1; ///< the line goes before those that were not asked for like that
};

/// Lines of 128 bytes in four sectors, 16 ways; written back, and a written sector is not read
/// first. The least recently used line of a set goes, of those whose last access was to evict
/// first if there are any.
class Cache {
public:
  explicit Cache(uint64_t bytes);
  void access(SectorAccess access);
  /// Writes back what is dirty.
  void flush();
  uint64_t getSectorsRead() const { return sectorsRead; }
  uint64_t getSectorsWritten() const { return sectorsWritten; }

private:
  static constexpr uint64_t kWays = 16, kSectorsPerLine = 4;
  struct Line {
    uint64_t tag = ~uint64_t(0);
    uint32_t used = 0;
    uint8_t valid = 0, dirty = 0;
    bool isKept = false;
  };
  std::vector<Line> lines;
  uint64_t sets;
  uint32_t clock = 0;
  uint64_t sectorsRead = 0, sectorsWritten = 0;
};

/// What one block does, in its order.
using Trace = std::vector<SectorAccess>;

/// Feeds the traces of as many blocks as the chip holds at once to a cache, one access of each
/// in turn; when a block ends, the next of the launch takes its place.
class Interleaver {
public:
  Interleaver(Cache &cache, size_t resident) : cache(cache), resident(resident) {}
  void add(Trace trace);
  /// All blocks are there.
  void finish();

private:
  struct Active {
    Trace trace;
    size_t next = 0;
  };
  /// One access of each; true if a block has ended.
  bool step();

  Cache &cache;
  size_t resident;
  std::deque<Active> active;
};

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_CACHE_H
