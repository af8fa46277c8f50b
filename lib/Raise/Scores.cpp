// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Scores.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>

using namespace mlir;
using namespace elfatt::raise;
using elfatt::view::Element;
namespace view = elfatt::view;

static bool isMinusInfinity(ScalarReader &reader, const Scalar &scalar) {
  std::optional<double> value = reader.getConstantDouble(scalar);
  return value && std::isinf(*value) && *value < 0;
}

/// Takes `factor` into `scale` if it is the same at every position.
static bool takeFactor(ScalarReader &reader, const Scalar &factor, bool isDivisor, Scale &scale) {
  if (std::optional<double> constant = reader.getConstantDouble(factor)) {
    if (isDivisor && *constant == 0.0)
      return false;
    scale.constant = isDivisor ? scale.constant / *constant : scale.constant * *constant;
    return true;
  }
  // A cast of a scalar is computed again beside the op.
  SmallVector<Operation *> casts;
  Scalar scalar = factor;
  if (!scalar.element)
    scalar = skipCasts(reader, factor, &casts);
  if (scalar.element) {
    for (const view::Index &index : scalar.element.indices)
      if (!reader.getSpace().normalize(index).isConstant())
        return false;
    scale.factors.push_back({scalar.element, {}, isDivisor});
    return true;
  }
  if (scalar.frame || !scalar.value)
    return false;
  scale.factors.push_back({{}, scalar.value, isDivisor});
  return true;
}

namespace {
/// Walks from the logits inwards to the product.
struct ScoreWalk {
  ScalarReader &reader;
  Value product;
  Scores &scores;
  Refusal &why;

  LogicalResult refuse(StringRef detail) {
    why = {Reason::ScoreFunction, detail.str()};
    return failure();
  }

  /// Which of the two operands the product is in.
  std::optional<unsigned> findSide(const Scalar &scalar, unsigned first) {
    bool a = reader.reaches(reader.getOperand(scalar, first), product);
    bool b = reader.reaches(reader.getOperand(scalar, first + 1), product);
    if (a == b)
      return std::nullopt;
    return a ? first : first + 1;
  }

  LogicalResult addBias(Scalar bias) {
    // What a cast widens is added as it was.
    while (!bias.element && isa_and_nonnull<arith::ExtFOp>(bias.getOp()))
      bias = reader.getOperand(bias, 0);
    if (reader.getConstantDouble(bias) == 0.0)
      return success();
    Scalar opened = reader.open(bias);
    if (isa_and_nonnull<arith::SelectOp>(opened.getOp())) {
      Scalar ifTrue = reader.getOperand(opened, 1), ifFalse = reader.getOperand(opened, 2);
      Scalar condition = reader.getOperand(opened, 0);
      if (std::optional<bool> truth = reader.getTruth(condition))
        return addBias(*truth ? ifTrue : ifFalse);
      bool keepsTrue = reader.getConstantDouble(ifTrue) == 0.0;
      if (keepsTrue ? isMinusInfinity(reader, ifFalse)
                    : isMinusInfinity(reader, ifTrue) && reader.getConstantDouble(ifFalse) == 0.0)
        if (succeeded(addMask(condition, !keepsTrue)))
          return success();
    }
    if (!scores.scale.isOne())
      return refuse("a bias is scaled together with the scores");
    if (!bias.element)
      return refuse("a bias is no tensor of its own");
    scores.biases.push_back({bias.start, false, false});
    return success();
  }

  LogicalResult addMask(Scalar condition, bool isInverted) {
    if (std::optional<bool> truth = reader.getTruth(condition))
      if (*truth != isInverted)
        return success();
    Scalar opened = reader.open(condition);
    // not m: keep where m is false.
    if (isa_and_nonnull<arith::XOrIOp>(opened.getOp()))
      for (unsigned side : {0, 1})
        if (reader.getTruth(reader.getOperand(opened, side)) == true)
          return addMask(reader.getOperand(opened, 1 - side), !isInverted);
    if (!condition.element)
      return refuse("a mask is no tensor of its own");
    scores.biases.push_back({condition.start, true, isInverted});
    return success();
  }

  LogicalResult run(Scalar scalar) {
    // Bounded by the depth of the expression, which is finite.
    while (true) {
      scalar = skipCasts(reader, scalar, &scores.casts);
      if (scalar.element) {
        if (scalar.element.source != product)
          return refuse("");
        scores.product = scalar.element;
        return success();
      }
      Operation *op = scalar.getOp();
      if (!op)
        return refuse("");
      if (isa<arith::SelectOp>(op)) {
        bool keepsTrue = isMinusInfinity(reader, reader.getOperand(scalar, 2));
        if (!keepsTrue && !isMinusInfinity(reader, reader.getOperand(scalar, 1)))
          return refuse("masked scores are not -inf");
        if (failed(addMask(reader.getOperand(scalar, 0), !keepsTrue)))
          return failure();
        scalar = reader.getOperand(scalar, keepsTrue ? 1 : 2);
        continue;
      }
      if (isa<arith::NegFOp>(op)) {
        scores.scale.constant = -scores.scale.constant;
        scalar = reader.getOperand(scalar, 0);
        continue;
      }
      if (!isa<arith::AddFOp, arith::MulFOp, arith::DivFOp>(op))
        return refuse(op->getName().getStringRef());
      std::optional<unsigned> side = findSide(scalar, 0);
      if (!side)
        return refuse("");
      Scalar other = reader.getOperand(scalar, 1 - *side);
      if (isa<arith::AddFOp>(op)) {
        if (failed(addBias(other)))
          return failure();
      } else if ((isa<arith::DivFOp>(op) && *side == 1) ||
                 !takeFactor(reader, other, isa<arith::DivFOp>(op), scores.scale)) {
        return refuse("the scores are scaled by a tensor");
      }
      scalar = reader.getOperand(scalar, *side);
    }
  }
};
} // namespace

FailureOr<Scores> elfatt::raise::matchScores(ScalarReader &reader, const Scalar &logits,
                                             Value product, Refusal &why) {
  Scores scores;
  if (failed(ScoreWalk{reader, product, scores, why}.run(logits)))
    return failure();
  return scores;
}

std::optional<Element> elfatt::raise::peelScale(ScalarReader &reader, Scalar scalar, Scale &scale,
                                                SmallVectorImpl<Operation *> &casts) {
  while (true) {
    Scalar opened = reader.open(scalar);
    Operation *op = opened.getOp();
    // Widening is exact, so the op can do it; rounding is what the source means.
    if (isa_and_nonnull<arith::ExtFOp>(op)) {
      casts.push_back(op);
      scalar = reader.getOperand(opened, 0);
      continue;
    }
    if (isa_and_nonnull<arith::MulFOp, arith::DivFOp>(op)) {
      bool isDivisor = isa<arith::DivFOp>(op);
      if (takeFactor(reader, reader.getOperand(opened, 1), isDivisor, scale)) {
        scalar = reader.getOperand(opened, 0);
        continue;
      }
      if (!isDivisor && takeFactor(reader, reader.getOperand(opened, 0), false, scale)) {
        scalar = reader.getOperand(opened, 1);
        continue;
      }
    }
    if (!scalar.element)
      return std::nullopt;
    return scalar.start;
  }
}
