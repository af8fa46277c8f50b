// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_TILE_LOWERING_LEPETERM_H
#define ELFATT_LIB_TILE_LOWERING_LEPETERM_H

#include "Builders/Formulas.h"
#include "Builders/TileViews.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace elfatt::tile {

/// What `op` adds to its rows. Row blocks are those of init [grid.., E].
class LepeTerm {
public:
  LepeTerm(attention::LepeOp op, const TileContext &ctx)
      : op(op), ctx(ctx), b(ctx.b), formulas(b, ctx.type) {}

  /// Makes the views of the operands where the builder stands, and stages them where the
  /// machine does; V only if `stageValue`.
  llvm::LogicalResult prepare(bool stageValue);
  /// Whether the keys of `part` are the grid, whose rows the term reads of V: then `makeRows`
  /// gives the scratch [numRows, columns] that holds them for both.
  bool canShareRows(mlir::Operation *part);
  mlir::Value makeRows(int64_t numRows, int64_t columns, mlir::Type elementType);
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
  mlir::Value origin(unsigned axis);
  mlir::Value readColumns(mlir::Value view);
  void readWeights();
  mlir::Value readTap(const RowBlock &block, llvm::ArrayRef<int64_t> tap);
  mlir::Value rowsOnGrid(mlir::Value first, int64_t step, mlir::Value onGrid);

  // StagedLepe.cpp: rows flattened in scratch, with those around them.
  llvm::LogicalResult stage(bool stageValue);
  /// The loop in which a worker takes tile after tile of so many lines, from the first to the last
  /// or back.
  struct Turns {
    mlir::scf::ForOp loop;
    int64_t lines;
    bool goesBack;
  };
  std::optional<Turns> findTurns();
  void keepLines(const Turns &turns, int64_t line, int64_t before, mlir::Value count);
  void stageRows(int64_t rowBound);
  void makeDiagonals();
  mlir::Value addStaged(const RowBlock &block, mlir::Value rows);
  mlir::Value addTaps(const RowBlock &block, mlir::Value part, mlir::Value column);
  mlir::Value addTapsInTurns(const RowBlock &block, mlir::Value part, mlir::Value column);
  mlir::Value addTap(mlir::Value sum, mlir::Value tile, mlir::Value index, mlir::Value column);
  mlir::Value addProduct(mlir::Value sum, mlir::Value tile, int64_t index, mlir::Value column);
  /// The tile of V [rows, width] from `column` on that begins `distance` rows of scratch behind
  /// the first tap of `block`.
  mlir::Value readAround(const RowBlock &block, mlir::Value distance, mlir::Value column,
                         int64_t width);
  /// Which rows of `block` have their taps that go `way` on their line; null where all have.
  mlir::Value rowsOnLine(const RowBlock &block, int64_t way);
  mlir::Value readFactor(mlir::Value row, mlir::Value column, int64_t width);
  mlir::Value positionAlong(const RowBlock &block, int64_t axis);
  mlir::Value splatI32(int64_t number, mlir::Value vector);
  mlir::Value onGridAlong(const RowBlock &block, int64_t axis, int64_t step);

  attention::LepeOp op;
  TileContext ctx;
  mlir::ImplicitLocOpBuilder &b;
  Formulas formulas;
  mlir::Value value, init; ///< [grid.., E], the whole grid and the tile, or those of one head
  llvm::SmallVector<mlir::Value> values, inits; ///< of all heads, as projectHeads gives them
  std::optional<unsigned> head;                 ///< of the worker's, where it has several
  int64_t axes = 0, columns = 0;                ///< columns of one head
  llvm::SmallVector<llvm::SmallVector<int64_t>> taps;
  llvm::SmallVector<mlir::Value> weightViews, weights; ///< a view and a vector [E] a tap
  mlir::Value biasView, bias;                          ///< the same, or null
  mlir::Value factors; ///< staged: [taps and, where there is one, the bias; E of all heads]
  /// Staged: a row [8] a tap and channel, of that channel's block of the diagonal matrix; null
  /// where taps are no products of tiles.
  mlir::Value diagonals;
  mlir::Value around; ///< staged: V [rows, E of all heads] from `margin` rows before the tile's on
  int64_t margin = 0; ///< rows that the first tap lies before its row
  mlir::Value firstRow; ///< of the tile in `around`, behind the margin
};

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_LOWERING_LEPETERM_H
