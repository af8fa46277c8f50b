// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sizes of kernels that a user names, in place of those that getTileParams chooses.
#ifndef ELFATT_TILE_TILEOVERRIDES_H
#define ELFATT_TILE_TILEOVERRIDES_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>

namespace elfatt::tile {

/// For kernels of the GPU alone; 0: chosen from shape, type and chip.
struct TileOverrides {
  int64_t rowsPerBlock = 0;  ///< query rows of one block: 16, 32, .. 1024
  int64_t warpsPerBlock = 0; ///< that share them: 1 to 32
  int64_t keysPerStep = 0;   ///< keys of one block of a row: 8, 16, .. 4096
  int64_t contextTokens = 0; ///< tokens that a warp adds to a context at once: 16, 32, .. 512
  int64_t contextWarps = 0;  ///< that share the tokens of a context's channels: 1 to 32
  int64_t headsPerBlock = 0; ///< neighbours in memory that a block takes: 1 to 8

  bool operator==(const TileOverrides &) const = default;
  bool isEmpty() const { return *this == TileOverrides(); }

  /// "rows-per-block=64 warps-per-block=4": those that are set, by the names of pass options.
  std::string str() const;
};

/// Reads what str() writes. The error says what was expected.
llvm::Expected<TileOverrides> parseTileOverrides(llvm::StringRef text);

/// The error names the first that is out of its range, by its name in pass options.
llvm::Error checkTileOverrides(const TileOverrides &overrides);

} // namespace elfatt::tile

#endif // ELFATT_TILE_TILEOVERRIDES_H
