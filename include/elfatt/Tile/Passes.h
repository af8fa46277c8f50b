// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_TILE_PASSES_H
#define ELFATT_TILE_PASSES_H

#include "elfatt/Tile/TileParams.h"

#include "mlir/Pass/Pass.h"

namespace elfatt::tile {
#define GEN_PASS_DECL
#include "elfatt/Tile/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "elfatt/Tile/Passes.h.inc"
} // namespace elfatt::tile

#endif // ELFATT_TILE_PASSES_H
