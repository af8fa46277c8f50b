// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sums and maxima of vector registers.
#ifndef ELFATT_LIB_CPU_REGISTERS_LANEREDUCTIONS_H
#define ELFATT_LIB_CPU_REGISTERS_LANEREDUCTIONS_H

#include "TileRegisters.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace elfatt::cpu {

/// lhs + rhs, or their maximum. The maximum is `a > b ? a : b`, one instruction on
/// x86: where a NaN loses against a number here, the exponential of that NaN still
/// makes the row NaN.
mlir::Value combine(mlir::ImplicitLocOpBuilder &b, mlir::vector::CombiningKind kind,
                    mlir::Value lhs, mlir::Value rhs);

/// What changes nothing when it is combined: 0 of a sum, -inf of a maximum.
double neutralOf(mlir::vector::CombiningKind kind);

/// Each vector of `rows`, all of one power of two of lanes, reduced to one lane of the
/// result. Two vectors join in one step, so that n rows cost n steps and not
/// n * log2(lanes). The result has as many lanes as there are rows, rounded up to a
/// power of two; of more rows than lanes it holds the first ones only.
mlir::Value reduceLanes(mlir::ImplicitLocOpBuilder &b, mlir::vector::CombiningKind kind,
                        llvm::SmallVector<mlir::Value> rows);

/// One register of row `row`, from `count` of its pieces in the tile that `op` reduces and from
/// `partial`, which may be null.
mlir::Value reduceRow(mlir::ImplicitLocOpBuilder &b, TileRegisters &registers,
                      mlir::vector::MultiDimReductionOp op, int64_t row, size_t first, size_t count,
                      mlir::Value partial);

/// A sum or maximum over one dim of a float tile, from registers of `reduceRow` where there are
/// any; false for another op.
bool lowerReduction(mlir::ImplicitLocOpBuilder &b, TileRegisters &registers,
                    mlir::vector::MultiDimReductionOp op, llvm::ArrayRef<mlir::Value> ofPanels);

} // namespace elfatt::cpu

#endif // ELFATT_LIB_CPU_REGISTERS_LANEREDUCTIONS_H
