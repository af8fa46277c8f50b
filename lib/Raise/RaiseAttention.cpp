// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Passes.h"

#include "Positions.h"
#include "Recognise.h"
#include "Rewrite.h"
#include "TalkingHeads.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Raise/Sites.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/SetVector.h"

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

/// What `build` makes of each element of `tensor`.
static Value buildElementwise(OpBuilder &builder, Location loc, Value tensor, Type element,
                              llvm::function_ref<Value(OpBuilder &, Location, Value)> build) {
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, tensor);
  Value init = tensor::EmptyOp::create(builder, loc, sizes, element);
  AffineMap identity = builder.getMultiDimIdentityMap(sizes.size());
  SmallVector<utils::IteratorType> loops(sizes.size(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             builder, loc, init.getType(), tensor, init, {identity, identity}, loops,
             [&](OpBuilder &nested, Location at, ValueRange args) {
               linalg::YieldOp::create(nested, at, build(nested, at, args[0]));
             })
      .getResult(0);
}

/// `mask` with true and false swapped.
static Value buildInverted(OpBuilder &builder, Location loc, Value mask) {
  return buildElementwise(builder, loc, mask, builder.getI1Type(),
                          [](OpBuilder &nested, Location at, Value keep) -> Value {
                            Value one = arith::ConstantIntOp::create(nested, at, 1, 1);
                            return arith::XOrIOp::create(nested, at, keep, one);
                          });
}

static Value buildWidened(OpBuilder &builder, Location loc, Value tensor, Type type) {
  return buildElementwise(builder, loc, tensor, type,
                          [&](OpBuilder &nested, Location at, Value value) -> Value {
                            return arith::ExtFOp::create(nested, at, type, value);
                          });
}

/// `tensor` times a constant.
static Value buildScaled(OpBuilder &builder, Location loc, Value tensor, double factor) {
  auto type = cast<RankedTensorType>(tensor.getType());
  Value init = tensor::EmptyOp::create(builder, loc, tensor::getMixedSizes(builder, loc, tensor),
                                       type.getElementType());
  Value scale =
      arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type.getElementType(), factor));
  AffineMap identity = builder.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> loops(type.getRank(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             builder, loc, init.getType(), tensor, init, {identity, identity}, loops,
             [&](OpBuilder &nested, Location at, ValueRange args) {
               Value scaled = arith::MulFOp::create(nested, at, args[0], scale);
               linalg::YieldOp::create(nested, at, scaled);
             })
      .getResult(0);
}

static bool isAnyF64(const RecognisedAttention &attention) {
  auto isF64 = [](Value value) { return getElementTypeOrSelf(value.getType()).isF64(); };
  bool isBiasF64 = llvm::any_of(attention.biases, [&](const RecognisedAttention::BiasPlan &bias) {
    return !bias.program && isF64(bias.views.front().source);
  });
  return isF64(attention.query.source) || isF64(attention.key.source) ||
         isF64(attention.value.source) || isF64(attention.output.value) || isBiasF64;
}

/// `linear` from the positions of the domain's dims.
static Value buildPosition(OpBuilder &builder, Location loc, const Linear &linear,
                           const Domain &domain, llvm::function_ref<Value(unsigned)> getPosition) {
  Value sum;
  auto add = [&](Value value) {
    sum = sum ? arith::AddIOp::create(builder, loc, sum, value).getResult() : value;
  };
  for (auto [atom, coefficient] : linear.terms) {
    Value position = getPosition(*domain.find(atom));
    if (coefficient != 1)
      position = arith::MulIOp::create(builder, loc, position,
                                       arith::ConstantIndexOp::create(builder, loc, coefficient));
    add(position);
  }
  if (linear.constant != 0 || !sum)
    add(arith::ConstantIndexOp::create(builder, loc, linear.constant));
  return sum;
}

/// Positions in `program` as sums of what `getPosition` gives for a dim.
static Value buildProgram(OpBuilder &builder, Location loc, const RecognisedAttention &attention,
                          const ScalarProgram &program, FloatType type, Value score,
                          ValueRange elements, llvm::function_ref<Value(unsigned)> getPosition) {
  return buildScalarProgram(
      builder, loc, program, type, score, elements, [&](const view::Index &index) {
        return buildPosition(builder, loc, *toLinear(attention.reader->getSpace(), index),
                             attention.domain, getPosition);
      });
}

