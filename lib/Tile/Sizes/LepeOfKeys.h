// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Whether LePE reads the values of the keys of a window: their views may be others, of the same
// memory.
#ifndef ELFATT_LIB_TILE_SIZES_LEPEOFKEYS_H
#define ELFATT_LIB_TILE_SIZES_LEPEOFKEYS_H

#include "elfatt/Dialect/Attention/IR/Attention.h"

namespace elfatt::tile {

/// Whether the grid of `lepe`, whose rows add to those of `sdpa`, is the keys of `sdpa`: as many,
/// in the same order, and V is read at the same elements.
bool isGridOfKeys(attention::LepeOp lepe, attention::SdpaOp sdpa);

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_SIZES_LEPEOFKEYS_H
