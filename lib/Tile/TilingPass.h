// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Passes that choose tiles.
#ifndef ELFATT_LIB_TILE_TILINGPASS_H
#define ELFATT_LIB_TILE_TILINGPASS_H

#include "elfatt/Tile/TileParams.h"

namespace elfatt::tile {

/// A pass that has the `limitOptions` of Passes.td; `Base` is what TableGen made of it.
template <typename Base> struct TilingPass : Base {
  using Base::Base;

  MachineLimits getLimits() const {
    return {.machine = this->machine,
            .vectorBits = this->vectorBits,
            .vectorRegisters = this->vectorRegisters,
            .sharedBytes = this->sharedBytes,
            .processors = this->processors,
            .overrides = {this->rowsPerBlock, this->warpsPerBlock, this->keysPerStep,
                          this->contextTokens, this->contextWarps, this->headsPerBlock},
            .mostSharedBytes = this->sharedBytes,
            .tensorF16 = this->tensorF16,
            .tensorBF16 = this->tensorBF16,
            .quadPairsF16 = this->quadPairsF16,
            .blockRegisters = this->blockRegisters};
  }
};

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_TILINGPASS_H
