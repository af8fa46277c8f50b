// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products from memory, in panels of columns whose sums stay in registers.
#ifndef ELFATT_LIB_CPU_REGISTERS_PANELPRODUCT_H
#define ELFATT_LIB_CPU_REGISTERS_PANELPRODUCT_H

#include "Prefetches.h"
#include "TileMemory.h"
#include "TileRegisters.h"

namespace elfatt::cpu {

/// C[i,j] += sum_k A[i,k] B[k,j], its operands in memory: A in the type of C, rows of B may be
/// widened on the way.
struct PanelProduct {
  mlir::vector::ContractionOp op;
  bool isLhsTransposed; ///< A[k,i] is what lies there
  MemoryTile lhs, rhs;
};

/// Whether A lies transposed, if `op` is such a product.
std::optional<bool> matchPanelProduct(mlir::vector::ContractionOp op);

/// Lowers it to a loop over k for each panel of columns: a broadcast of each A[i,k] times a row
/// of B. `endPanel` is told which pieces of columns have been made.
void lowerPanelProduct(PanelProduct product, TileRegisters &registers, int64_t vectorRegisters,
                       mlir::ImplicitLocOpBuilder &b, const Prefetches &prefetches,
                       llvm::function_ref<void(size_t first, size_t count)> endPanel);

} // namespace elfatt::cpu

#endif // ELFATT_LIB_CPU_REGISTERS_PANELPRODUCT_H
