// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_TILE_ELEMENTWISE_ELEMENTWISEMERGE_H
#define ELFATT_LIB_TILE_ELEMENTWISE_ELEMENTWISEMERGE_H

#include "elfatt/Tile/TileParams.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/PatternMatch.h"

namespace elfatt::tile {

/// Whether `op`, on tensors, makes each element of its one result from one element of
/// each operand.
bool isElementwiseOp(mlir::linalg::LinalgOp op);

/// Whether what makes `operand`, of an elementwise op, may be computed in that op: it is
/// elementwise, `machine` computes it on tiles, and it would not be computed again.
bool canMerge(mlir::OpOperand &operand, Machine machine);

/// `op`, which is elementwise, as a generic op that itself computes all operands that it
/// may. Null if `op` has no generic form. Ops that are gone are said to `notifyMerged`.
mlir::linalg::GenericOp
mergeProducers(mlir::IRRewriter &rewriter, mlir::linalg::LinalgOp op, Machine machine,
               llvm::function_ref<void(mlir::linalg::GenericOp)> notifyMerged);

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_ELEMENTWISE_ELEMENTWISEMERGE_H
