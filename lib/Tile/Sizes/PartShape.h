// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What choosing tile sizes needs to know of a part: which dims of its domain are
// batch dims and which are rows, and its extents.
#ifndef ELFATT_LIB_TILE_SIZES_PARTSHAPE_H
#define ELFATT_LIB_TILE_SIZES_PARTSHAPE_H

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Tile/TileParams.h"

namespace elfatt::tile {

struct PartShape {
  llvm::SmallVector<unsigned> batch, rows;
  unsigned values = 0;          ///< the dim of the result's columns
  std::optional<unsigned> head; ///< of a tile of several heads: their dim
  TileExtents extents;
};

/// The shape of a part (sdpa, online, finalize, context, apply or lepe). Of lepe,
/// the grid dims are rows and the last dim holds the values.
PartShape getPartShape(mlir::Operation *op);

/// The batch dim of a part that runs along neighbours in memory, if one does: each operand that has
/// it has it just before its columns, so that rows of several heads are one, or before the channels
/// and columns of a context.
std::optional<unsigned> findHeadDim(mlir::Operation *op);

/// An error at `op` where it cannot have the tile sizes that a user asked for.
llvm::LogicalResult checkOverrides(mlir::Operation *op, const MachineLimits &limits);

/// Every batch dim of a tile has extent 1; an error at `op` where one has not.
llvm::LogicalResult checkUnitBatch(mlir::Operation *op);

/// The shape of a tile for `machine`, whose kernels take several heads at once; an error at `op`
/// where another batch dim has an extent other than 1.
llvm::FailureOr<PartShape> getTileShape(mlir::Operation *op, Machine machine);

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_SIZES_PARTSHAPE_H
