// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RowProduct.h"

#include "LaneReductions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace elfatt::cpu;

bool elfatt::cpu::isRowProduct(vector::ContractionOp op) {
  AffineExpr i, j, k;
  bindDims(op.getContext(), i, j, k);
  auto map = [&](AffineExpr x, AffineExpr y) {
    return AffineMap::get(3, 0, {x, y}, op.getContext());
  };
  auto acc = dyn_cast<VectorType>(op.getAccType());
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  return acc && acc.getRank() == 2 && acc.getDimSize(0) == 1 &&
         op.getKind() == vector::CombiningKind::ADD && maps[0] == map(i, k) &&
         maps[1] == map(j, k) && maps[2] == map(i, j) &&
         matchPattern(op.getAcc(), m_AnyZeroFloat()) &&
         op.getLhsType().getElementType() == acc.getElementType();
}

/// Rows of `tile` from its first one on, if that is known.
static std::optional<int64_t> countRows(const MemoryTile &tile) {
  const int64_t extent = cast<MemRefType>(tile.memref.getType()).getDimSize(tile.rowDim);
  std::optional<int64_t> first = getConstantIntValue(tile.indices[tile.rowDim]);
  if (ShapedType::isDynamic(extent) || !first)
    return std::nullopt;
  return std::max<int64_t>(0, extent - *first);
}

void elfatt::cpu::lowerRowProduct(vector::ContractionOp op, const MemoryTile &rhs, Value scratch,
                                  TileRegisters &registers, ImplicitLocOpBuilder &b) {
  auto type = cast<VectorType>(op.getAccType());
  const SmallVector<Piece> terms = registers.pieces(op.getLhs());
  const SmallVector<Piece> results = registers.pieces(op.getResult());
  const int64_t lanes = results.front().width, columns = type.getDimSize(1);
  const auto sums = VectorType::get({lanes}, type.getElementType());
  auto index = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(b, value); };
  SmallVector<Value> factors;
  for (size_t at = 0; at < terms.size(); ++at)
    factors.push_back(registers.get(op.getLhs(), 0, at));
  Value padding = arith::ConstantOp::create(
      b, b.getZeroAttr(cast<MemRefType>(rhs.memref.getType()).getElementType()));
  Value none = registers.constantSplat(0.0, sums);
  // A register that is narrower than the sums adds to the first of their lanes.
  auto addTerm = [&](Value sum, Value factor, Value element) -> Value {
    if (factor.getType() == sums)
      return vector::FMAOp::create(b, factor, element, sum);
    Value product = arith::MulFOp::create(b, factor, element);
    product = vector::InsertStridedSliceOp::create(b, product, none, ArrayRef<int64_t>{0},
                                                   ArrayRef<int64_t>{1});
    return arith::AddFOp::create(b, sum, product);
  };
  // Rows that are known not to exist have no code.
  std::optional<int64_t> known = rhs.rowsInBounds ? columns : countRows(rhs);
  const int64_t count = std::min(known.value_or(columns), columns);
  const int64_t whole = count / lanes * lanes;
  auto sumRows = [&](Value first, int64_t count) {
    MemoryTile rows = rhs;
    rows.rowsInBounds = known.has_value();
    rows.indices[rhs.rowDim] = b.createOrFold<arith::AddIOp>(rhs.indices[rhs.rowDim], first);
    SmallVector<Value> all(lanes, none);
    for (int64_t row = 0; row < count; ++row)
      for (auto [at, piece] : llvm::enumerate(terms)) {
        Value element =
            registers.convert(registers.load(rows, row, piece, padding), type.getElementType());
        all[row] = addTerm(all[row], factors[at], element);
      }
    Value reduced = reduceLanes(b, vector::CombiningKind::ADD, all);
    vector::StoreOp::create(b, reduced, scratch, ValueRange{index(0), first});
  };
  if (whole > 0) {
    auto loop = scf::ForOp::create(b, index(0), index(whole), index(lanes));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    sumRows(loop.getInductionVar(), lanes);
  }
  for (int64_t first = whole; first < columns; first += lanes)
    sumRows(index(first), std::clamp<int64_t>(count - first, 0, lanes));
  MemoryTile made{scratch, {index(0), index(0)}, 0, 1, true, true};
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type.getElementType()));
  for (auto [at, piece] : llvm::enumerate(results))
    registers.set(op.getResult(), 0, at, registers.load(made, 0, piece, zero));
}
