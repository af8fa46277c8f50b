// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_TILE_PASSES_TD
#define ELFATT_TILE_PASSES_TD

include "mlir/Pass/PassBase.td"

#endif // ELFATT_TILE_PASSES_TD
