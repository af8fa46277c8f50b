// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Heads that lie beside each other in memory, which one worker of a kernel takes: where a row of
// one is no multiple of a sector, sectors at its ends would be fetched by two workers.
#ifndef ELFATT_LIB_TILE_SIZES_NEIGHBOURINGHEADS_H
#define ELFATT_LIB_TILE_SIZES_NEIGHBOURINGHEADS_H

#include "elfatt/Tile/TileParams.h"

#include "mlir/IR/Operation.h"

namespace elfatt::tile {

/// A part of a chain that one worker runs, and what its tile sizes depend on, of one head.
struct HeadsPart {
  mlir::Operation *op;
  TileExtents extents;
};

/// Heads that a worker of `chain` (the last part first, on tensors) takes at once, if `mayTake`, of
/// `rowsOfLine` rows or more: the fewest that use nearly all bytes of the sectors that they fetch,
/// or else what uses the most, where all parts have room for them and no multiprocessor is left
/// without work. An error at the last part where it cannot have those that a user asked for.
llvm::FailureOr<int64_t> chooseHeads(llvm::ArrayRef<HeadsPart> chain, int64_t rowsOfLine,
                                     const MachineLimits &limits, bool mayTake);

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_SIZES_NEIGHBOURINGHEADS_H
