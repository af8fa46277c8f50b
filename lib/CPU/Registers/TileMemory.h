// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the lowering of tiles asks of memory and of the order of ops.
#ifndef ELFATT_LIB_CPU_REGISTERS_TILEMEMORY_H
#define ELFATT_LIB_CPU_REGISTERS_TILEMEMORY_H

#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace elfatt::cpu {

/// Whether `root` is a buffer that was allocated where we see it.
bool isFresh(mlir::Value root);

/// Whether two buffers may share memory. A function's arguments may.
bool mayAlias(mlir::Value lhs, mlir::Value rhs);

/// Calls `callback` with each buffer that `op`, or an op inside it, may write; with
/// null for one that is not known.
void forEachWritten(mlir::Operation *op, llvm::function_ref<void(mlir::Value)> callback);

/// Whether something between `read` and `op`, in one block, may write what is read.
bool writtenBetween(mlir::vector::TransferReadOp read, mlir::Operation *op);

bool isTile(mlir::Type type);

/// Ops that other ops ask for pieces.
bool isLazy(mlir::Operation *op);

/// The write of all that `product` makes, elementwise ops between, to all of a scratch buffer that
/// nothing touches before; or null. What these ops need beside is moved before the product, so that
/// each panel can be written when it is done.
mlir::vector::TransferWriteOp findScratchWrite(mlir::vector::ContractionOp product);

} // namespace elfatt::cpu

#endif // ELFATT_LIB_CPU_REGISTERS_TILEMEMORY_H
