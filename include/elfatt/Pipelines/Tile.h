// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The Tile stage as both machines use it: around bufferization, which each
// machine's pipeline does its own way.
#ifndef ELFATT_PIPELINES_TILE_H
#define ELFATT_PIPELINES_TILE_H

#include "elfatt/Tile/TileParams.h"

namespace mlir {
class OpPassManager;
} // namespace mlir

namespace elfatt::pipelines {

/// Attention ops on tensors -> one scf.forall a chain of parts.
void buildTileToForall(mlir::OpPassManager &pm, const tile::MachineLimits &limits);

/// The same on buffers, before deallocation -> the tile level.
void buildTileToVector(mlir::OpPassManager &pm, const tile::MachineLimits &limits);

} // namespace elfatt::pipelines

#endif // ELFATT_PIPELINES_TILE_H
