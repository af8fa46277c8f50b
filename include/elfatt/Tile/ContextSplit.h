// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Contexts that several workers sum, a segment of the tokens each, and what workers take of the
// rows that meet them. Pure.
#ifndef ELFATT_TILE_CONTEXTSPLIT_H
#define ELFATT_TILE_CONTEXTSPLIT_H

#include "elfatt/Tile/TileParams.h"

namespace elfatt::tile {

/// Segments of the tokens whose parts of a context are summed beside each other, `tokens`
/// each; what is left is one more.
struct ContextSplit {
  int64_t segments = 1, tokens = 0;
};

/// How to split a context of `tokens` tokens, of which one worker takes `step` at a time,
/// for each of `workers` heads and images. It depends on nothing else, so that results do
/// not depend on the number of threads.
ContextSplit getContextSplit(int64_t tokens, int64_t workers, int64_t step);

/// The same for kernels: where heads and images are too few to have one worker each
/// (`hasWorkerOfHead`), segments for the multiprocessors that are left, but no more than
/// those who merge them are to read.
ContextSplit getKernelContextSplit(const MachineLimits &limits, int64_t tokens, int64_t workers,
                                   int64_t step);

/// Whether heads (of all images) are so many that one worker of a kernel makes and applies
/// the context of each.
bool hasWorkerOfHead(const MachineLimits &limits, int64_t heads);

/// Rows that meet contexts which were summed in segments, by a launch before.
struct AppliedRows {
  int64_t heads;    ///< of all images
  int64_t lines;    ///< of the outermost row dim
  int64_t line;     ///< rows of each
  int64_t segments; ///< whose states each worker reads
};

/// What one worker takes of them.
struct AppliedTiles {
  int64_t heads;
  int64_t lines;        ///< at once
  int64_t linesOfTurns; ///< in turns, which find the contexts there; a multiple of `lines`
};

/// Of one head, or of `heads` where these are whole sectors, what takes the least time for bytes:
/// rows, V with the lines around, states of segments; by all multiprocessors, and by the busiest.
/// `extents` are of one head (GPU).
AppliedTiles chooseAppliedTiles(const MachineLimits &limits, TileExtents extents, int64_t heads,
                                const AppliedRows &rows);

} // namespace elfatt::tile

#endif // ELFATT_TILE_CONTEXTSPLIT_H
