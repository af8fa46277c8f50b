// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PanelProduct.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace elfatt::cpu {

/// Longer sums are made in parts of equal length: what rounds a sum grows with its length.
static constexpr int64_t kLongestSum = 128;

std::optional<bool> matchPanelProduct(vector::ContractionOp op) {
  AffineExpr i, j, k;
  bindDims(op.getContext(), i, j, k);
  auto map = [&](AffineExpr x, AffineExpr y) {
    return AffineMap::get(3, 0, {x, y}, op.getContext());
  };
  auto acc = dyn_cast<VectorType>(op.getAccType());
  if (!acc || acc.getRank() != 2 || op.getKind() != vector::CombiningKind::ADD)
    return std::nullopt;
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  bool isLhsTransposed = maps[0] == map(k, i);
  if ((!isLhsTransposed && maps[0] != map(i, k)) || maps[1] != map(k, j) || maps[2] != map(i, j))
    return std::nullopt;
  return isLhsTransposed;
}

namespace {
class PanelLowering {
public:
  PanelLowering(PanelProduct product, TileRegisters &registers, ImplicitLocOpBuilder &b,
                const Prefetches &prefetches)
      : product(product), registers(registers), b(b), prefetches(prefetches),
        element(getElementTypeOrSelf(this->product.op.getAccType())),
        rows(TileRegisters::numRows(this->product.op.getResult())),
        depth(this->product.op.getRhsType().getDimSize(0)), bound(makeBound()) {}

  /// The columns from `first` on, `pieces`, which are panel `index` of `count`.
  void lower(size_t index, size_t count, ArrayRef<Piece> pieces, size_t first);

private:
  Value makeBound();
  SmallVector<Value> step(ArrayRef<Piece> pieces, Value k, ValueRange sums);
  SmallVector<Value> sumInParts(size_t index, size_t count, ArrayRef<Piece> pieces,
                                SmallVector<Value> accs);

  PanelProduct product;
  TileRegisters &registers;
  ImplicitLocOpBuilder &b;
  const Prefetches &prefetches;
  Type element;
  int64_t rows, depth;
  Value bound; ///< of k
};
} // namespace

/// Rows of B beyond its end are zero: nothing to add.
Value PanelLowering::makeBound() {
  Value bound = arith::ConstantIndexOp::create(b, depth);
  const MemoryTile &rhs = product.rhs;
  if (rhs.rowsInBounds)
    return bound;
  Value extent = b.createOrFold<memref::DimOp>(rhs.memref, rhs.rowDim);
  Value left = b.createOrFold<arith::SubIOp>(extent, rhs.indices[rhs.rowDim]);
  return b.createOrFold<arith::MinSIOp>(bound, left);
}

/// The sums after step k: a row of B in registers, times each A[i,k].
SmallVector<Value> PanelLowering::step(ArrayRef<Piece> pieces, Value k, ValueRange sums) {
  auto at = [&](const MemoryTile &tile, int64_t dim) {
    MemoryTile moved = tile;
    moved.indices[dim] = b.createOrFold<arith::AddIOp>(moved.indices[dim], k);
    return moved;
  };
  MemoryTile rhs = at(product.rhs, product.rhs.rowDim);
  rhs.rowsInBounds = true; // The loop ends where they do.
  SmallVector<Value> rhsPieces;
  Value padding = arith::ConstantOp::create(
      b, b.getZeroAttr(cast<MemRefType>(rhs.memref.getType()).getElementType()));
  for (Piece piece : pieces)
    rhsPieces.push_back(registers.convert(registers.load(rhs, 0, piece, padding), element));
  const bool isTransposed = product.isLhsTransposed;
  MemoryTile lhs = at(product.lhs, isTransposed ? product.lhs.rowDim : product.lhs.columnDim);
  int64_t rowDim = isTransposed ? lhs.columnDim : lhs.rowDim;
  SmallVector<Value> next;
  for (int64_t row = 0; row < rows; ++row) {
    SmallVector<Value> indices = lhs.indices;
    indices[rowDim] =
        b.createOrFold<arith::AddIOp>(indices[rowDim], arith::ConstantIndexOp::create(b, row));
    Value scalar = memref::LoadOp::create(b, lhs.memref, indices);
    Value broadcast =
        vector::BroadcastOp::create(b, VectorType::get({pieces[0].width}, element), scalar);
    for (auto [column, piece] : llvm::enumerate(pieces)) {
      Value factor = broadcast;
      if (piece.width < pieces[0].width)
        factor = vector::ExtractStridedSliceOp::create(b, broadcast, ArrayRef<int64_t>{0},
                                                       ArrayRef<int64_t>{piece.width},
                                                       ArrayRef<int64_t>{1});
      next.push_back(
          vector::FMAOp::create(b, factor, rhsPieces[column], sums[row * pieces.size() + column]));
    }
  }
  return next;
}