/// Fills the score region of `op`, which computes in `type`.
static void buildScoreRegion(OpBuilder builder, attention::SdpaOp op,
                             const RecognisedAttention &attention, FloatType type) {
  Location loc = op.getLoc();
  Block *block = builder.createBlock(&op.getScore());
  Value score = block->addArgument(type, loc);
  SmallVector<Value> elements;
  for (Value bias : op.getBias())
    elements.push_back(block->addArgument(getElementTypeOrSelf(bias.getType()), loc));
  SmallVector<unsigned> dims = attention.dims.getPositionDims();
  for (size_t i = 0; i < dims.size(); ++i)
    block->addArgument(builder.getIndexType(), loc);
  auto getPosition = [&](unsigned dim) -> Value {
    return block->getArgument(1 + elements.size() + (llvm::find(dims, dim) - dims.begin()));
  };
  attention::YieldOp::create(builder, loc,
                             buildProgram(builder, loc, attention, *attention.program, type, score,
                                          elements, getPosition));
}

/// The dims of the domain that a computed bias is over.
static SmallVector<unsigned> getDims(const RecognisedAttention &attention,
                                     const RecognisedAttention::BiasPlan &bias) {
  llvm::SmallSetVector<unsigned, 4> dims;
  for (const ViewPlan &view : bias.views)
    for (ArrayRef<Factor> factors : view.dims)
      for (const Factor &factor : factors)
        if (factor.atom)
          dims.insert(*attention.domain.find(*factor.atom));
  for (const ScalarProgram::Node &node : bias.program->nodes)
    if (node.kind == ScalarProgram::Node::Position)
      for (auto [atom, coefficient] : toLinear(attention.reader->getSpace(), node.position)->terms)
        dims.insert(*attention.domain.find(atom));
  SmallVector<unsigned> sorted = llvm::to_vector(dims);
  llvm::sort(sorted);
  return sorted;
}

/// A tensor over `dims` of the domain that `bias` computes.
static Value buildComputed(OpBuilder &builder, Location loc, ViewBuilder &views,
                           const RecognisedAttention &attention,
                           const RecognisedAttention::BiasPlan &bias, ArrayRef<unsigned> dims) {
  Domain domain;
  SmallVector<OpFoldResult> sizes;
  for (unsigned dim : dims) {
    domain.atoms.push_back(attention.domain.atoms[dim]);
    sizes.push_back(views.buildSize(attention.reader->getSpace().getExtent(domain.atoms.back())));
  }
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  for (const ViewPlan &view : bias.views) {
    inputs.push_back(views.buildOperand(view));
    maps.push_back(view.getMap(domain, builder.getContext()));
  }
  const ScalarProgram::Node &last = bias.program->nodes.back();
  Type element = last.kind == ScalarProgram::Node::Op ? last.op->getResult(0).getType()
                                                      : getElementTypeOrSelf(inputs.back());
  Value init = tensor::EmptyOp::create(builder, loc, sizes, element);
  maps.push_back(builder.getMultiDimIdentityMap(dims.size()));
  SmallVector<utils::IteratorType> loops(dims.size(), utils::IteratorType::parallel);
  auto build = [&](OpBuilder &nested, Location at, ValueRange args) {
    auto getPosition = [&](unsigned dim) -> Value {
      return linalg::IndexOp::create(nested, at, llvm::find(dims, dim) - dims.begin());
    };
    Value result = buildProgram(nested, at, attention, *bias.program, /*type=*/{}, /*score=*/{},
                                args.drop_back(), getPosition);
    linalg::YieldOp::create(nested, at, result);
  };
  return linalg::GenericOp::create(builder, loc, init.getType(), inputs, init, maps, loops, build)
      .getResult(0);
}

