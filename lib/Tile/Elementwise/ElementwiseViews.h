// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The operands of an elementwise op, seen from a view of what it reads: the op that
// follows a reshape, as the op that would come before it.
#ifndef ELFATT_LIB_TILE_ELEMENTWISE_ELEMENTWISEVIEWS_H
#define ELFATT_LIB_TILE_ELEMENTWISE_ELEMENTWISEVIEWS_H

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"
#include "mlir/IR/AffineMap.h"

namespace elfatt::tile {

/// An operand (a tensor or a scalar) and the dims of the domain that it is read by.
struct ViewedOperand {
  mlir::Value value;
  mlir::AffineMap map;
};

/// Extents of `value`, which is dead otherwise: from what it was made from.
llvm::SmallVector<mlir::OpFoldResult> getExtents(mlir::OpBuilder &b, mlir::Location loc,
                                                 mlir::Value value);

/// Dim d of the domain becomes the dims `groups[d]`, of the extents `extents`. Fails
/// where an operand's extent is known and the domain's is not.
llvm::LogicalResult splitDims(mlir::OpBuilder &b, mlir::Location loc, ViewedOperand &operand,
                              llvm::ArrayRef<mlir::ReassociationIndices> groups,
                              llvm::ArrayRef<mlir::OpFoldResult> extents);

/// The dims `groups[k]` of the domain, of the extents `shape`, become dim k. Fails where an
/// operand has some of these dims and not the others, or has them in another order.
llvm::LogicalResult mergeDims(mlir::OpBuilder &b, mlir::Location loc, ViewedOperand &operand,
                              llvm::ArrayRef<mlir::ReassociationIndices> groups,
                              llvm::ArrayRef<int64_t> shape);

/// A box of the domain.
struct Box {
  llvm::SmallVector<mlir::OpFoldResult> offsets, sizes, strides;

  /// The same box of `operand`.
  Box of(mlir::OpBuilder &b, mlir::Location loc, const ViewedOperand &operand) const;
};
mlir::Value extract(mlir::OpBuilder &b, mlir::Location loc, const ViewedOperand &operand,
                    const Box &box);

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_ELEMENTWISE_ELEMENTWISEVIEWS_H
