// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PairedProducts.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/X86Vector/X86VectorDialect.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace elfatt::cpu;

std::optional<PairedOperands> elfatt::cpu::matchPairedProduct(vector::ContractionOp op,
                                                              int64_t lanes) {
  AffineExpr i, j, k, p;
  bindDims(op.getContext(), i, j, k, p);
  auto map = [&](ArrayRef<AffineExpr> exprs) {
    return AffineMap::get(4, 0, exprs, op.getContext());
  };
  auto acc = dyn_cast<VectorType>(op.getAccType());
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  if (!acc || acc.getRank() != 2 || !acc.getElementType().isF32() || lanes != 16 ||
      acc.getDimSize(1) % lanes != 0 || op.getKind() != vector::CombiningKind::ADD ||
      maps[0] != map({i, k, p}) || maps[1] != map({k, j, p}) || maps[2] != map({i, j}))
    return std::nullopt;
  PairedOperands operands{op.getLhs().getDefiningOp<vector::TransferReadOp>(),
                          op.getRhs().getDefiningOp<vector::TransferReadOp>()};
  for (vector::TransferReadOp read : {operands.lhs, operands.rhs}) {
    if (!read || read.getMask() || !read.getPermutationMap().isMinorIdentity())
      return std::nullopt;
    auto memref = dyn_cast<MemRefType>(read.getBase().getType());
    VectorType type = read.getVectorType();
    SmallVector<int64_t> strides;
    int64_t offset;
    if (!memref || !type.getElementType().isBF16() || type.getShape().back() != 2 ||
        memref.getShape().back() != 2 || !read.isDimInBounds(1) || !read.isDimInBounds(2) ||
        failed(memref.getStridesAndOffset(strides, offset)) || strides.back() != 1 ||
        strides[strides.size() - 2] != 2)
      return std::nullopt;
  }
  if (!operands.rhs.isDimInBounds(0))
    return std::nullopt;
  return operands;
}

/// What `read` reads of [.., n, 2], as [.., 2 n].
static MemoryTile collapsePairs(vector::TransferReadOp read, ImplicitLocOpBuilder &b) {
  int64_t rank = cast<MemRefType>(read.getBase().getType()).getRank();
  SmallVector<ReassociationIndices> groups;
  for (int64_t dim = 0; dim + 1 < rank; ++dim)
    groups.push_back({dim});
  groups.back().push_back(rank - 1);
  SmallVector<Value> indices = llvm::to_vector(read.getIndices().drop_back());
  indices.back() =
      b.createOrFold<arith::MulIOp>(indices.back(), arith::ConstantIndexOp::create(b, 2));
  return {memref::CollapseShapeOp::create(b, read.getBase(), groups),
          indices,
          rank - 3,
          rank - 2,
          read.isDimInBounds(0),
          true};
}

void elfatt::cpu::lowerPairedProduct(vector::ContractionOp op, PairedOperands operands,
                                     TileRegisters &registers, int64_t vectorRegisters,
                                     ImplicitLocOpBuilder &b, const Prefetches &prefetches,
                                     function_ref<void(size_t, size_t)> endPanel) {
  const int64_t rows = cast<VectorType>(op.getAccType()).getDimSize(0);
  const int64_t depth = operands.rhs.getVectorType().getDimSize(0);
  Type bf16 = b.getBF16Type();
  SmallVector<Piece> pieces = registers.pieces(op.getResult());
  const int64_t lanes = pieces.front().width;
  auto sums = VectorType::get({lanes}, b.getF32Type());
  auto pairs = VectorType::get({2 * lanes}, bf16);
  MemoryTile lhs = collapsePairs(operands.lhs, b), rhs = collapsePairs(operands.rhs, b);
  auto index = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(b, value); };
  auto plus = [&](Value a, Value c) { return b.createOrFold<arith::AddIOp>(a, c); };

  SmallVector<Value> rowIndices;
  for (int64_t row = 0; row < rows; ++row) {
    Value at = plus(lhs.indices[lhs.rowDim], index(row));
    if (!lhs.rowsInBounds && row > 0) {
      Value extent = b.createOrFold<memref::DimOp>(lhs.memref, lhs.rowDim);
      Value last = b.createOrFold<arith::SubIOp>(extent, index(1));
      at = b.createOrFold<arith::MinSIOp>(at, last);
    }
    rowIndices.push_back(at);
  }
  // Besides the accumulators, a row of B and one broadcast are in registers.
  const size_t together = std::max<int64_t>(1, (vectorRegisters - 1) / (rows + 1));
  const size_t panels = llvm::divideCeil(pieces.size(), together);
  for (size_t panel = 0, first = 0; panel < panels; ++panel) {
    const size_t count = llvm::divideCeil(pieces.size() - first, panels - panel);
    SmallVector<Value> accs;
    for (int64_t row = 0; row < rows; ++row)
      for (size_t at = 0; at < count; ++at)
        accs.push_back(registers.get(op.getAcc(), row, first + at));
    auto step = [&](Value line, ValueRange sumsBefore) {
      Value channel = b.createOrFold<arith::MulIOp>(line, index(2));
      SmallVector<Value> columns, next;
      for (size_t at = 0; at < count; ++at) {
        SmallVector<Value> indices = rhs.indices;
        indices[0] = plus(indices[0], line);
        indices[1] = plus(indices[1], index(2 * pieces[first + at].offset));
        columns.push_back(vector::LoadOp::create(b, pairs, rhs.memref, indices));
      }
      for (int64_t row = 0; row < rows; ++row) {
        SmallVector<Value> indices = lhs.indices;
        indices[lhs.rowDim] = rowIndices[row];
        indices[lhs.columnDim] = plus(indices[lhs.columnDim], channel);
        Value pair = vector::LoadOp::create(b, VectorType::get({2}, bf16), lhs.memref, indices);
        pair = vector::BitCastOp::create(b, VectorType::get({1}, b.getI32Type()), pair);
        Value bits = vector::ExtractOp::create(b, pair, int64_t(0));
        Value all = vector::BroadcastOp::create(b, VectorType::get({lanes}, b.getI32Type()), bits);
        all = vector::BitCastOp::create(b, pairs, all);
        for (size_t at = 0; at < count; ++at)
          next.push_back(x86vector::DotBF16Op::create(b, sums, sumsBefore[row * count + at], all,
                                                      columns[at]));
      }
      return next;
    };
    ValueRange made =
        prefetches.forEachStep(b, index(0), index(depth), depth, panel, panels, accs, step);
    for (int64_t row = 0; row < rows; ++row)
      for (size_t at = 0; at < count; ++at)
        registers.set(op.getResult(), row, first + at, made[row * count + at]);
    endPanel(first, count);
    first += count;
  }
}
