// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_TILE_LOWERING_SOFTMAXTILE_H
#define ELFATT_LIB_TILE_LOWERING_SOFTMAXTILE_H

#include "Builders/TileViews.h"
#include "LowerParts.h"
#include "ScoreFunction.h"

namespace elfatt::tile {

/// A softmax over keys: views without batch dims. Of several heads D and E stand for the columns
/// of all, or of the first where these are no neighbours in memory.
struct SoftmaxTile {
  mlir::Value query; ///< [rows.., D]
  mlir::Value key;   ///< [keys.., D]
  mlir::Value value; ///< [keys.., E]
  /// Keys of static extents before those, all of them in one block (CPU), or null.
  mlir::Value firstKey, firstValue;
  mlir::Value scale; ///< scalar of the computation's type
  ScoreFunction *score = nullptr;
  // sdpa: where the rows go. online: the state that is read and written.
  mlir::Value output;        ///< [rows.., E]
  mlir::Value acc, max, sum; ///< [rows.., E], [rows..], [rows..]
  /// Of several heads, what projectHeads gives; the first of each is above.
  llvm::SmallVector<mlir::Value> queries, keys, values, outputs;
  bool emptyRowsAreZero = true;
  Followers followers;
};

/// Lowers the softmax attention of `tile` where `op` stands, in the tile sizes of `ctx`.
llvm::LogicalResult lowerSoftmax(mlir::Operation *op, TileContext &ctx, SoftmaxTile tile);

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_LOWERING_SOFTMAXTILE_H
