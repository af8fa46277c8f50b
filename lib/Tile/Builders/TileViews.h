// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Memory as the tile level sees it: views of operands with their dims in the
// order rows (or keys), columns; row blocks; scratch and staging.
#ifndef ELFATT_LIB_TILE_BUILDERS_TILEVIEWS_H
#define ELFATT_LIB_TILE_BUILDERS_TILEVIEWS_H

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Tile/TileParams.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace elfatt::tile {

/// The type of a view of memory.
inline mlir::MemRefType typeOf(mlir::Value view) {
  return llvm::cast<mlir::MemRefType>(view.getType());
}

/// What lowering one part needs to know of its surroundings.
struct TileContext {
  mlir::ImplicitLocOpBuilder &b;
  const MachineLimits &limits;
  TileParams params;
  mlir::FloatType type;
  /// Heads of the worker, whose columns lie beside each other in staged matrices.
  int64_t heads = 1;

  mlir::Value index(int64_t value) const;
  mlir::Value index(mlir::OpFoldResult value) const;
  /// A scratch buffer of the machine's space.
  mlir::Value scratch(llvm::ArrayRef<int64_t> shape, mlir::Type elementType) const;
  /// The same for a matrix [rows, columns] that passes through staging. Of one with columns
  /// `beyond`, what is read there may be the next row's (GPU).
  mlir::Value staging(int64_t rows, int64_t columns, mlir::Type elementType,
                      int64_t beyond = 0) const;
  /// The same for one that warps write and read as they hold it, and not as a left operand (GPU).
  mlir::Value fragments(int64_t rows, int64_t columns, mlir::Type elementType) const;
  /// A buffer [rows..] that warps hold in registers, each its own rows (GPU).
  mlir::Value registers(llvm::ArrayRef<int64_t> shape, mlir::Type elementType) const;
  /// Warps that share `rows` rows of one worker.
  int64_t warpsOf(int64_t rows) const;
  /// Whether tensor cores multiply tiles of `elementType`.
  bool hasTensorProduct(mlir::Type elementType) const {
    return elementType.isF16() ? limits.tensorF16 : elementType.isBF16() && limits.tensorBF16;
  }
  /// The type that products take for an operand stored as `stored`.
  mlir::Type operandType(mlir::Type stored) const;
};

/// `buffer` seen through `map`, with the dims `order` in this order and all
/// others, of extent 1, dropped. Every dim of `order` must occur in `map`.
mlir::Value projectView(mlir::ImplicitLocOpBuilder &b, mlir::Value buffer, mlir::AffineMap map,
                        llvm::ArrayRef<unsigned> order);

/// The same of several heads, with the dim `head` between the last two: [.., heads * columns]
/// where they are neighbours in memory and columns need no padding, else a view [.., columns] of
/// each. Without a head one view.
llvm::SmallVector<mlir::Value> projectHeads(const TileContext &ctx, mlir::Value buffer,
                                            mlir::AffineMap map, llvm::ArrayRef<unsigned> order,
                                            std::optional<unsigned> head);

/// Static extent of dim `dim` of `view`, or an upper bound of it; an error at
/// `op` when there is none.
llvm::FailureOr<int64_t> staticBound(mlir::Operation *op, mlir::Value view, int64_t dim);

/// The same for the product of the extents of all dims of `view` but the last.
llvm::FailureOr<int64_t> staticRowBound(mlir::Operation *op, mlir::Value view);

/// Makes `ctx` fit a worker that has the rows of `view`.
llvm::LogicalResult fitRows(mlir::Operation *op, TileContext &ctx, mlir::Value view);

/// Product of the extents of all dims of `view` but the last.
mlir::Value numRows(const TileContext &ctx, mlir::Value view);

/// What of a staged matrix must be zero beyond the view: nothing, where it is masked or
/// dropped; columns, which products sum over; rows, which they multiply by zero.
enum class Padding { None, Columns, Rows, All };

/// Whether elements of memory are needed again, by this worker or another, beside what else the
/// workers read that is (GPU).
enum class Reuse { Later, Never };

/// Copies `view` [dims.., columns] into the leading rows and columns of `matrix`
/// [rows, columns] with the dims flattened, or the other way.
void stageIn(const TileContext &ctx, mlir::Value view, mlir::Value matrix, Padding padding,
             Reuse reuse = Reuse::Later);
/// The same for what the conversion to `matrix`'s narrower type loses of `view`, rows padded.
void stageRemainder(const TileContext &ctx, mlir::Value view, mlir::Value matrix);
void stageRemainder(const TileContext &ctx, llvm::ArrayRef<mlir::Value> views, mlir::Value matrix);
void stageOut(const TileContext &ctx, mlir::Value matrix, mlir::Value view,
              Reuse reuse = Reuse::Later);
/// The same for what projectHeads made: each view has its share of the columns.
void stageIn(const TileContext &ctx, llvm::ArrayRef<mlir::Value> views, mlir::Value matrix,
             Padding padding, Reuse reuse = Reuse::Later);
void stageOut(const TileContext &ctx, mlir::Value matrix, llvm::ArrayRef<mlir::Value> views,
              Reuse reuse = Reuse::Later);
/// `rows` rows of the matrix `matrix` from `first` on.
mlir::Value rowsOf(const TileContext &ctx, mlir::Value matrix, mlir::Value first, mlir::Value rows);
/// `width` columns of a view [rows.., columns] from `first` on.
mlir::Value columnsOf(const TileContext &ctx, mlir::Value view, mlir::Value first, int64_t width);
/// `view` [rows.., E] (`columns` 1) or [rows..] (0) with its rows flattened, if it is scratch and
/// its rows are neighbours, else null.
mlir::Value flattenScratch(const TileContext &ctx, mlir::Value view, int64_t columns);
/// As many rows of `matrix` as `view` [dims.., columns] has.
mlir::Value leadingRows(const TileContext &ctx, mlir::Value matrix, mlir::Value view);

/// A block of `params.rows` rows of a view [outer.., inner, columns].
struct RowBlock {
  llvm::SmallVector<mlir::Value> outer; ///< indices of the outer row dims
  mlir::Value inner;                    ///< first row along the innermost row dim
  mlir::Value linear;                   ///< first row, all row dims flattened
  mlir::Value head;                     ///< of the worker's, where it has several
  mlir::Value ofHeads;                  ///< first row, the rows of one head after those of another

  /// The first column of the block's head, of `columns` each.
  mlir::Value firstColumn(const TileContext &ctx, int64_t columns) const;
  /// The block in a matrix that has the rows of one head after those of another.
  RowBlock amongHeads() const;
};

/// Of its first row in such a view.
llvm::SmallVector<mlir::Value> indicesOf(const RowBlock &block);

/// Loops over all row blocks of `view`, tails included; on the GPU the warps of a worker
/// take turns at them. With several heads it is a staged matrix, and its blocks are those of each.
void forEachRowBlock(const TileContext &ctx, mlir::Value view,
                     llvm::function_ref<void(const RowBlock &)> body);

/// Rows of `block` of `view` [outer.., inner, columns] as a tile
/// [rows, columns], zero beyond the view; and back, dropping what is beyond.
/// `columns` may exceed the view's. A block of a head has that head's columns.
mlir::Value readRows(const TileContext &ctx, mlir::Value view, const RowBlock &block,
                     int64_t columns);
void writeRows(const TileContext &ctx, mlir::Value tile, mlir::Value view, const RowBlock &block);
/// The same for one value per row, of a view [outer.., inner].
mlir::Value readPerRow(const TileContext &ctx, mlir::Value view, const RowBlock &block);
void writePerRow(const TileContext &ctx, mlir::Value vector, mlir::Value view,
                 const RowBlock &block);

/// A tile [rows, columns] of the matrix `matrix` at (row, column).
mlir::Value readTile(const TileContext &ctx, mlir::Value matrix, mlir::Value row,
                     mlir::Value column, int64_t rows, int64_t columns);
/// The same of [rows, columns], transposed; all of it lies in the matrix.
mlir::Value readTransposed(const TileContext &ctx, mlir::Value matrix, mlir::Value row,
                           mlir::Value column, int64_t columns, int64_t rows);
void writeTile(const TileContext &ctx, mlir::Value tile, mlir::Value matrix, mlir::Value row,
               mlir::Value column);

/// `view` [rows..] as [rows.., 1], and [rows.., D] as [rows.., D/2, 2].
mlir::Value withColumn(const TileContext &ctx, mlir::Value view);
mlir::Value inPairs(const TileContext &ctx, mlir::Value view);
/// Whether scores of `query` and `key` are sums of pairs of products: of two bf16 they are
/// exact in f32, so that nothing is lost.
bool multipliesPairs(const TileContext &ctx, mlir::Value query, mlir::Value key);
/// Rows of `block` of a view [rows.., D/2, 2], and columns of a matrix [D/2, columns, 2].
/// What is read of rows beyond the view has no meaning.
mlir::Value readRowPairs(const TileContext &ctx, mlir::Value pairs, const RowBlock &block);
mlir::Value readTilePairs(const TileContext &ctx, mlir::Value pairs, mlir::Value column,
                          int64_t columns);

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_BUILDERS_TILEVIEWS_H
