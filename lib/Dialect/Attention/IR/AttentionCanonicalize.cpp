// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Canonicalization: what stands beside an attention op folds into it. The table
// in docs/Semantics.md lists it.
#include "ViewFolding.h"
#include "ViewVerifier.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace elfatt::attention;

namespace {
/// Data movement and exact extensions of an operand become part of its map.
template <typename OpTy> struct FoldProducerIntoView : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;

  LogicalResult matchAndRewrite(OpTy op, PatternRewriter &rewriter) const override {
    auto dps = cast<DestinationStyleOpInterface>(op.getOperation());
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    for (auto [number, operand] : llvm::enumerate(op.getViewedOperands())) {
      if (dps.isDpsInit(operand))
        continue;
      FailureOr<View> view = foldProducer({operand->get(), maps[number]});
      if (failed(view) || !keepsTypes(op, *operand, getElementTypeOrSelf(view->source)))
        continue;
      maps[number] = view->map;
      rewriter.modifyOpInPlace(op, [&] {
        operand->set(view->source);
        op.setIndexingMapsAttr(rewriter.getAffineMapArrayAttr(maps));
      });
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no operand is made by a foldable op");
  }

private:
  /// Whether the op still computes in the same type, and its score region still
  /// fits, when `operand` has elements of `type`.
  static bool keepsTypes(OpTy op, OpOperand &operand, Type type) {
    Type old = getElementTypeOrSelf(operand.get());
    if (type == old)
      return true;
    if (!isElementType(type))
      return false;
    if constexpr (std::is_same_v<OpTy, SdpaOp>)
      if (!op.getScore().empty() && llvm::is_contained(op.getBias(), operand.get()))
        return false;
    if (!old.isF64())
      return true;
    return llvm::any_of(op.getViewedOperands(), [&](OpOperand *other) {
      return other != &operand && getElementTypeOrSelf(other->get()).isF64();
    });
  }
};

/// A destination's old elements do not matter, so what makes them goes.
template <typename OpTy> struct DropValueOfDestination : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;

  LogicalResult matchAndRewrite(OpTy op, PatternRewriter &rewriter) const override {
    if (auto fill = op.getInit().template getDefiningOp<linalg::FillOp>()) {
      rewriter.modifyOpInPlace(op, [&] { op.getInitMutable().assign(fill.output()); });
      return success();
    }
    auto type = dyn_cast<RankedTensorType>(op.getInit().getType());
    if (!type || !matchPattern(op.getInit(), m_Constant()))
      return rewriter.notifyMatchFailure(op, "the destination is neither filled nor constant");
    Value empty =
        tensor::EmptyOp::create(rewriter, op.getLoc(), type.getShape(), type.getElementType());
    rewriter.modifyOpInPlace(op, [&] { op.getInitMutable().assign(empty); });
    return success();
  }
};

/// The only user of `result` if all it does is to round it; null otherwise.
Operation *getRounding(Value result) {
  if (!result.hasOneUse())
    return nullptr;
  Operation *user = *result.user_begin();
  if (isa<arith::TruncFOp>(user))
    return user;
  auto generic = dyn_cast<linalg::GenericOp>(user);
  if (!generic)
    return nullptr;
  Operation *only = getOnlyElementwiseOp(generic);
  bool isIdentity =
      llvm::all_of(generic.getIndexingMapsArray(), [](AffineMap map) { return map.isIdentity(); });
  return isa_and_nonnull<arith::TruncFOp>(only) && isIdentity && generic.getInputs()[0] == result &&
                 only->getOperand(0) == generic.getBody()->getArgument(0)
             ? user
             : nullptr;
}

/// round(attention) is attention with a destination of that type: it rounds once
/// either way.
template <typename OpTy> struct FoldRoundingIntoDestination : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;

  LogicalResult matchAndRewrite(OpTy op, PatternRewriter &rewriter) const override {
    if (op->getNumResults() != 1)
      return rewriter.notifyMatchFailure(op, "expected tensors");
    // The result must be unrounded so far: in the type of the computation.
    auto view = cast<ViewOpInterface>(op.getOperation());
    Type have = getElementTypeOrSelf(op.getInit());
    if (have != getComputeType(view) ||
        (have.isF64() && llvm::none_of(view.getViewedOperands(), [&](OpOperand *operand) {
           return operand != &op.getInitMutable() && getElementTypeOrSelf(operand->get()).isF64();
         })))
      return rewriter.notifyMatchFailure(op,
                                         "the result is rounded, or sets the computation's type");
    if constexpr (std::is_same_v<OpTy, ElfattOp>)
      if (op.getGlobalLepeWeight() || op.getLocalLepeWeight())
        return rewriter.notifyMatchFailure(op, "LePE adds to the unrounded result");
    Operation *rounding = getRounding(op->getResult(0));
    if (!rounding || !isElementType(getElementTypeOrSelf(rounding->getResult(0))))
      return rewriter.notifyMatchFailure(op, "the result is not just rounded");
    Type want = getElementTypeOrSelf(rounding->getResult(0));
    Value empty = tensor::EmptyOp::create(
        rewriter, op.getLoc(), tensor::getMixedSizes(rewriter, op.getLoc(), op.getInit()), want);
    rewriter.modifyOpInPlace(op, [&] {
      op.getInitMutable().assign(empty);
      op->getResult(0).setType(cast<RankedTensorType>(empty.getType()));
    });
    rewriter.replaceOp(rounding, op->getResult(0));
    return success();
  }
};

