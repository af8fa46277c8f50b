// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_TILE_LOWERING_KEYBLOCKS_H
#define ELFATT_LIB_TILE_LOWERING_KEYBLOCKS_H

#include "SoftmaxTile.h"

namespace elfatt::tile {

/// The keys of a tile in blocks of whole lines of the outermost key dim.
struct KeyBlocks {
  int64_t lines;   ///< of the outermost key dim in one block
  int64_t inner;   ///< keys of one line
  int64_t columns; ///< keys of one block, padded
  int64_t tile;    ///< keys of one register tile
  int64_t tiles;   ///< register tiles of one block
  bool single;     ///< one block holds all
  int64_t first;   ///< keys of tile.firstKey before those
  bool exact;      ///< no block has padding

  /// In the sizes of `ctx`; fails with a diagnostic at `op` where inner extents are not known.
  static llvm::FailureOr<KeyBlocks> choose(mlir::Operation *op, const TileContext &ctx,
                                           const SoftmaxTile &tile);

  /// Leaves out the upper half of the last register of the only tile, where no key is in it: some
  /// cores take half the time for the other.
  void dropHalfRegister(const TileContext &ctx);

  /// The first column of a register tile that may lie beyond `key` in some tile, in steps of
  /// padding: those before it need no mask.
  int64_t firstMasked(mlir::Value key, const TileParams &params) const;
};

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_LOWERING_KEYBLOCKS_H
