// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/Passes.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"

#include "mlir/IR/PatternMatch.h"

namespace elfatt::tile {
#define GEN_PASS_DEF_TILEMERGEKEYSPASS
#include "elfatt/Tile/Passes.h.inc"

using namespace mlir;
using namespace elfatt::attention;

namespace {
/// Where dim `dim` stands in the results of `map`.
std::optional<unsigned> findDim(AffineMap map, unsigned dim) {
  return map.getResultPosition(getAffineDimExpr(dim, map.getContext()));
}

/// Whether each map has `inner` right behind `outer`, or neither of them.
bool standTogether(ArrayRef<AffineMap> maps, unsigned outer, unsigned inner) {
  return llvm::all_of(maps, [&](AffineMap map) {
    std::optional<unsigned> first = findDim(map, outer), second = findDim(map, inner);
    return first.has_value() == second.has_value() && (!first || *first + 1 == *second);
  });
}

/// `tensor` with dims `position` and `position + 1` as one.
Value collapse(RewriterBase &rewriter, Location loc, Value tensor, unsigned position) {
  SmallVector<ReassociationIndices> groups;
  for (int64_t dim = 0, rank = cast<RankedTensorType>(tensor.getType()).getRank(); dim < rank;
       ++dim)
    if (dim == position + 1)
      groups.back().push_back(dim);
    else
      groups.push_back({dim});
  return tensor::CollapseShapeOp::create(rewriter, loc, tensor, groups);
}

/// The map without dim `inner`, which stands right behind the one it joins.
AffineMap dropInner(AffineMap map, unsigned inner) {
  SmallVector<AffineExpr> results;
  for (AffineExpr expr : map.getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (dim && dim.getPosition() == inner)
      continue;
    bool isBehind = dim && dim.getPosition() > inner;
    results.push_back(isBehind ? getAffineDimExpr(dim.getPosition() - 1, map.getContext()) : expr);
  }
  return AffineMap::get(map.getNumDims() - 1, 0, results, map.getContext());
}

/// Merges key dims `outer` and `inner` in the operands and their maps.
template <typename OpTy>
LogicalResult mergeViews(RewriterBase &rewriter, OpTy op, unsigned outer, unsigned inner) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  if (!standTogether(maps, outer, inner))
    return failure();
  rewriter.setInsertionPoint(op);
  rewriter.modifyOpInPlace(op, [&] {
    SmallVector<OpOperand *> operands = op.getViewedOperands();
    for (auto [operand, map] : llvm::zip_equal(operands, maps)) {
      if (std::optional<unsigned> position = findDim(map, outer))
        operand->set(collapse(rewriter, op->getLoc(), operand->get(), *position));
      map = dropInner(map, inner);
    }
    op.setIndexingMapsAttr(rewriter.getAffineMapArrayAttr(maps));
  });
  return success();
}

/// A score region is told their positions, so there it is done for positions that it does not ask
/// for alone.
LogicalResult merge(RewriterBase &rewriter, SdpaOp op, unsigned outer, unsigned inner) {
  std::optional<unsigned> argument;
  if (!op.getScore().empty()) {
    Block &block = op.getScore().front();
    SmallVector<unsigned> positions = AttentionDims::get(op).getPositionDims();
    unsigned first = block.getNumArguments() - positions.size();
    for (unsigned dim : {outer, inner})
      if (!block.getArgument(first + (llvm::find(positions, dim) - positions.begin())).use_empty())
        return failure();
    argument = first + (llvm::find(positions, inner) - positions.begin());
  }
  if (failed(mergeViews(rewriter, op, outer, inner)))
    return failure();
  if (argument)
    rewriter.modifyOpInPlace(op, [&] { op.getScore().front().eraseArgument(*argument); });
  return success();
}

LogicalResult merge(RewriterBase &rewriter, LinearOp op, unsigned outer, unsigned inner) {
  return mergeViews(rewriter, op, outer, inner);
}

struct TileMergeKeysPass : impl::TileMergeKeysPassBase<TileMergeKeysPass> {
  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    getOperation()->walk([&](SdpaOp op) {
      // Lines of known size are blocks of keys as they are.
      if (op.hasPureTensorSemantics() && op.getOffsets().empty() && !op.getCausal())
        mergeKeys(rewriter, op, ShapedType::isDynamic);
    });
    getOperation()->walk([&](LinearOp op) {
      if (op.hasPureTensorSemantics())
        mergeKeys(rewriter, op, [](int64_t) { return true; });
    });
  }

private:
  /// Merges inner key dims, of sizes that are `wanted`, with the ones before them.
  template <typename OpTy>
  void mergeKeys(RewriterBase &rewriter, OpTy op, function_ref<bool(int64_t)> wanted) {
    auto mergeOnce = [&] {
      SmallVector<unsigned> keys = AttentionDims::get(op).keys;
      SmallVector<int64_t> ranges = getStaticLoopRanges(op);
      for (size_t i = 1; i < keys.size(); ++i)
        if (wanted(ranges[keys[i]]) && succeeded(merge(rewriter, op, keys[i - 1], keys[i])))
          return true;
      return false;
    };
    while (mergeOnce())
      ++numMerged;
  }
};
} // namespace
} // namespace elfatt::tile
