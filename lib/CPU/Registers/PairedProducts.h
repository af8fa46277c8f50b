// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_CPU_REGISTERS_PAIREDPRODUCTS_H
#define ELFATT_LIB_CPU_REGISTERS_PAIREDPRODUCTS_H

#include "Prefetches.h"
#include "TileRegisters.h"

namespace elfatt::cpu {

/// The operands of C[i,j] += sum_kp A[i,k,p] B[k,j,p], p < 2, as they were read.
struct PairedOperands {
  mlir::vector::TransferReadOp lhs, rhs;
};

/// Those of `op`, if it is such a product of bf16 whose columns are whole registers.
std::optional<PairedOperands> matchPairedProduct(mlir::vector::ContractionOp op, int64_t lanes);

/// Lowers it to a loop over k, from the memory that was read: a broadcast of each pair of
/// A, a row of pairs of B, and `x86vector.avx512.dot`. Rows of A beyond its end are the last
/// one again. `endPanel` is told which pieces of columns have been made.
void lowerPairedProduct(mlir::vector::ContractionOp op, PairedOperands operands,
                        TileRegisters &registers, int64_t vectorRegisters,
                        mlir::ImplicitLocOpBuilder &b, const Prefetches &prefetches,
                        llvm::function_ref<void(size_t first, size_t count)> endPanel);

} // namespace elfatt::cpu

#endif // ELFATT_LIB_CPU_REGISTERS_PAIREDPRODUCTS_H
