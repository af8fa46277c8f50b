// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// lepe where rows are flattened in scratch. V lies there with the rows around the tile's:
// a tap is then the same distance away from each row. Along the outermost axis there is a
// line of zeros beyond the grid; along the others a tap beyond its line meets a row of the
// next one, which is left out.
#ifndef ELFATT_LIB_TILE_LOWERING_STAGEDLEPE_H
#define ELFATT_LIB_TILE_LOWERING_STAGEDLEPE_H

#include "Builders/Formulas.h"
#include "Builders/TileViews.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace elfatt::tile {

/// What `op` reads and adds to, whichever machine does. Row blocks are those of init [grid.., E].
struct LepeGrid {
  LepeGrid(attention::LepeOp op, const TileContext &ctx)
      : op(op), ctx(ctx), b(ctx.b), formulas(b, ctx.type) {}

  /// Makes the views where the builder stands.
  llvm::LogicalResult prepare();
  /// Where the tile begins on the grid.
  mlir::Value origin(unsigned axis);

  attention::LepeOp op;
  TileContext ctx;
  mlir::ImplicitLocOpBuilder &b;
  Formulas formulas;
  mlir::Value value, init; ///< [grid.., E], the whole grid and the tile, or those of one head
  llvm::SmallVector<mlir::Value> values, inits; ///< of all heads, as projectHeads gives them
  std::optional<unsigned> head;                 ///< of the worker's, where it has several
  int64_t axes = 0, columns = 0;                ///< columns of one head
  llvm::SmallVector<llvm::SmallVector<int64_t>> taps;
};

class StagedLepe : LepeGrid {
public:
  explicit StagedLepe(const LepeGrid &grid) : LepeGrid(grid) {}

  /// Stages the weights, and V if `stageValue`.
  llvm::LogicalResult prepare(bool stageValue);
  /// The scratch [numRows, columns] that holds the rows of V for another part too.
  mlir::Value makeRows(int64_t numRows, int64_t columns, mlir::Type elementType);
  /// `rows` [rows, E] of the computation's type, with the term of `block` added.
  mlir::Value addTo(const RowBlock &block, mlir::Value rows);

private:
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

  mlir::Value factors; ///< [taps and, where there is one, the bias; E of all heads]
  /// A row [8] a tap and channel, of that channel's block of the diagonal matrix; null where taps
  /// are no products of tiles.
  mlir::Value diagonals;
  mlir::Value around;   ///< V [rows, E of all heads] from `margin` rows before the tile's on
  int64_t margin = 0;   ///< rows that the first tap lies before its row
  mlir::Value firstRow; ///< of the tile in `around`, behind the margin
};

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_LOWERING_STAGEDLEPE_H
