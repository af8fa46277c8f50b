// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The Tile stage as both machines use it.
#ifndef ELFATT_PIPELINES_TILE_H
#define ELFATT_PIPELINES_TILE_H

#include "elfatt/Tile/TileParams.h"

namespace mlir {
class OpPassManager;
} // namespace mlir

namespace elfatt::pipelines {

/// Attention ops on tensors -> one scf.forall a chain of parts.
void buildTileToForall(mlir::OpPassManager &pm, const tile::MachineLimits &limits);

/// Tensors become buffers. Results are new buffers that the caller gives back; arguments are
/// only read.
void buildBufferize(mlir::OpPassManager &pm);

/// The same on buffers, before deallocation -> the tile level.
void buildTileToVector(mlir::OpPassManager &pm, const tile::MachineLimits &limits);

} // namespace elfatt::pipelines

#endif // ELFATT_PIPELINES_TILE_H