SmallVector<Value> PanelLowering::sumInParts(size_t index, size_t count, ArrayRef<Piece> pieces,
                                             SmallVector<Value> accs) {
  auto sum = [&](Value from, Value to, ValueRange before) {
    return prefetches.forEachStep(b, from, to, depth, index, count, before,
                                  [&](Value k, ValueRange sums) { return step(pieces, k, sums); });
  };
  Value zero = arith::ConstantIndexOp::create(b, 0);
  const int64_t parts = llvm::divideCeil(depth, kLongestSum);
  if (parts == 1)
    return sum(zero, bound, accs);
  const int64_t length = llvm::divideCeil(depth, parts);
  Value by = arith::ConstantIndexOp::create(b, length);
  auto loop = scf::ForOp::create(b, zero, bound, by, accs);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value first = loop.getInductionVar(), end = arith::AddIOp::create(b, first, by);
  if (!product.rhs.rowsInBounds || length * parts != depth)
    end = arith::MinSIOp::create(b, bound, end);
  for (Value &acc : accs)
    acc = arith::ConstantOp::create(b, b.getZeroAttr(acc.getType()));
  SmallVector<Value> joined;
  for (auto [before, part] : llvm::zip_equal(loop.getRegionIterArgs(), sum(first, end, accs)))
    joined.push_back(arith::AddFOp::create(b, before, part));
  scf::YieldOp::create(b, joined);
  return loop.getResults();
}

void PanelLowering::lower(size_t index, size_t count, ArrayRef<Piece> pieces, size_t first) {
  SmallVector<Value> accs;
  for (int64_t row = 0; row < rows; ++row)
    for (size_t at = 0; at < pieces.size(); ++at)
      accs.push_back(registers.get(product.op.getAcc(), row, first + at));
  SmallVector<Value> sums = sumInParts(index, count, pieces, std::move(accs));
  for (int64_t row = 0; row < rows; ++row)
    for (size_t at = 0; at < pieces.size(); ++at)
      registers.set(product.op.getResult(), row, first + at, sums[row * pieces.size() + at]);
}

void lowerPanelProduct(PanelProduct product, TileRegisters &registers, int64_t vectorRegisters,
                       ImplicitLocOpBuilder &b, const Prefetches &prefetches,
                       llvm::function_ref<void(size_t first, size_t count)> endPanel) {
  PanelLowering lowering(product, registers, b, prefetches);
  SmallVector<Piece> pieces = registers.pieces(product.op.getResult());
  // Besides the accumulators, a row of B and one broadcast are in registers.
  const int64_t rows = TileRegisters::numRows(product.op.getResult());
  size_t together = std::max<int64_t>(1, (vectorRegisters - 1) / (rows + 1));
  size_t panels = llvm::divideCeil(pieces.size(), together);
  for (size_t at = 0, first = 0; at < panels; ++at) {
    size_t count = llvm::divideCeil(pieces.size() - first, panels - at);
    lowering.lower(at, panels, ArrayRef(pieces).slice(first, count), first);
    endPanel(first, count);
    first += count;
  }
}

} // namespace elfatt::cpu
