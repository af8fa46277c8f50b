// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include <map>

namespace elfatt::cpu {
#define GEN_PASS_DEF_LOWERREDUCTIONSPASS
#include "elfatt/CPU/Passes.h.inc"

using namespace mlir;

namespace {
/// One vector op for a step of a reduction. The maximum is `a > b ? a : b`, one
/// instruction on x86: where a NaN loses against a number here, the exponential
/// of that NaN still makes the row NaN.
Value combine(ImplicitLocOpBuilder &b, vector::CombiningKind kind, Value lhs, Value rhs) {
  if (kind == vector::CombiningKind::ADD)
    return arith::AddFOp::create(b, lhs, rhs);
  Value greater = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, lhs, rhs);
  return arith::SelectOp::create(b, greater, lhs, rhs);
}

/// Reduces a 2-D tile over its rows or its columns with whole vectors as long as
/// possible: vertically to one vector, then by halves.
struct LowerTileReduction : OpRewritePattern<vector::MultiDimReductionOp> {
  LowerTileReduction(MLIRContext *ctx, int64_t vectorBits)
      : OpRewritePattern(ctx), vectorBits(vectorBits) {}

  LogicalResult matchAndRewrite(vector::MultiDimReductionOp op,
                                PatternRewriter &rewriter) const override {
    VectorType type = op.getSourceVectorType();
    vector::CombiningKind kind = op.getKind();
    if (type.getRank() != 2 || op.getReductionDims().size() != 1 ||
        !isa<FloatType>(type.getElementType()) ||
        (kind != vector::CombiningKind::ADD && kind != vector::CombiningKind::MAXNUMF))
      return rewriter.notifyMatchFailure(op, "not a sum or maximum over one dim of a float tile");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    SmallVector<Value> rows;
    for (int64_t row = 0, e = type.getDimSize(0); row < e; ++row)
      rows.push_back(vector::ExtractOp::create(b, op.getSource(), row));
    if (op.getReductionDims()[0] == 0) {
      rewriter.replaceOp(op, combine(b, kind, op.getAcc(), tree(b, kind, rows)));
      return success();
    }
    SmallVector<Value> scalars;
    for (Value row : rows)
      scalars.push_back(reduceRow(b, kind, row));
    Value result = vector::FromElementsOp::create(b, cast<VectorType>(op.getType()), scalars);
    rewriter.replaceOp(op, combine(b, kind, op.getAcc(), result));
    return success();
  }

  static Value tree(ImplicitLocOpBuilder &b, vector::CombiningKind kind, ArrayRef<Value> values) {
    SmallVector<Value> level(values);
    while (level.size() > 1) {
      SmallVector<Value> next;
      for (size_t index = 0; index + 1 < level.size(); index += 2)
        next.push_back(combine(b, kind, level[index], level[index + 1]));
      if (level.size() % 2)
        next.push_back(level.back());
      level = std::move(next);
    }
    return level.front();
  }

  Value reduceRow(ImplicitLocOpBuilder &b, vector::CombiningKind kind, Value row) const {
    auto type = cast<VectorType>(row.getType());
    int64_t columns = type.getDimSize(0);
    int64_t lanes = std::max<int64_t>(1, vectorBits / type.getElementTypeBitWidth());
    // Whole vectors first, then powers of two of what is left.
    std::map<int64_t, SmallVector<Value>> byWidth;
    for (int64_t column = 0; column < columns;) {
      int64_t width = lanes;
      while (width > columns - column)
        width /= 2;
      byWidth[width].push_back(width == columns
                                   ? row
                                   : Value(vector::ExtractStridedSliceOp::create(
                                         b, row, ArrayRef<int64_t>{column},
                                         ArrayRef<int64_t>{width}, ArrayRef<int64_t>{1})));
      column += width;
    }
    // Fold from the widest down: halves of a vector join those of its width.
    for (int64_t width = lanes; width > 1; width /= 2) {
      auto found = byWidth.find(width);
      if (found == byWidth.end())
        continue;
      Value one = tree(b, kind, found->second);
      SmallVector<int64_t> low, high;
      for (int64_t lane = 0; lane < width / 2; ++lane) {
        low.push_back(lane);
        high.push_back(width / 2 + lane);
      }
      byWidth[width / 2].push_back(combine(b, kind, vector::ShuffleOp::create(b, one, one, low),
                                           vector::ShuffleOp::create(b, one, one, high)));
    }
    return vector::ExtractOp::create(b, tree(b, kind, byWidth[1]), int64_t(0));
  }

  int64_t vectorBits;
};

struct LowerReductionsPass : impl::LowerReductionsPassBase<LowerReductionsPass> {
  using LowerReductionsPassBase::LowerReductionsPassBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerTileReduction>(&getContext(), vectorBits);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
} // namespace elfatt::cpu
