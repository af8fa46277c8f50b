// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products of one row with rows: sums over lanes, so that the rows need not be columns.
#ifndef ELFATT_LIB_CPU_REGISTERS_ROWPRODUCT_H
#define ELFATT_LIB_CPU_REGISTERS_ROWPRODUCT_H

#include "TileRegisters.h"

namespace elfatt::cpu {

/// Whether `op` is C[0,j] = sum_k A[0,k] B[j,k], from zero.
bool isRowProduct(mlir::vector::ContractionOp op);

/// Lowers it with B in memory as `rhs`: as many rows at a time as a register has lanes, in a loop
/// that leaves their sums in `scratch` [1, columns].
void lowerRowProduct(mlir::vector::ContractionOp op, const MemoryTile &rhs, mlir::Value scratch,
                     TileRegisters &registers, mlir::ImplicitLocOpBuilder &b);

} // namespace elfatt::cpu

#endif // ELFATT_LIB_CPU_REGISTERS_ROWPRODUCT_H