/// Builds the op in front of what it replaces; gives the op.
static Operation *rewrite(RecognisedAttention &attention, Location loc) {
  OpBuilder builder(attention.output.value.getDefiningOp());
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
    Value tensor;
    if (bias.program) {
      SmallVector<unsigned> dims = getDims(attention, bias);
      tensor = buildComputed(builder, loc, views, attention, bias, dims);
      maps.push_back(AffineMap::getMultiDimMapWithTargets(domain.atoms.size(), dims, context));
    } else {
      tensor = views.buildOperand(bias.views.front());
      maps.push_back(bias.views.front().getMap(domain, context));
    }
    biases.push_back(bias.isInverted ? buildInverted(builder, loc, tensor) : tensor);
  }
  Value init = views.buildInit(attention.output);
  maps.push_back(attention.output.getMap(domain, context));
  ArrayAttr mapsAttr = builder.getAffineMapArrayAttr(maps);

  FloatType type = builder.getF32Type();
  if (isAnyF64(attention))
    type = builder.getF64Type();
  else if (attention.computesInF64)
    query = buildWidened(builder, loc, query, type = builder.getF64Type());
  Operation *op;
  if (attention.isLinear) {
    op = attention::LinearOp::create(builder, loc, init.getType(), query, key, value, init,
                                     mapsAttr);
  } else {
    Value scale = buildScale(builder, loc, attention, type);
    auto sdpa = attention::SdpaOp::create(
        builder, loc, TypeRange{init.getType()}, query, key, value, biases, scale,
        /*offsets=*/ValueRange{}, init, mapsAttr, attention.isCausal,
        attention.zeroMaskedRows ? attention::MaskedRows::Zero : attention::MaskedRows::NaN);
    if (attention.program)
      buildScoreRegion(builder, sdpa, attention, type);
    op = sdpa;
  }
  markRaised(op, attention.hasExcessPrecision, attention.hasExcessRange);
  Value attended = op->getResult(0);
  if (attention.isLinear && !attention.scale.isOne())
    attended = buildScaled(builder, loc, attended, attention.scale.constant);
  Value result = views.buildResult(attention.output, attended);
  attention.output.value.replaceAllUsesWith(result);
  return op;
}

namespace {
struct RaiseAttentionPass : raise::impl::RaiseAttentionPassBase<RaiseAttentionPass> {
  using Base::Base;

  void runOnOperation() override {
    ConstantTables tables;
    // Contractions in order: none is erased before it is looked at, since what is
    // erased comes before the op that replaces it.
    // softmax(x W) V with a weight W is attention with constant queries, but also the
    // inner half of linear attention: that goes first.
    for (Queries queries : {Queries::Activations, Queries::Constants}) {
      SmallVector<linalg::LinalgOp> contractions;
      DominanceInfo dominance(getOperation());
      getOperation()->walk([&](linalg::LinalgOp op) {
        if ((matchContraction(op) || matchQuantizedContraction(op)) &&
            isInOrderedCode(op, dominance))
          contractions.push_back(op);
      });
      for (linalg::LinalgOp op : contractions)
        if (!op->hasAttr(kRefusedAttr))
          raiseAt(op, queries, tables);
    }
  }

  void raiseAt(linalg::LinalgOp second, Queries queries, ConstantTables &tables) {
    std::optional<Verdict> refused;
    std::optional<ContractionPair> refusedPair;
    for (const ContractionPair &pair : findPairs(second, queries)) {
      Verdict verdict = recognise(pair, {strict}, tables);
      if (verdict.attention) {
        Operation *end = verdict.attention->output.value.getDefiningOp();
        ++(verdict.attention->isLinear ? numLinear : numSdpa);
        rewrite(*verdict.attention, second.getLoc());
        eraseDead(end);
        return;
      }
      if (verdict.isSite && !refused) {
        refused = std::move(verdict);
        refusedPair = pair;
      }
    }
    if (queries == Queries::Activations)
      if (std::optional<ContractionPair> mixed = findTalkingHeads(second)) {
        refusedPair = mixed;
        refused.emplace().refusal = {Reason::TalkingHeads, ""};
      }
    if (refused) {
      ++numRefused;
      markRefused(*refusedPair, refused->refusal);
    }
  }
};
} // namespace
