// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/IR/LinalgInterfaces.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/Transforms.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace elfatt::cpu {
#define GEN_PASS_DEF_FUSEPASS
#include "elfatt/CPU/Passes.h.inc"

namespace {

/// Whether the op only moves data: it yields one of its inputs.
bool isDataMovement(linalg::LinalgOp op) {
  Block *body = op.getBlock();
  if (!llvm::hasSingleElement(*body))
    return false;
  auto yielded = dyn_cast<BlockArgument>(body->getTerminator()->getOperand(0));
  return yielded && yielded.getArgNumber() < op.getNumDpsInputs() && op.getNumDpsInits() == 1;
}

/// Whether the op moves whole dims: a product that reads its input instead is one still, where one
/// that gathers patches is none.
bool movesDims(linalg::LinalgOp op) {
  return isDataMovement(op) && llvm::all_of(op.getIndexingMapsArray(), [](AffineMap map) {
           return map.isProjectedPermutation();
         });
}

/// Whether the body is cheap enough to be computed again at each use.
bool isCheap(linalg::LinalgOp op) {
  return llvm::all_of(op.getBlock()->without_terminator(), [](Operation &inner) {
    return !isa<math::MathDialect>(inner.getDialect()) && !isa<arith::DivFOp>(inner);
  });
}

/// What is fused into its consumer: elementwise ops into elementwise ones and
/// reductions; into products only what leaves them products.
bool shouldFuse(OpOperand *operand) {
  auto producer = operand->get().getDefiningOp<linalg::LinalgOp>();
  auto consumer = dyn_cast<linalg::LinalgOp>(operand->getOwner());
  if (!producer || !consumer)
    return false;
  if (linalg::isaContractionOpInterface(consumer))
    return movesDims(producer);
  bool oneUse = producer->hasOneUse();
  bool reduces = consumer.getNumReductionLoops() > 0;
  // What each output element of a reduction reads again and again is made
  // once.
  if (!oneUse)
    return isDataMovement(producer);
  if (!reduces)
    return consumer.getNumParallelLoops() <= producer.getNumParallelLoops() || isCheap(producer);
  return isCheap(producer) || consumer.getNumLoops() == producer.getNumLoops();
}

/// Named ops that are elementwise or move data become generics, so that they
/// fuse.
struct GeneralizeElementwise : OpInterfaceRewritePattern<linalg::LinalgOp> {
  using OpInterfaceRewritePattern::OpInterfaceRewritePattern;

  LogicalResult matchAndRewrite(linalg::LinalgOp op, PatternRewriter &rewriter) const override {
    if (isa<linalg::GenericOp, linalg::FillOp>(op) || !op.hasPureTensorSemantics())
      return failure();
    bool moves = isa<linalg::TransposeOp, linalg::BroadcastOp>(op);
    bool isElementwise = op.getNumReductionLoops() == 0;
    bool isProduct = linalg::isaContractionOpInterface(op);
    if (!moves && !isElementwise && !isProduct)
      return failure();
    return linalg::generalizeNamedOp(rewriter, op);
  }
};

struct Fuse : impl::FusePassBase<Fuse> {
  using FusePassBase::FusePassBase;

  void runOnOperation() override {
    MLIRContext *context = &getContext();
    RewritePatternSet patterns(context);
    patterns.add<GeneralizeElementwise>(context);
    linalg::populateElementwiseOpsFusionPatterns(patterns, shouldFuse);
    linalg::FillOp::getCanonicalizationPatterns(patterns, context);
    linalg::GenericOp::getCanonicalizationPatterns(patterns, context);
    tensor::ExpandShapeOp::getCanonicalizationPatterns(patterns, context);
    tensor::CollapseShapeOp::getCanonicalizationPatterns(patterns, context);
    tensor::populateFoldTensorEmptyPatterns(patterns);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
} // namespace elfatt::cpu
