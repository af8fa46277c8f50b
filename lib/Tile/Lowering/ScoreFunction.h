// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What sdpa does to a score between Q K^T and the softmax: bias, mask, causal
// triangle, or its score region, on register tiles.
#ifndef ELFATT_LIB_TILE_LOWERING_SCOREFUNCTION_H
#define ELFATT_LIB_TILE_LOWERING_SCOREFUNCTION_H

#include "Builders/Formulas.h"
#include "Builders/TileViews.h"

namespace elfatt::tile {

class ScoreFunction {
public:
  ScoreFunction(attention::SdpaOp op, TileContext &ctx, const attention::AttentionDims &dims)
      : op(op), ctx(ctx), dims(dims) {}

  /// An error at the op when a bias or a region op is not served.
  llvm::LogicalResult verify();

  bool hasRegion() { return !op.getScore().empty(); }

  /// E where numbers are added to a score or stand in its place.
  ScoreBase getBase();

  /// `query` [rows.., D] has the rows' extents; row blocks index them one by one,
  /// or all rows as one dim when `flattened`. An error when they have no bound.
  llvm::LogicalResult setRows(mlir::Value query, bool flattened);

  /// A block of keys begins at line `firstLine` of the outermost key dim, with
  /// the lines `keyLines` [lines, inner.., D]; stages the biases' part of it.
  void beginKeyBlock(mlir::Value firstLine, mlir::Value keyLines, int64_t columns);

  /// How many of `lines`, of the outermost key dim, some row of the tile may attend to.
  mlir::Value boundLines(mlir::Value lines);

  /// The tile's new scores, to the base `getBase()`. Its first key is `firstKey` of all,
  /// and `column` of the block.
  mlir::Value apply(Formulas &formulas, mlir::Value scores, const RowBlock &block,
                    mlir::Value firstKey, mlir::Value column);

private:
  struct StagedBias {
    mlir::Value matrix; ///< [rows, columns]; one row when it has no row dim
    bool hasRows, isMask;
  };
  mlir::Value readBias(Formulas &formulas, const StagedBias &bias, const RowBlock &block,
                       mlir::Value column, int64_t columns);
  mlir::Value position(Formulas &formulas, unsigned dim, const RowBlock &block,
                       mlir::Value firstKey, int64_t columns);
  mlir::Value rowIndex(Formulas &formulas, unsigned dim, const RowBlock &block, int64_t columns);
  mlir::Value keyIndex(Formulas &formulas, unsigned dim, mlir::Value firstKey, int64_t columns);
  mlir::Value offsetOf(unsigned dim);
  mlir::Value applyRegion(Formulas &formulas, mlir::Value scores,
                          llvm::ArrayRef<mlir::Value> biases, const RowBlock &block,
                          mlir::Value firstKey);
  /// Extent of row dim `index` as a value.
  mlir::Value rowExtent(unsigned index);

  attention::SdpaOp op;
  TileContext &ctx;
  attention::AttentionDims dims;
  bool flattened = false;
  mlir::Value query;
  int64_t rowBound = 0; ///< of all row dims together
  llvm::SmallVector<StagedBias> biases;
};

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_LOWERING_SCOREFUNCTION_H
