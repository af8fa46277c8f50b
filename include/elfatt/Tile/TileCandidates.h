// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tile sizes of kernels that are worth a try beside those that getTileParams chooses.
#ifndef ELFATT_TILE_TILECANDIDATES_H
#define ELFATT_TILE_TILECANDIDATES_H

#include "elfatt/Tile/TileParams.h"

#include "llvm/ADT/ArrayRef.h"

#include <string>
#include <vector>

namespace mlir {
class Operation;
} // namespace mlir

namespace elfatt::tile {

/// What choosing sizes needs to know of one attention part.
struct CandidatePart {
  enum Kind {
    Softmax, ///< rows that meet keys
    Apply,   ///< rows that meet a context
    Context  ///< a sum over tokens
  } kind;
  std::string name; ///< "attention.sdpa"
  TileExtents extents;
  int64_t rows; ///< of all row dims together; INT64_MIN where not known

  /// The sizes that are chosen for it, by the names of TileOverrides.
  std::string describe(const MachineLimits &limits) const;
};

/// The parts in `root`, whose ops elfatt-tile-decompose has decomposed; each once that
/// differs from the others.
std::vector<CandidatePart> collectParts(mlir::Operation *root);

/// What makes other kernels for `parts` than what `limits` chooses or has overridden, and
/// than the others: `limits.overrides` with other sizes added, and nothing taken away.
/// Pure; whether a block fits a chip is not looked at.
std::vector<TileOverrides> listCandidates(const MachineLimits &limits,
                                          llvm::ArrayRef<CandidatePart> parts);

} // namespace elfatt::tile

#endif // ELFATT_TILE_TILECANDIDATES_H