/// The factor c of x * c or x / (1/c) over a tensor, as it stands: a scalar from
/// outside, and whether it divides.
struct Scaling {
  Value tensor;
  Value scalar;
  bool divides;
};

FailureOr<Scaling> matchScaling(Value value) {
  auto generic = value.getDefiningOp<linalg::GenericOp>();
  if (!generic ||
      llvm::any_of(generic.getIndexingMapsArray(), [](AffineMap map) { return !map.isIdentity(); }))
    return failure();
  Operation *only = getOnlyElementwiseOp(generic);
  if (!isa_and_nonnull<arith::MulFOp, arith::DivFOp>(only))
    return failure();
  Value element = generic.getBody()->getArgument(0);
  unsigned other = only->getOperand(0) == element ? 1 : 0;
  Value scalar = only->getOperand(other);
  bool divides = isa<arith::DivFOp>(only);
  if (only->getOperand(1 - other) != element || scalar == element || (divides && other == 0) ||
      scalar.getParentBlock() == generic.getBody())
    return failure();
  return Scaling{generic.getInputs()[0], scalar, divides};
}

/// softmax((c Q) K^T scale) = softmax(Q K^T (c scale)), and so for K.
struct FoldScalingIntoScale : OpRewritePattern<SdpaOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(SdpaOp op, PatternRewriter &rewriter) const override {
    auto view = cast<ViewOpInterface>(op.getOperation());
    FloatType type = getComputeType(view);
    for (OpOperand *operand : {&op.getQueryMutable(), &op.getKeyMutable()}) {
      FailureOr<Scaling> scaling = matchScaling(operand->get());
      // In a smaller type the product would be rounded.
      if (failed(scaling) || scaling->scalar.getType() != type)
        continue;
      unsigned channels = AttentionDims::get(op).channels;
      OpFoldResult extent = getMixedLoopRanges(rewriter, view)[channels];
      Value scale = getOrCreateScale(rewriter, op.getLoc(), op.getScale(), extent, type);
      if (scaling->divides)
        scale = arith::DivFOp::create(rewriter, op.getLoc(), scale, scaling->scalar);
      else
        scale = arith::MulFOp::create(rewriter, op.getLoc(), scale, scaling->scalar);
      rewriter.modifyOpInPlace(op, [&] {
        operand->set(scaling->tensor);
        op.getScaleMutable().assign(scale);
      });
      return success();
    }
    return rewriter.notifyMatchFailure(op, "neither query nor key is scaled");
  }
};

/// A bias of zeros and a mask of trues change nothing.
struct DropNeutralBias : OpRewritePattern<SdpaOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(SdpaOp op, PatternRewriter &rewriter) const override {
    if (!op.getScore().empty())
      return rewriter.notifyMatchFailure(op, "the score region takes every bias");
    constexpr unsigned firstBiasMap = 3;
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    for (auto [number, bias] : llvm::enumerate(op.getBias())) {
      if (!matchPattern(bias, m_AnyZeroFloat()) && !matchPattern(bias, m_One()))
        continue;
      maps.erase(maps.begin() + firstBiasMap + number);
      rewriter.modifyOpInPlace(op, [&] {
        op.getBiasMutable().erase(number);
        op.setIndexingMapsAttr(rewriter.getAffineMapArrayAttr(maps));
      });
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no bias is neutral");
  }
};

template <typename OpTy> void addSharedPatterns(RewritePatternSet &patterns) {
  patterns.add<FoldProducerIntoView<OpTy>, DropValueOfDestination<OpTy>,
               FoldRoundingIntoDestination<OpTy>>(patterns.getContext());
}
} // namespace

OpFoldResult ConvertLayoutOp::fold(FoldAdaptor) {
  if (getFrom() == getTo())
    return getSource();
  auto before = getSource().getDefiningOp<ConvertLayoutOp>();
  if (!before)
    return {};
  setFromAttr(before.getFrom());
  getSourceMutable().assign(before.getSource());
  return getResult();
}

void SdpaOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *ctx) {
  addSharedPatterns<SdpaOp>(patterns);
  patterns.add<FoldScalingIntoScale, DropNeutralBias>(ctx);
}
void ElfattOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *) {
  addSharedPatterns<ElfattOp>(patterns);
}
void LinearOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *) {
  addSharedPatterns<LinearOp>(patterns);
}
