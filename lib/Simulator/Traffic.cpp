// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Traffic.h"

#include "elfatt/Target/Chip.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <bit>
#include <limits>

using namespace llvm;
using namespace elfatt::sim;
using elfatt::target::kSectorBytes;

static constexpr uint64_t kBanks = 32, kBankBytes = 4;

void Traffic::flush(std::array<LaneLog *, kLanes> lanes, bool atEnd) {
  while (true) {
    uint32_t first = std::numeric_limits<uint32_t>::max();
    bool mustStop = false;
    for (LaneLog *lane : lanes) {
      if (!lane)
        continue;
      if (!lane->isEmpty())
        first = std::min(first, lane->events[lane->next].site);
      else if (!atEnd && lane->isFull())
        mustStop = true;
    }
    if (mustStop || first == std::numeric_limits<uint32_t>::max())
      break;
    Group group;
    for (auto [i, lane] : enumerate(lanes))
      if (lane && !lane->isEmpty() && lane->events[lane->next].site == first) {
        group.values[group.size] = lane->events[lane->next++].value;
        group.lanes[group.size++] = i;
      }
    count(first, group);
  }
  for (LaneLog *lane : lanes)
    if (lane) {
      lane->events.erase(lane->events.begin(), lane->events.begin() + lane->next);
      lane->next = 0;
    }
}

void Traffic::count(uint32_t index, const Group &group) {
  const Site &site = sites[index];
  if (site.kind == SiteKind::BasicBlock) {
    executed.set(index);
    counts.issueSlots += site.slots;
    counts.floats += site.floats;
    auto values = ArrayRef(group.values).take_front(group.size);
    counts.divergence += !all_equal(values);
    return;
  }
  for (uint32_t offset = 0; offset < site.bytes; offset += site.chunk) {
    countGlobal(site, group, offset);
    countShared(site, group, offset);
  }
}

BitVector Traffic::getPath() const {
  BitVector path;
  for (auto [index, site] : enumerate(sites))
    path.resize(path.size() + site.slots, executed.test(index));
  return path;
}

void Traffic::countGlobal(const Site &site, const Group &group, uint32_t offset) {
  // Sectors, and the bytes asked for in each.
  std::array<std::pair<uint64_t, uint32_t>, kLanes> sectors;
  size_t size = 0;
  auto bytes = static_cast<uint32_t>(maskTrailingOnes<uint32_t>(std::min(site.chunk, 32u)));
  for (size_t i = 0; i < group.size; ++i) {
    if (group.values[i] & kSharedEvent)
      continue;
    uint64_t address = group.values[i] + offset, sector = address / kSectorBytes;
    uint32_t mask = bytes << address % kSectorBytes;
    size_t found = size;
    while (found > 0 && sectors[found - 1].first != sector)
      --found;
    if (found > 0)
      sectors[found - 1].second |= mask;
    else
      sectors[size++] = {sector, mask};
  }
  bool reads = site.kind != SiteKind::Store;
  bool writes = site.kind == SiteKind::Store || site.kind == SiteKind::Atomic;
  for (auto [sector, mask] : ArrayRef(sectors).take_front(size)) {
    uint64_t used = std::popcount(mask);
    if (reads) {
      counts.globalRead += kSectorBytes;
      counts.globalUsed += used;
      if (wantsTrace)
        trace.push_back({sector, /*isWrite=*/false, site.evictsFirst});
    }
    if (writes) {
      counts.globalWritten += kSectorBytes;
      counts.globalUsed += used;
      if (wantsTrace)
        trace.push_back({sector, /*isWrite=*/true, site.evictsFirst});
    }
  }
}

/// Lanes are served 128 bytes at a time: all, 16 at 8 bytes a lane, 8 at 16. In each part every
/// bank gives one word a clock; lanes that read the same word share it.
void Traffic::countShared(const Site &site, const Group &group, uint32_t offset) {
  size_t lanesPerPart = site.chunk <= 4 ? 32 : site.chunk == 8 ? 16 : 8;
  for (size_t part = 0; part < kLanes; part += lanesPerPart) {
    std::array<std::array<uint64_t, kLanes>, kBanks> words;
    std::array<uint8_t, kBanks> number = {};
    bool any = false;
    for (size_t i = 0; i < group.size; ++i) {
      if (!(group.values[i] & kSharedEvent) || group.lanes[i] < part ||
          group.lanes[i] >= part + lanesPerPart)
        continue;
      any = true;
      uint64_t begin = (group.values[i] & ~kSharedEvent) + offset;
      for (uint64_t word = begin / kBankBytes; word <= (begin + site.chunk - 1) / kBankBytes;
           ++word) {
        auto &bank = words[word % kBanks];
        uint8_t &n = number[word % kBanks];
        bool isShared = is_contained(ArrayRef(bank).take_front(n), word);
        if (!isShared || site.kind == SiteKind::Atomic)
          bank[n++] = word;
      }
    }
    if (!any)
      continue;
    uint64_t wavefronts = *std::max_element(number.begin(), number.end());
    counts.sharedWavefronts += wavefronts;
    counts.bankConflicts += wavefronts - 1;
  }
}

void Traffic::countMatrix(ArrayRef<uint64_t> rows) {
  Site row;
  row.kind = SiteKind::Load;
  row.bytes = row.chunk = 16;
  Group group;
  for (uint64_t address : rows) {
    group.lanes[group.size] = group.size;
    group.values[group.size++] = address | kSharedEvent;
  }
  countShared(row, group, 0);
}
