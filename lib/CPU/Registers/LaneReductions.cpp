// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LaneReductions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "llvm/Support/MathExtras.h"

#include <limits>

using namespace mlir;

Value elfatt::cpu::combine(ImplicitLocOpBuilder &b, vector::CombiningKind kind, Value lhs,
                           Value rhs) {
  if (kind == vector::CombiningKind::ADD)
    return arith::AddFOp::create(b, lhs, rhs);
  Value greater = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, lhs, rhs);
  return arith::SelectOp::create(b, greater, lhs, rhs);
}

double elfatt::cpu::neutralOf(vector::CombiningKind kind) {
  return kind == vector::CombiningKind::ADD ? 0.0 : -std::numeric_limits<double>::infinity();
}

Value elfatt::cpu::reduceLanes(ImplicitLocOpBuilder &b, vector::CombiningKind kind,
                               SmallVector<Value> rows) {
  int64_t width = cast<VectorType>(rows.front().getType()).getDimSize(0);
  rows.resize(llvm::PowerOf2Ceil(rows.size()), rows.back());
  // A vector holds `groups` rows, each as width / groups partial results.
  int64_t groups = 1;
  auto halves = [&](Value lhs, Value rhs, bool both) {
    int64_t size = width / groups;
    SmallVector<int64_t> low, high;
    for (int64_t source = 0; source < (both ? 2 : 1); ++source)
      for (int64_t group = 0; group < groups; ++group)
        for (int64_t lane = 0; lane < size / 2; ++lane) {
          low.push_back(source * width + group * size + lane);
          high.push_back(source * width + group * size + size / 2 + lane);
        }
    return combine(b, kind, vector::ShuffleOp::create(b, lhs, rhs, low),
                   vector::ShuffleOp::create(b, lhs, rhs, high));
  };
  while (rows.size() > 1 && groups < width) {
    SmallVector<Value> joined;
    for (size_t at = 0; at < rows.size(); at += 2)
      joined.push_back(halves(rows[at], rows[at + 1], /*both=*/true));
    rows = std::move(joined);
    groups *= 2;
  }
  while (groups < width) {
    rows[0] = halves(rows[0], rows[0], /*both=*/false);
    width /= 2;
  }
  return rows[0];
}

Value elfatt::cpu::reduceRow(ImplicitLocOpBuilder &b, TileRegisters &registers,
                             vector::MultiDimReductionOp op, int64_t row, size_t first,
                             size_t count, Value partial) {
  const vector::CombiningKind kind = op.getKind();
  const double neutral = neutralOf(kind);
  const SmallVector<Piece> pieces = registers.pieces(op.getSource());
  for (size_t at = first; at < first + count; ++at) {
    const Piece piece = pieces[at];
    Value value =
        registers.withNeutralPadding(registers.get(op.getSource(), row, at), piece, neutral);
    if (partial && piece.width < pieces[0].width)
      value = vector::InsertStridedSliceOp::create(
          b, value, registers.constantSplat(neutral, cast<VectorType>(partial.getType())),
          ArrayRef<int64_t>{0}, ArrayRef<int64_t>{1});
    partial = partial ? combine(b, kind, partial, value) : value;
  }
  return partial;
}

bool elfatt::cpu::lowerReduction(ImplicitLocOpBuilder &b, TileRegisters &registers,
                                 vector::MultiDimReductionOp op, ArrayRef<Value> ofPanels) {
  VectorType type = op.getSourceVectorType();
  vector::CombiningKind kind = op.getKind();
  if (type.getRank() != 2 || op.getReductionDims().size() != 1 ||
      !isa<FloatType>(type.getElementType()) ||
      (kind != vector::CombiningKind::ADD && kind != vector::CombiningKind::MAXNUMF))
    return false;
  Value source = op.getSource(), result = op.getDest(), init = op.getAcc();
  double neutral = neutralOf(kind);
  SmallVector<Piece> pieces = registers.pieces(source);
  auto join = [&](Value value, int64_t index) {
    DenseElementsAttr constant;
    bool fromNeutral = matchPattern(init, m_Constant(&constant)) && constant.isSplat() &&
                       constant.getSplatValue<APFloat>().convertToDouble() == neutral;
    registers.set(result, 0, index,
                  fromNeutral ? value : combine(b, kind, registers.get(init, 0, index), value));
  };
  if (op.getReductionDims()[0] == 0) {
    // Four sums at a time hide the latency of an addition.
    constexpr int64_t chains = 4;
    for (size_t index = 0; index < pieces.size(); ++index) {
      SmallVector<Value> partial;
      for (int64_t row = 0; row < type.getDimSize(0); ++row) {
        Value value = registers.get(source, row, index);
        if (row < chains)
          partial.push_back(value);
        else
          partial[row % chains] = combine(b, kind, partial[row % chains], value);
      }
      while (partial.size() > 1) {
        Value last = partial.pop_back_val();
        Value &into = partial[partial.size() / 2];
        into = combine(b, kind, into, last);
      }
      join(partial[0], index);
    }
    return true;
  }
  for (auto [index, group] : llvm::enumerate(registers.pieces(result))) {
    SmallVector<Value> rows;
    for (int64_t row = group.offset; row < group.offset + group.valid; ++row)
      rows.push_back(ofPanels.empty() ? reduceRow(b, registers, op, row, 0, pieces.size(), {})
                                      : ofPanels[row]);
    Value reduced = reduceLanes(b, kind, rows);
    // Fewer lanes than rows: a tile of fewer columns than the machine has lanes.
    int64_t have = cast<VectorType>(reduced.getType()).getDimSize(0);
    if (have < group.width) {
      SmallVector<Value> scalars;
      for (Value row : rows)
        scalars.push_back(vector::ExtractOp::create(b, reduceLanes(b, kind, {row}), int64_t(0)));
      scalars.resize(group.width, scalars.back());
      reduced = vector::FromElementsOp::create(
          b, VectorType::get({group.width}, type.getElementType()), scalars);
    }
    join(reduced, index);
  }
  return true;
}
