// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_TILE_LEPETERM_H
#define ELFATT_LIB_TILE_LEPETERM_H

#include "Formulas.h"
#include "TileViews.h"

namespace elfatt::tile {

/// What `op` adds to its rows. Row blocks are those of init [grid.., E].
class LepeTerm {
public:
  LepeTerm(attention::LepeOp op, const TileContext &ctx)
      : op(op), ctx(ctx), b(ctx.b), formulas(b, ctx.type) {}

  /// Makes the views of the operands where the builder stands.
  llvm::LogicalResult prepare();
  /// `rows` [rows, E] of the computation's type, with the term of `block` added.
  mlir::Value addTo(const RowBlock &block, mlir::Value rows);

  /// Asks for what the blocks after `block` need of V.
  void prefetch(const RowBlock &block);
  /// Whether `op` adds to rows of `part`, another part, in the blocks of `part`.
  static bool follows(attention::LepeOp op, mlir::Operation *part);

  mlir::Value getInit() const { return init; }
  int64_t getColumns() const { return columns; }

private:
  mlir::Value origin(unsigned axis);
  mlir::Value readColumns(mlir::Value view);
  mlir::Value readTap(const RowBlock &block, llvm::ArrayRef<int64_t> tap);
  mlir::Value rowsOnGrid(mlir::Value first, int64_t step, mlir::Value onGrid);

  attention::LepeOp op;
  TileContext ctx;
  mlir::ImplicitLocOpBuilder &b;
  Formulas formulas;
  mlir::Value value, init; ///< [grid.., E], the whole grid and the tile
  int64_t axes = 0, columns = 0;
  llvm::SmallVector<llvm::SmallVector<int64_t>> taps;
  llvm::SmallVector<mlir::Value> weights; ///< a vector [E] a tap
  mlir::Value bias;                       ///< a vector [E], or null
};

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_LEPETERM_H
