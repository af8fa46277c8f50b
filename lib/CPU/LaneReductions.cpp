// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LaneReductions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
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
