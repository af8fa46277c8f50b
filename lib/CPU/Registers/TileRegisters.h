// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Register tiles as values of one vector register each. A tile [rows, columns]
// is rows x pieces; a vector [columns] is one row. Pieces are made when they are
// asked for, so that code comes row by row and few of them are alive at once.
#ifndef ELFATT_LIB_CPU_REGISTERS_TILEREGISTERS_H
#define ELFATT_LIB_CPU_REGISTERS_TILEREGISTERS_H

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/MapVector.h"

namespace elfatt::cpu {

/// Columns [offset, offset + valid) of a row, in a register of `width` lanes, a
/// power of two. Lanes beyond `valid` hold no meaning.
struct Piece {
  int64_t offset, valid, width;
};

/// A tile that lies in memory, row by row with unit stride.
struct MemoryTile {
  mlir::Value memref;
  llvm::SmallVector<mlir::Value> indices; ///< of the tile's first element
  /// Which memref dim the rows and columns run along; -1 when all rows (columns)
  /// are the same one.
  int64_t rowDim, columnDim;
  bool rowsInBounds, columnsInBounds;
};

class TileRegisters {
public:
  /// `registers` of `lanes` elements.
  TileRegisters(mlir::ImplicitLocOpBuilder &b, int64_t lanes, int64_t registers = 0)
      : b(b), lanes(lanes), neighbours(std::max<int64_t>(1, registers / kRegistersOfExponential)) {}

  /// Columns of a row, cut into pieces.
  llvm::SmallVector<Piece> pieces(int64_t columns) const;
  /// Those of a vector of one dim, or of each row of one of two dims.
  llvm::SmallVector<Piece> pieces(mlir::Value vector) const;

  /// Rows of a tile; a vector of one dim is one row.
  static int64_t numRows(mlir::Value vector);

  /// Piece `index` of row `row` of `vector`. Made where the builder stands, or
  /// before the op around it in the block of `vector`.
  mlir::Value get(mlir::Value vector, int64_t row, int64_t index);
  /// Element `index` of a vector of one dim, as a scalar.
  mlir::Value lane(mlir::Value vector, int64_t index);
  /// Says what piece `index` of row `row` of `vector` is.
  void set(mlir::Value vector, int64_t row, int64_t index, mlir::Value piece);
  /// `values` with the pieces of tiles in their place.
  llvm::SmallVector<mlir::Value> piecesOf(mlir::ValueRange values);
  /// Says that `pieces` are those of `values`, of which what is no tile is replaced.
  void setPieces(mlir::ValueRange values, mlir::ValueRange pieces);
  /// `vector` whole again, for an op that is not lowered here.
  mlir::Value assemble(mlir::Value vector);

  /// Keeps a copy of `vector` in `scratch`: each piece is stored once made.
  void keepInMemory(mlir::Value vector, mlir::Value scratch) { kept[vector] = scratch; }
  mlir::Value memoryOf(mlir::Value vector) const { return kept.lookup(vector); }

  /// The tile that a transfer reads or writes, if pieces of it are loads and stores.
  static std::optional<MemoryTile> memoryTile(mlir::VectorTransferOpInterface transfer);
  /// A piece of `tile`, with `padding` where there is none. `mask` may be null. `exists`, if it is
  /// not, says whether the memory of this row may be accessed.
  mlir::Value load(const MemoryTile &tile, int64_t row, Piece piece, mlir::Value padding,
                   mlir::Value mask = {}, mlir::Value exists = {});
  void store(mlir::Value value, const MemoryTile &tile, int64_t row, Piece piece,
             mlir::Value mask = {});

  /// `piece` with elements of the float type `element`.
  mlir::Value convert(mlir::Value piece, mlir::Type element);
  mlir::Value constantSplat(double value, mlir::VectorType type);
  /// `value` with the lanes beyond `piece.valid` replaced by `neutral`.
  mlir::Value withNeutralPadding(mlir::Value value, Piece piece, double neutral);

private:
  mlir::Value make(mlir::Value vector, int64_t row, int64_t index);
  mlir::Value makeConstant(mlir::DenseElementsAttr elements, int64_t row, Piece piece);
  mlir::Value makeBroadcast(mlir::vector::BroadcastOp op, int64_t row, int64_t index);
  mlir::Value makeElementwise(mlir::Operation *op, int64_t row, int64_t index);
  mlir::Value extract(mlir::Value vector, int64_t row, Piece piece);
  /// Whether row `row` of `tile` exists; null when it does.
  mlir::Value rowExists(const MemoryTile &tile, int64_t row);
  /// Which lanes of a piece of `tile` exist; null when all do.
  mlir::Value boundsMask(const MemoryTile &tile, int64_t row, Piece piece);
  llvm::SmallVector<mlir::Value> indicesOf(const MemoryTile &tile, int64_t row, int64_t column);
  llvm::SmallVector<mlir::Value> maskedIndicesOf(const MemoryTile &tile, int64_t row,
                                                 int64_t column, mlir::Value exists);
  mlir::Value both(mlir::Value lhs, mlir::Value rhs);
  mlir::Value index(int64_t value);

  /// Of an exponential: its own and a share of its constants'.
  static constexpr int64_t kRegistersOfExponential = 16;

  mlir::ImplicitLocOpBuilder &b;
  int64_t lanes, neighbours; ///< of a register; exponentials that are made together
  llvm::DenseMap<mlir::Value, llvm::SmallVector<mlir::Value>> made;
  llvm::DenseMap<std::pair<mlir::Value, int64_t>, mlir::Value> madeLanes;
  llvm::DenseMap<mlir::Value, mlir::Value> kept;
};

} // namespace elfatt::cpu

#endif // ELFATT_LIB_CPU_REGISTERS_TILEREGISTERS_H
