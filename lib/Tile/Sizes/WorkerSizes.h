// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What one worker takes of a chain of parts: each part accumulates on the result of the one
// before it, and the last one names the chain.
#ifndef ELFATT_LIB_TILE_SIZES_WORKERSIZES_H
#define ELFATT_LIB_TILE_SIZES_WORKERSIZES_H

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Tile/TileParams.h"

namespace elfatt::tile {

/// The part before `op` in its chain, or null.
mlir::Operation *previousPart(mlir::Operation *op);

/// The context that the chain of `last` alone applies, where there are so many heads that
/// each can have a worker of its own for both: the context then never leaves it, and V comes
/// from the cache a second time. Of fewer heads more workers share the rows; what merges
/// segments of a context is read by each of them, in place of a launch of its own.
mlir::Operation *findOwnContext(mlir::Operation *last, const MachineLimits &limits);

/// Tile sizes of the loop over the workers of a chain, where zero means not tiled; and what they
/// take of the outermost row dim at once, where they take their rows in turns, or zero.
struct ChainSizes {
  llvm::SmallVector<int64_t> workers;
  int64_t linesOfTurn = 0;
};

/// Those of the chain of `op`, and of `context` if its workers own it. Workers take one index of
/// every batch dim, or some heads, a block of rows where rows are many, in lines of the outermost
/// row dim or, where such a line is too long, of one inside, and some of the columns where they are
/// too many for a block.
mlir::FailureOr<ChainSizes> chooseTileSizes(mlir::Operation *op, mlir::Operation *context,
                                            const MachineLimits &limits);

/// Whether one worker takes all rows of the chain of `last`, in turns, where its scratch holds
/// all keys but not all rows: they would be read by each of several workers. With few heads
/// these are for multiprocessors that had nothing to do.
bool takesRowsInTurns(mlir::Operation *last, const MachineLimits &limits);

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_SIZES_WORKERSIZES_H
