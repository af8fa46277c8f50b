// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Cache.h"

#include "elfatt/Target/Chip.h"

#include <algorithm>
#include <bit>

using namespace elfatt::sim;
using elfatt::target::kSectorBytes;

Cache::Cache(uint64_t bytes)
    : sets(std::max<uint64_t>(bytes / (kSectorBytes * kSectorsPerLine * kWays), 1)) {
  lines.resize(sets * kWays);
}

void Cache::access(SectorAccess access) {
  uint64_t tag = access.sector / kSectorsPerLine;
  auto bit = static_cast<uint8_t>(1 << access.sector % kSectorsPerLine);
  // Spread, so that strides that are powers of two do not fall into few sets.
  uint64_t set = ((tag ^ (tag >> 17)) * 0x9e3779b97f4a7c15u >> 20) % sets;
  Line *begin = &lines[set * kWays], *end = begin + kWays;
  Line *line = std::find_if(begin, end, [&](const Line &l) { return l.tag == tag; });
  if (line == end) {
    line = std::min_element(begin, end, [](const Line &a, const Line &b) {
      return std::pair(a.isKept, a.used) < std::pair(b.isKept, b.used);
    });
    sectorsWritten += std::popcount(line->dirty);
    *line = {.tag = tag};
  }
  line->used = ++clock;
  line->isKept = !access.evictsFirst;
  if (access.isWrite)
    line->dirty |= bit;
  else
    sectorsRead += !(line->valid & bit);
  line->valid |= bit;
}

void Cache::flush() {
  for (Line &line : lines) {
    sectorsWritten += std::popcount(line.dirty);
    line.dirty = 0;
  }
}

bool Interleaver::step() {
  bool ended = false;
  for (Active &block : active) {
    if (block.next < block.trace.size())
      cache.access(block.trace[block.next++]);
    ended |= block.next >= block.trace.size();
  }
  if (ended)
    std::erase_if(active, [](const Active &a) { return a.next >= a.trace.size(); });
  return ended;
}

void Interleaver::add(Trace trace) {
  while (active.size() >= resident)
    step();
  if (!trace.empty())
    active.push_back({std::move(trace)});
}

void Interleaver::finish() {
  while (!active.empty())
    step();
}
