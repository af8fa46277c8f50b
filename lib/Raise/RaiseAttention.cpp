// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Passes.h"

#include "Recognise.h"
#include "Rewrite.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Raise/Sites.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace elfatt::raise {
#define GEN_PASS_DEF_RAISEATTENTIONPASS
#include "elfatt/Raise/Passes.h.inc"
} // namespace elfatt::raise

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;

/// The scale as a value of the computation's type; null for the default.
static Value buildScale(OpBuilder &builder, Location loc, const RecognisedAttention &attention,
                        FloatType type) {
  if (attention.hasDefaultScale)
    return {};
  Value scale =
      arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, attention.scale.constant));
  for (const Scale::Factor &factor : attention.scale.factors) {
    Value value = factor.value;
    if (!value) {
      SmallVector<Value> indices;
      for (const view::Index &index : factor.element.indices)
        indices.push_back(arith::ConstantIndexOp::create(builder, loc, index.offset));
      value = tensor::ExtractOp::create(builder, loc, factor.element.source, indices);
    }
    unsigned width = value.getType().getIntOrFloatBitWidth();
    if (width < type.getWidth())
      value = arith::ExtFOp::create(builder, loc, type, value);
    else if (width > type.getWidth())
      value = arith::TruncFOp::create(builder, loc, type, value);
    scale = factor.isDivisor ? arith::DivFOp::create(builder, loc, scale, value).getResult()
                             : arith::MulFOp::create(builder, loc, scale, value).getResult();
  }
  return scale;
}

/// `mask` with true and false swapped.
static Value buildInverted(OpBuilder &builder, Location loc, Value mask) {
  auto type = cast<RankedTensorType>(mask.getType());
  Value init = tensor::EmptyOp::create(builder, loc, tensor::getMixedSizes(builder, loc, mask),
                                       type.getElementType());
  AffineMap identity = builder.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> loops(type.getRank(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(builder, loc, type, mask, init, {identity, identity}, loops,
                                   [](OpBuilder &nested, Location at, ValueRange args) {
                                     Value one = arith::ConstantIntOp::create(nested, at, 1, 1);
                                     Value inverted =
                                         arith::XOrIOp::create(nested, at, args[0], one);
                                     linalg::YieldOp::create(nested, at, inverted);
                                   })
      .getResult(0);
}

static bool isAnyF64(const RecognisedAttention &attention) {
  auto isF64 = [](Value value) { return getElementTypeOrSelf(value.getType()).isF64(); };
  return isF64(attention.query.source) || isF64(attention.key.source) ||
         isF64(attention.value.source) || isF64(attention.output.value);
}

/// Builds the op in front of what it replaces; gives the op.
static Operation *rewrite(RecognisedAttention &attention, linalg::LinalgOp second) {
  Operation *end = attention.output.value.getDefiningOp();
  OpBuilder builder(end);
  Location loc = second.getLoc();
  MLIRContext *context = builder.getContext();
  ViewBuilder views(builder, loc, *attention.reader);
  const Domain &domain = attention.domain;

  Value query = views.buildOperand(attention.query);
  Value key = views.buildOperand(attention.key);
  Value value = views.buildOperand(attention.value);
  SmallVector<AffineMap> maps = {attention.query.getMap(domain, context),
                                 attention.key.getMap(domain, context),
                                 attention.value.getMap(domain, context)};
  SmallVector<Value> biases;
  for (const RecognisedAttention::BiasPlan &bias : attention.biases) {
    Value tensor = views.buildOperand(bias.view);
    biases.push_back(bias.isInverted ? buildInverted(builder, loc, tensor) : tensor);
    maps.push_back(bias.view.getMap(domain, context));
  }
  Value init = views.buildInit(attention.output);
  maps.push_back(attention.output.getMap(domain, context));
  ArrayAttr mapsAttr = builder.getAffineMapArrayAttr(maps);

  Operation *op;
  if (attention.isLinear) {
    op = attention::LinearOp::create(builder, loc, init.getType(), query, key, value, init,
                                     mapsAttr);
  } else {
    FloatType type =
        isAnyF64(attention) ? FloatType(builder.getF64Type()) : FloatType(builder.getF32Type());
    Value scale = buildScale(builder, loc, attention, type);
    op = attention::SdpaOp::create(
        builder, loc, TypeRange{init.getType()}, query, key, value, biases, scale,
        /*offsets=*/ValueRange{}, init, mapsAttr, /*causal=*/false,
        attention.zeroMaskedRows ? attention::MaskedRows::Zero : attention::MaskedRows::NaN);
  }
  markRaised(op, attention.hasExcessPrecision, attention.hasExcessRange);
  Value result = views.buildResult(attention.output, op->getResult(0));
  attention.output.value.replaceAllUsesWith(result);
  return op;
}

namespace {
struct RaiseAttentionPass : raise::impl::RaiseAttentionPassBase<RaiseAttentionPass> {
  using Base::Base;

  void runOnOperation() override {
    // Contractions in order: none is erased before it is looked at, since what is
    // erased comes before the op that replaces it.
    SmallVector<Operation *> contractions;
    getOperation()->walk([&](Operation *op) {
      if (isContraction(op) || isQuantizedContraction(op))
        contractions.push_back(op);
    });
    for (Operation *op : contractions)
      raiseAt(cast<linalg::LinalgOp>(op));
  }

  void raiseAt(linalg::LinalgOp second) {
    std::optional<Verdict> refused;
    linalg::LinalgOp first;
    for (const ContractionPair &pair : findPairs(second)) {
      Verdict verdict = recognise(pair, {strict});
      if (verdict.attention) {
        Operation *end = verdict.attention->output.value.getDefiningOp();
        ++(verdict.attention->isLinear ? numLinear : numSdpa);
        rewrite(*verdict.attention, second);
        eraseDead(end);
        return;
      }
      if (verdict.isSite && !refused) {
        refused = std::move(verdict);
        first = pair.first;
      }
    }
    if (refused) {
      ++numRefused;
      markRefused(second, first, refused->refusal);
    }
  }
};
} // namespace
