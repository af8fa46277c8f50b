// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "BuildAttention.h"

#include "SiteCost.h"
#include "ViewBuilder.h"

#include "Analysis/Positions.h"

#include "elfatt/Raise/Sites.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

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
  Type type = getElementTypeOrSelf(tensor.getType());
  return buildElementwise(
      builder, loc, tensor, type, [&](OpBuilder &nested, Location at, Value value) -> Value {
        Value scale = arith::ConstantOp::create(nested, at, nested.getFloatAttr(type, factor));
        return arith::MulFOp::create(nested, at, value, scale);
      });
}

static bool isAnyF64(const RecognisedAttention &attention) {
  auto isF64 = [](const OperandPlan &operand) { return operand.getElementType().isF64(); };
  return isF64(attention.query) || isF64(attention.key) || isF64(attention.value) ||
         getElementTypeOrSelf(attention.output.value.getType()).isF64() ||
         llvm::any_of(attention.biases, [&](const RecognisedAttention::BiasPlan &bias) {
           return isF64(bias.operand);
         });
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

/// Floats narrower than what is computed in become that.
static Type promote(Type type, FloatType computed) {
  auto number = dyn_cast<FloatType>(type);
  return computed && number && number.getWidth() < computed.getWidth() ? computed : type;
}

static Value castFloat(OpBuilder &builder, Location loc, Value value, Type type) {
  unsigned have = value.getType().getIntOrFloatBitWidth(), want = type.getIntOrFloatBitWidth();
  if (value.getType() == type)
    return value;
  return have < want ? arith::ExtFOp::create(builder, loc, type, value).getResult()
                     : arith::TruncFOp::create(builder, loc, type, value).getResult();
}

static Value buildConstant(OpBuilder &builder, Location loc, TypedAttr constant,
                           FloatType computed) {
  if (auto number = dyn_cast<FloatAttr>(constant)) {
    APFloat value = number.getValue();
    auto type = cast<FloatType>(promote(number.getType(), computed));
    bool losesInfo;
    value.convert(type.getFloatSemantics(), APFloat::rmNearestTiesToEven, &losesInfo);
    constant = FloatAttr::get(type, value);
  }
  return arith::ConstantOp::create(builder, loc, constant);
}

/// Builds the ops of `program` at `builder`: from the score (null without one), the
/// elements, and what gives an index as a value. Floats narrower than `type`, where
/// there is one, are computed in it.
static Value buildScalarProgram(OpBuilder &builder, Location loc, const ScalarProgram &program,
                                FloatType type, Value score, ValueRange elements,
                                llvm::function_ref<Value(const view::Index &)> buildPosition) {
  SmallVector<Value> values;
  for (const ScalarProgram::Node &node : program.nodes) {
    switch (node.kind) {
    case ScalarProgram::Node::Score:
      values.push_back(score);
      continue;
    case ScalarProgram::Node::Element: {
      Value element = elements[node.element];
      values.push_back(isa<FloatType>(element.getType())
                           ? castFloat(builder, loc, element, promote(element.getType(), type))
                           : element);
      continue;
    }
    case ScalarProgram::Node::Position:
      values.push_back(buildPosition(node.position));
      continue;
    case ScalarProgram::Node::Constant:
      values.push_back(buildConstant(builder, loc, node.constant, type));
      continue;
    case ScalarProgram::Node::Op:
      break;
    }
    Type result = promote(node.op->getResult(0).getType(), type);
    if (isa<arith::ExtFOp, arith::TruncFOp>(node.op)) {
      values.push_back(castFloat(builder, loc, values[node.operands[0]], result));
      continue;
    }
    SmallVector<Value> operands =
        llvm::map_to_vector(node.operands, [&](unsigned operand) { return values[operand]; });
    Operation *clone = builder.create(OperationState(node.op->getLoc(), node.op->getName(),
                                                     operands, result, node.op->getAttrs()));
    values.push_back(clone->getResult(0));
  }
  Value result = type ? castFloat(builder, loc, values.back(), type) : values.back();
  if (program.factor == 1.0)
    return result;
  Value factor =
      arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, program.factor));
  return arith::MulFOp::create(builder, loc, result, factor);
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

/// A tensor with one dim for each atom of `plan`, which computes it.
static Value buildComputed(OpBuilder &builder, Location loc, ViewBuilder &views,
                           const RecognisedAttention &attention, const OperandPlan &plan) {
  Domain domain;
  domain.atoms = plan.atoms;
  SmallVector<OpFoldResult> sizes;
  for (unsigned atom : plan.atoms)
    sizes.push_back(views.buildSize(attention.reader->getSpace().getExtent(atom)));
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  for (const ViewPlan &view : plan.views) {
    inputs.push_back(views.buildOperand(view));
    maps.push_back(view.getMap(domain, builder.getContext()));
  }
  Value init = tensor::EmptyOp::create(builder, loc, sizes, plan.getElementType());
  maps.push_back(builder.getMultiDimIdentityMap(sizes.size()));
  SmallVector<utils::IteratorType> loops(sizes.size(), utils::IteratorType::parallel);
  auto build = [&](OpBuilder &nested, Location at, ValueRange args) {
    auto getPosition = [&](unsigned dim) -> Value {
      return linalg::IndexOp::create(nested, at, *domain.find(attention.domain.atoms[dim]));
    };
    Value result = buildProgram(nested, at, attention, *plan.program, /*type=*/{}, /*score=*/{},
                                args.drop_back(), getPosition);
    linalg::YieldOp::create(nested, at, result);
  };
  return linalg::GenericOp::create(builder, loc, init.getType(), inputs, init, maps, loops, build)
      .getResult(0);
}

Operation *elfatt::raise::buildAttention(RecognisedAttention &attention, Location loc) {
  OpBuilder builder(attention.output.value.getDefiningOp());
  MLIRContext *context = builder.getContext();
  ViewBuilder views(builder, loc, *attention.reader);
  const Domain &domain = attention.domain;
  SmallVector<AffineMap> maps;
  auto buildOperand = [&](const OperandPlan &plan) {
    maps.push_back(plan.getMap(domain, context));
    return plan.program ? buildComputed(builder, loc, views, attention, plan)
                        : views.buildOperand(plan.views.front());
  };
  Value query = buildOperand(attention.query);
  Value key = buildOperand(attention.key);
  Value value = buildOperand(attention.value);
  SmallVector<Value> biases;
  for (const RecognisedAttention::BiasPlan &bias : attention.biases) {
    Value tensor = buildOperand(bias.operand);
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
  if (auto sdpa = dyn_cast<attention::SdpaOp>(op); sdpa && attention.groups)
    noteGroups(sdpa, *attention.groups);
  Value attended = op->getResult(0);
  if (attention.isLinear && !attention.scale.isOne())
    attended = buildScaled(builder, loc, attended, attention.scale.constant);
  Value result = views.buildResult(attention.output, attended);
  attention.output.value.replaceAllUsesWith(result);
  return op;
}
