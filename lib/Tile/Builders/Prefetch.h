// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows that are asked for before they are read or written.
#ifndef ELFATT_LIB_TILE_BUILDERS_PREFETCH_H
#define ELFATT_LIB_TILE_BUILDERS_PREFETCH_H

#include "TileViews.h"

namespace elfatt::tile {

/// Asks for `rows` rows of a view [outer.., inner, columns] from row `indices` on before
/// they are needed. They may lie beyond the view: in memory that is read next. For
/// machines that read operands where they are. A loop over rows, which the product behind it
/// takes along.
void prefetchRows(const TileContext &ctx, mlir::Value view, mlir::ValueRange indices, int64_t rows,
                  bool isWrite = false);
/// The same for the rows `distance` after those of `block`, along the innermost dim.
void prefetchAfter(const TileContext &ctx, mlir::Value view, const RowBlock &block,
                   mlir::Value distance, bool isWrite = false);

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_BUILDERS_PREFETCH_H
