// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

namespace elfatt::tile {
#define GEN_PASS_DEF_TILEEXPANDVIEWSPASS
#include "elfatt/Tile/Passes.h.inc"

using namespace mlir;

namespace {
/// A view whose expanded dims are of several unknown sizes, as a cast of its memory.
/// Upstream's lowering of views derives the one unknown size of a group from the others
/// and crashes where there are two (MLIR 22.1).
///   strides[dim] = stride of the group in the source * product of the sizes inside of dim
struct CastDynamicGroups : OpRewritePattern<memref::ExpandShapeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(memref::ExpandShapeOp op,
                                PatternRewriter &rewriter) const override {
    MemRefType type = op.getResultType();
    SmallVector<ReassociationIndices> groups = op.getReassociationIndices();
    auto hasSeveral = [&](const ReassociationIndices &group) {
      return llvm::count_if(group, [&](int64_t dim) { return type.isDynamicDim(dim); }) > 1;
    };
    if (llvm::none_of(groups, hasSeveral))
      return rewriter.notifyMatchFailure(op, "no group has several dynamic sizes");
    Location loc = op.getLoc();
    auto source = memref::ExtractStridedMetadataOp::create(rewriter, loc, op.getSrc());
    SmallVector<OpFoldResult> sizes = op.getMixedOutputShape();
    SmallVector<OpFoldResult> strides(sizes.size());
    SmallVector<OpFoldResult> sourceStrides = source.getConstifiedMixedStrides();
    AffineExpr a, b;
    bindSymbols(rewriter.getContext(), a, b);
    for (auto [group, stride] : llvm::zip_equal(groups, sourceStrides)) {
      OpFoldResult next = stride;
      for (int64_t dim : llvm::reverse(group)) {
        strides[dim] = next;
        next = affine::makeComposedFoldedAffineApply(rewriter, loc, a * b, {next, sizes[dim]});
      }
    }
    // What the type says is static.
    auto [typeStrides, typeOffset] = type.getStridesAndOffset();
    for (auto [stride, known] : llvm::zip_equal(strides, typeStrides))
      if (!ShapedType::isDynamic(known))
        stride = rewriter.getIndexAttr(known);
      else
        stride = getValueOrCreateConstantIndexOp(rewriter, loc, stride);
    OpFoldResult offset = rewriter.getIndexAttr(typeOffset);
    if (ShapedType::isDynamic(typeOffset))
      offset = source.getOffset();
    rewriter.replaceOpWithNewOp<memref::ReinterpretCastOp>(op, type, source.getBaseBuffer(), offset,
                                                           sizes, strides);
    return success();
  }
};

struct TileExpandViewsPass : impl::TileExpandViewsPassBase<TileExpandViewsPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<CastDynamicGroups>(&getContext());
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};
} // namespace
} // namespace elfatt::tile
