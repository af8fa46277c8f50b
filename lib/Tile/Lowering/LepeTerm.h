// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What lepe adds to rows, in registers.
#ifndef ELFATT_LIB_TILE_LOWERING_LEPETERM_H
#define ELFATT_LIB_TILE_LOWERING_LEPETERM_H

#include "StagedLepe.h"

namespace elfatt::tile {

class LepeTerm : LepeGrid {
public:
  using LepeGrid::LepeGrid;

  /// Makes the views of the operands where the builder stands, and stages them where the
  /// machine does; V only if `stageValue`.
  llvm::LogicalResult prepare(bool stageValue);
  /// Whether the keys of `part` are the grid, whose rows the term reads of V: then `makeRows`
  /// gives the scratch [numRows, columns] that holds them for both.
  bool canShareRows(mlir::Operation *part) { return ctx.params.staged && isGridOfKeys(part); }
  mlir::Value makeRows(int64_t numRows, int64_t columns, mlir::Type elementType) {
    return staged->makeRows(numRows, columns, elementType);
  }
  /// Whether the grid is the keys of `part`, line by line.
  bool isGridOfKeys(mlir::Operation *part);
  /// Reads V where `rows` [numRows, columns], all of the grid, hold it as well (CPU).
  void readFrom(mlir::Value rows);
  /// The term of `width` columns from `first` on (CPU).
  LepeTerm ofColumns(mlir::Value first, int64_t width) const;
  /// `rows` [rows, E] of the computation's type, with the term of `block` added.
  mlir::Value addTo(const RowBlock &block, mlir::Value rows);

  /// Asks for what the blocks after `block` need of V.
  void prefetch(const RowBlock &block);
  /// Whether `op` adds to rows of `part`, another part, in the blocks of `part`.
  static bool follows(attention::LepeOp op, mlir::Operation *part);

  /// Where the rows are that it adds to, as projectHeads gives them.
  llvm::ArrayRef<mlir::Value> getInits() const { return inits; }
  int64_t getColumns() const { return columns; }

private:
  mlir::Value readColumns(mlir::Value view);
  void readWeights();
  mlir::Value readTap(const RowBlock &block, llvm::ArrayRef<int64_t> tap);
  mlir::Value rowsOnGrid(mlir::Value first, int64_t step, mlir::Value onGrid);

  std::optional<StagedLepe> staged; ///< where the machine stages (GPU); the rest is for others
  llvm::SmallVector<mlir::Value> weightViews, weights; ///< a view and a vector [E] a tap
  mlir::Value biasView, bias;                          ///< the same, or null
};

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_LOWERING_LEPETERM_H
