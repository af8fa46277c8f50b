// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/ContextSplit.h"

#include "elfatt/Target/Chip.h"

#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace elfatt;
using namespace elfatt::tile;

/// Fewer workers than this leave cores of a usual machine without work; so many at most.
static constexpr int64_t kFewWorkers = 16, kMostWorkers = 32;
/// Tokens that are worth a worker and its part of the merge.
static constexpr int64_t kSegmentTokens = 1024;

ContextSplit elfatt::tile::getContextSplit(int64_t tokens, int64_t workers, int64_t step) {
  if (workers <= 0 || workers >= kFewWorkers)
    return {1, tokens};
  const int64_t most = std::min(tokens / kSegmentTokens, (kMostWorkers + workers - 1) / workers);
  if (most < 2)
    return {1, tokens};
  // Without a rest, if that is possible with not many fewer.
  for (int64_t segments = most; 2 * segments > most && segments > 1; --segments)
    if (tokens % (segments * step) == 0)
      return {segments, tokens / segments};
  return {most, tokens / most / step * step};
}

/// Heads are no fewer than this part of the multiprocessors.
static constexpr int64_t kProcessorsOfHead = 8;
/// Each row tile merges all segments: more of them pay only where tokens are very many. It
/// reads four of them at once.
static constexpr int64_t kMostSegments = 16, kUsualSegments = 8, kSegmentGroup = 4;
/// Contexts take a part of the multiprocessors: windows of the same launch have the others.
static constexpr int64_t kShareOfContexts = 4;

bool elfatt::tile::hasWorkerOfHead(const MachineLimits &limits, int64_t heads) {
  return heads * kProcessorsOfHead >= limits.processors;
}

ContextSplit elfatt::tile::getKernelContextSplit(const MachineLimits &limits, int64_t tokens,
                                                 int64_t workers, int64_t step) {
  if (workers <= 0 || hasWorkerOfHead(limits, workers))
    return {1, tokens};
  const int64_t most =
      std::min({limits.processors / workers / kShareOfContexts, tokens / step,
                std::clamp(tokens / kSegmentTokens / 2, kUsualSegments, kMostSegments)});
  if (most < 2)
    return {1, tokens};
  for (int64_t group : {kSegmentGroup, int64_t(1)})
    for (int64_t segments = most; 2 * segments > most && segments > 1; --segments)
      if (tokens % segments == 0 && segments % group == 0)
        return {segments, tokens / segments};
  return {most, tokens / most / step * step};
}

/// Bytes of the sectors that a row of `bytes` bytes touches, among rows that lie one after the
/// other.
static double countSectorBytes(int64_t bytes) {
  int64_t sectors = 0;
  for (int64_t row = 0; row < target::kSectorBytes; ++row)
    sectors +=
        ((row + 1) * bytes - 1) / target::kSectorBytes - row * bytes / target::kSectorBytes + 1;
  return double(sectors);
}

/// Of the rate at which all multiprocessors read memory one alone reaches so many shares.
static constexpr double kSharesOfProcessor = 2;
/// What whole sectors may cost in that time, for multiprocessors without work.
static constexpr double kCostOfSectors = 1.25;

AppliedTiles elfatt::tile::chooseAppliedTiles(const MachineLimits &limits, TileExtents extents,
                                              int64_t heads, const AppliedRows &rows) {
  AppliedTiles best{1, 1, 1};
  double least = std::numeric_limits<double>::infinity();
  for (int64_t taken : {int64_t(1), heads}) {
    if (taken == heads && heads > 1)
      least *= kCostOfSectors;
    extents.heads = taken;
    extents.hasProcessor = taken > 1;
    const int64_t stored = extents.storageBits / 8;
    const double query = countSectorBytes(taken * extents.channels * stored);
    const double value = countSectorBytes(taken * extents.values * stored);
    const double states =
        taken * rows.segments * extents.channels * (extents.values + 2) * extents.bits / 8;
    const int64_t most =
        std::max<int64_t>(1, getTileParams(limits, extents).rowsPerWorker / rows.line);
    for (int64_t atMost = std::min(most, rows.lines); atMost > 0; --atMost) {
      // Of about the same height.
      const int64_t lines = llvm::divideCeil(rows.lines, llvm::divideCeil(rows.lines, atMost));
      // Turns, of which each keeps the lines of V around a border, are equal.
      for (int64_t all = lines; all == lines || all <= rows.lines; all += lines) {
        if (all != lines && rows.lines % all != 0)
          continue;
        const double around = extents.hasLepe ? std::min(all, rows.lines) + 2 : 0;
        const double bytes =
            rows.line * (std::min(all, rows.lines) * (query + value) + around * value) + states;
        const double workers = rows.heads / taken * llvm::divideCeil(rows.lines, all);
        const double busiest = bytes * std::ceil(workers / limits.processors) / kSharesOfProcessor;
        const double time = std::max(workers * bytes / limits.processors, busiest);
        if (time < least) {
          least = time;
          best = {taken, lines, all};
        }
      }
    }
  }
  return best;
}
