// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_TILE_ELEMENTWISE_ELEMENTWISETERM_H
#define ELFATT_LIB_TILE_ELEMENTWISE_ELEMENTWISETERM_H

#include "Builders/Formulas.h"
#include "Builders/NextTile.h"
#include "Builders/TileViews.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace elfatt::tile {

/// Whether `inner`, in the body of an elementwise op, can be computed on vectors.
bool hasTileForm(mlir::Operation &inner, Machine machine);

/// Whether tiles of rows can compute `op`, on tensors or buffers; `why`, which may be
/// null, says why not. It has one result, each element once, float operands, which are
/// read through projected permutations with channels innermost, and a body of ops that
/// `machine` has vector code for.
bool canTile(mlir::linalg::LinalgOp op, Machine machine, std::string *why = nullptr);

/// The operand of `op` that is `rows`, which an attention part makes, and is read as the
/// result is written; null if there is none or tiles of rows cannot compute `op`.
mlir::OpOperand *findRowsOperand(mlir::linalg::GenericOp op, mlir::Value rows, Machine machine);

/// What is computed of rows, one element from one element, before they are stored.
class ElementwiseTerm {
public:
  ElementwiseTerm(mlir::linalg::GenericOp op, const TileContext &ctx)
      : op(op), ctx(ctx), b(ctx.b), formulas(b, ctx.type) {}

  /// Makes the views of the operands where the builder stands. Rows run along the dims
  /// `order` of `op`'s domain but the last, which holds the columns. `rows`, which may be
  /// null, is the operand whose elements the caller has in registers.
  llvm::LogicalResult prepare(llvm::ArrayRef<unsigned> order, mlir::OpOperand *rows);
  /// The term of `width` columns from `first` on (CPU).
  ElementwiseTerm ofColumns(mlir::Value first, int64_t width) const;
  /// The result for `block`; `rows` [rows, columns] are elements of the operand `rows`.
  mlir::Value apply(const RowBlock &block, mlir::Value rows);
  /// Asks for the operands' rows `distance` after those of `block`.
  void prefetch(const RowBlock &block, mlir::Value distance);
  /// The same for those in the place of `block` of the next tile, whose views `findNext` makes.
  void findNext(NextTile &next);
  void prefetchNext(const RowBlock &block);
  /// Where the result goes: [rows.., columns].
  mlir::Value getOutput() const { return output; }
  /// The type that the operand `rows` is stored as.
  mlir::Type getRowsType() const { return rowsType; }

private:
  /// An operand on the dims of `order` that it has; the others repeat it.
  struct Input {
    mlir::OpOperand *operand;
    mlir::Value view;
    llvm::SmallVector<unsigned> positions; ///< of `order`, ascending
    mlir::Value next = {};                 ///< the view in the next tile, or null
  };
  bool hasOwnRows(const Input &input) const {
    return input.positions.size() == size_t(numRowDims + 1);
  }
  mlir::Value read(const Input &input, const RowBlock &block);
  mlir::Value onTile(mlir::Value scalar);

  mlir::linalg::GenericOp op;
  TileContext ctx;
  mlir::ImplicitLocOpBuilder &b;
  Formulas formulas;
  llvm::SmallVector<Input> inputs;
  mlir::OpOperand *rowsOperand = nullptr;
  mlir::Type rowsType;
  mlir::Value output;
  int64_t columns = 0, numRowDims = 0;
};

/// Lowers `op` on its own, in place. Its dims of extent 1 are dropped.
llvm::LogicalResult lowerElementwise(mlir::linalg::GenericOp op, const MachineLimits &limits);

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_ELEMENTWISE_ELEMENTWISETERM_H
