// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Scores.h"

#include "Analysis/Positions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>

using namespace mlir;
using namespace elfatt::raise;
using elfatt::view::Element;
namespace view = elfatt::view;

//===----------------------------------------------------------------------===//
// Masks
//===----------------------------------------------------------------------===//

static bool isMinusInfinity(Attribute attr) {
  auto number = dyn_cast_or_null<FloatAttr>(attr);
  return number && number.getValue().isInfinity() && number.getValue().isNegative();
}
static bool isMinusInfinity(ScalarReader &reader, const Scalar &scalar) {
  std::optional<double> value = reader.getConstantDouble(scalar);
  return value && std::isinf(*value) && *value < 0;
}

static bool isZero(Attribute attr) {
  auto number = dyn_cast_or_null<FloatAttr>(attr);
  return number && number.getValue().isZero();
}

/// Finite, but so low that exp(x - max) is 0 beside any score that is not close to
/// it: finfo.min, or the 0.7 of it that JAX takes.
static bool isLowest(Attribute attr) {
  auto number = dyn_cast_or_null<FloatAttr>(attr);
  if (!number || !number.getValue().isFinite())
    return false;
  APFloat lowest = APFloat::getLargest(number.getValue().getSemantics(), /*Negative=*/true);
  return number.getValueAsDouble() <= 0.5 * lowest.convertToDouble();
}

namespace {
/// Scores are kept where `condition` is true, or, with `isInverted`, false.
struct Mask {
  Scalar condition;
  bool isInverted;
};

/// What a score becomes where a mask hides it.
enum class Hidden { MinusInfinity, Lowest };

/// One attempt at the plain rule, from the logits inwards to the product.
struct PlainScores {
  ScalarReader &reader;
  const ScoresQuery &query;
  Scores scores;
  /// Causality comes from a mask to the lowest number.
  bool isCausalByLowest = false;

  LogicalResult run(Scalar scalar);
  LogicalResult addBias(Scalar bias);
  LogicalResult addMask(const Mask &mask);
  LogicalResult addSelect(Scalar &scalar, bool hidesByLow);
  LogicalResult addCausal(unsigned row, Hidden hidden);
  std::optional<unsigned> findSide(const Scalar &scalar);
  /// A mask commutes with a positive scale, a bias with none.
  bool hasPositiveScale() const {
    return scores.scale.factors.empty() && scores.scale.constant > 0.0;
  }
};
} // namespace

/// The row atom where `condition` >= 0 keeps the keys up to the row; none where keys are
/// several dims.
static std::optional<unsigned> getCausalRow(ScalarReader &reader, const ScoresQuery &query,
                                            const Linear &condition) {
  auto getLeaves = [&](ArrayRef<unsigned> roots) {
    SmallVector<unsigned> leaves;
    for (unsigned root : roots)
      llvm::append_range(leaves, reader.getSpace().getLeaves(root));
    return leaves;
  };
  SmallVector<unsigned> keys = getLeaves(query.keys);
  if (keys.size() != 1)
    return std::nullopt;
  for (unsigned row : getLeaves(query.rows)) {
    Linear triangle{{{row, 1}, {keys.front(), -1}}, 0};
    llvm::sort(triangle.terms);
    if (condition == triangle)
      return row;
  }
  return std::nullopt;
}

/// The row atom where `choice` is what `isKept` accepts for keys up to the row; then
/// `hidden` is the other value.
static std::optional<unsigned> matchCausalChoice(ScalarReader &reader, const ScoresQuery &query,
                                                 const Choice &choice,
                                                 llvm::function_ref<bool(Attribute)> isKept,
                                                 Attribute &hidden) {
  if (!choice.condition)
    return std::nullopt;
  std::optional<unsigned> row;
  if (isKept(choice.ifTrue) && (row = getCausalRow(reader, query, *choice.condition)))
    hidden = choice.ifFalse;
  else if (isKept(choice.ifFalse) &&
           (row = getCausalRow(reader, query, choice.condition->complement())))
    hidden = choice.ifTrue;
  return row;
}

static std::optional<unsigned> matchCausalMask(ScalarReader &reader, const ScoresQuery &query,
                                               const Mask &mask) {
  std::optional<Choice> choice = readChoice(reader, mask.condition);
  if (!choice)
    return std::nullopt;
  Attribute hidden;
  auto isKept = [&](Attribute value) {
    auto truth = dyn_cast<BoolAttr>(value);
    return truth && truth.getValue() != mask.isInverted;
  };
  return matchCausalChoice(reader, query, *choice, isKept, hidden);
}

/// Sets the flag; fails where another triangle has other rows.
static LogicalResult setCausal(Scores &scores, unsigned row) {
  if (scores.isCausal && scores.causalRow != row)
    return failure();
  scores.isCausal = true;
  scores.causalRow = row;
  return success();
}

/// The masks that hold where `mask` holds: the sides of a conjunction.
static void collectConjuncts(ScalarReader &reader, const Mask &mask,
                             SmallVectorImpl<Mask> &conjuncts) {
  Scalar opened = reader.open(mask.condition);
  Operation *op = opened.getOp();
  if (isa_and_nonnull<arith::XOrIOp>(op))
    for (unsigned side : {0, 1})
      if (getTruth(reader, reader.getOperand(opened, side)) == true)
        return collectConjuncts(reader, {reader.getOperand(opened, 1 - side), !mask.isInverted},
                                conjuncts);
  bool isConjunction =
      mask.isInverted ? isa_and_nonnull<arith::OrIOp>(op) : isa_and_nonnull<arith::AndIOp>(op);
  if (!isConjunction || conjuncts.size() > 8) {
    conjuncts.push_back(mask);
    return;
  }
  for (unsigned side : {0, 1})
    collectConjuncts(reader, {reader.getOperand(opened, side), mask.isInverted}, conjuncts);
}

//===----------------------------------------------------------------------===//
// The plain rule
//===----------------------------------------------------------------------===//

/// Which of the first two operands the product is in.
std::optional<unsigned> PlainScores::findSide(const Scalar &scalar) {
  bool a = reader.reaches(reader.getOperand(scalar, 0), query.product);
  bool b = reader.reaches(reader.getOperand(scalar, 1), query.product);
  return a != b ? std::optional(a ? 0u : 1u) : std::nullopt;
}

LogicalResult PlainScores::addCausal(unsigned row, Hidden hidden) {
  if (!hasPositiveScale() || (query.strict && hidden == Hidden::Lowest))
    return failure();
  // The op masks last: what was added to a masked score could have made it NaN.
  bool isAddedTo = llvm::any_of(scores.biases, [](const Bias &bias) { return !bias.isMask; });
  if (query.strict && isAddedTo)
    return failure();
  scores.hasExcessRange |= isAddedTo || hidden == Hidden::Lowest;
  isCausalByLowest |= hidden == Hidden::Lowest;
  return setCausal(scores, row);
}

LogicalResult PlainScores::addMask(const Mask &mask) {
  SmallVector<Mask> conjuncts;
  collectConjuncts(reader, mask, conjuncts);
  bool isWorthSplitting = !mask.condition.element;
  LogicalResult areTrianglesAdded = success();
  llvm::erase_if(conjuncts, [&](const Mask &part) {
    bool isNeeded = getTruth(reader, part.condition) != !part.isInverted;
    if (isNeeded)
      if (std::optional<unsigned> row = matchCausalMask(reader, query, part)) {
        if (failed(addCausal(*row, Hidden::MinusInfinity)))
          areTrianglesAdded = failure();
        isNeeded = false;
      }
    isWorthSplitting |= !isNeeded;
    return !isNeeded;
  });
  if (failed(areTrianglesAdded))
    return failure();
  if (!isWorthSplitting)
    conjuncts = {mask};
  for (const Mask &part : conjuncts) {
    // Of positions or scores it is the score region that computes it.
    const Scalar &condition = part.condition;
    if (isPositional(reader, condition) || reader.reaches(condition, query.product))
      return failure();
    std::optional<ProgramElement> element = readProgramElement(reader, condition);
    if (!element)
      return failure();
    scores.biases.push_back({*element, true, part.isInverted});
  }
  return success();
}

LogicalResult PlainScores::addBias(Scalar bias) {
  // What a cast widens is added as it was.
  while (!bias.element && isa_and_nonnull<arith::ExtFOp>(bias.getOp()))
    bias = reader.getOperand(bias, 0);
  if (std::optional<Choice> choice = readChoice(reader, bias)) {
    if (!choice->condition)
      return success(isZero(choice->ifTrue));
    Attribute hidden;
    std::optional<unsigned> row = matchCausalChoice(reader, query, *choice, isZero, hidden);
    if (row && !query.strict && (isMinusInfinity(hidden) || isLowest(hidden))) {
      // A score of +inf or NaN stays NaN in the source.
      scores.hasExcessRange = true;
      return addCausal(*row, isMinusInfinity(hidden) ? Hidden::MinusInfinity : Hidden::Lowest);
    }
    // A function of positions, which the score region computes.
    if (isPositional(reader, bias))
      return failure();
  }
  Scalar opened = reader.open(bias);
  if (isa_and_nonnull<arith::SelectOp>(opened.getOp()) && !query.strict && hasPositiveScale()) {
    Scalar ifTrue = reader.getOperand(opened, 1), ifFalse = reader.getOperand(opened, 2);
    Mask mask{reader.getOperand(opened, 0), reader.getConstantDouble(ifTrue) != 0.0};
    const Scalar &kept = mask.isInverted ? ifFalse : ifTrue;
    const Scalar &hidden = mask.isInverted ? ifTrue : ifFalse;
    if (reader.getConstantDouble(kept) == 0.0 && isMinusInfinity(reader, hidden)) {
      Scores before = scores;
      scores.hasExcessRange = true;
      if (succeeded(addMask(mask)))
        return success();
      scores = std::move(before);
    }
  }
  if (!scores.scale.isOne() || !bias.element || !isa<FloatType>(bias.getType()))
    return failure();
  scores.biases.push_back({{bias.start, nullptr}, false, false});
  return success();
}

/// select(mask, S, -inf), or with `hidesByLow` any low number; goes on with S.
LogicalResult PlainScores::addSelect(Scalar &scalar, bool hidesByLow) {
  std::optional<unsigned> side;
  for (unsigned operand : {1, 2})
    if (reader.reaches(reader.getOperand(scalar, operand), query.product))
      side = side ? 0 : operand;
  if (side.value_or(0) == 0)
    return failure();
  Mask mask{reader.getOperand(scalar, 0), *side == 2};
  std::optional<Choice> other = readChoice(reader, reader.getOperand(scalar, 3 - *side));
  if (!other || other->condition || !hasPositiveScale())
    return failure();
  if (!hidesByLow && isLowest(other->ifTrue)) {
    std::optional<unsigned> row = matchCausalMask(reader, query, mask);
    if (!row || failed(addCausal(*row, Hidden::Lowest)))
      return failure();
  } else if ((!hidesByLow && !isMinusInfinity(other->ifTrue)) || failed(addMask(mask))) {
    return failure();
  }
  scalar = reader.getOperand(scalar, *side);
  return success();
}

LogicalResult PlainScores::run(Scalar scalar) {
  // The mask that hides probabilities, too, is the outermost select.
  bool hidesByLow = bool(query.lowMask);
  // Bounded by the depth of the expression, which is finite.
  while (true) {
    scalar = skipCasts(reader, scalar, &scores.casts);
    if (scalar.element) {
      if (scalar.element.source != query.product)
        return failure();
      scores.product = scalar.element;
      // The op applies them in order, the innermost first.
      std::reverse(scores.biases.begin(), scores.biases.end());
      // Where another mask hides all that the triangle keeps, a score of the lowest
      // number counts again.
      return success(!isCausalByLowest || scores.biases.empty());
    }
    Operation *op = scalar.getOp();
    if (isa_and_nonnull<arith::SelectOp>(op)) {
      if (std::optional<bool> truth = getTruth(reader, reader.getOperand(scalar, 0)))
        scalar = reader.getOperand(scalar, *truth ? 1 : 2);
      else if (failed(addSelect(scalar, hidesByLow)))
        return failure();
      hidesByLow = false;
      continue;
    }
    if (isa_and_nonnull<arith::NegFOp>(op)) {
      scores.scale.constant = -scores.scale.constant;
      scalar = reader.getOperand(scalar, 0);
      continue;
    }
    if (!isa_and_nonnull<arith::AddFOp, arith::MulFOp, arith::DivFOp>(op))
      return failure();
    std::optional<unsigned> side = findSide(scalar);
    if (!side)
      return failure();
    Scalar other = reader.getOperand(scalar, 1 - *side);
    if (isa<arith::AddFOp>(op)) {
      if (failed(addBias(other)))
        return failure();
    } else if ((isa<arith::DivFOp>(op) && *side == 1) ||
               !takeFactor(reader, other, isa<arith::DivFOp>(op), scores.scale)) {
      return failure();
    }
    scalar = reader.getOperand(scalar, *side);
  }
}

//===----------------------------------------------------------------------===//
// Any function
//===----------------------------------------------------------------------===//

/// Takes causal masks off the outside of `scalar`: the flag masks last.
static Scalar hoistCausal(ScalarReader &reader, const ScoresQuery &query, Scalar scalar,
                          Scores &scores) {
  while (true) {
    SmallVector<Operation *> casts;
    Scalar opened = skipCasts(reader, scalar, &casts);
    Operation *op = opened.getOp();
    std::optional<unsigned> row;
    std::optional<Scalar> inner;
    if (isa_and_nonnull<arith::SelectOp>(op))
      for (unsigned side : {1, 2})
        if (isMinusInfinity(reader, reader.getOperand(opened, 3 - side)) && !inner)
          if ((row = matchCausalMask(reader, query, {reader.getOperand(opened, 0), side == 2})))
            inner = reader.getOperand(opened, side);
    if (isa_and_nonnull<arith::AddFOp>(op) && !query.strict)
      for (unsigned side : {0, 1}) {
        std::optional<Choice> choice = readChoice(reader, reader.getOperand(opened, 1 - side));
        Attribute hidden;
        if (!choice || inner)
          continue;
        row = matchCausalChoice(reader, query, *choice, isZero, hidden);
        if (row && isMinusInfinity(hidden)) {
          scores.hasExcessRange = true;
          inner = reader.getOperand(opened, side);
        }
      }
    if (!inner || failed(setCausal(scores, *row)))
      return scalar;
    llvm::append_range(scores.casts, casts);
    scalar = *inner;
  }
}

/// Takes constant factors, and those that are the same everywhere, from the beginning of
/// `program` into `scale`.
static void absorbScale(ScalarReader &reader, ScalarProgram &program, Scale &scale) {
  using Node = ScalarProgram::Node;
  while (true) {
    SmallVector<Node *> users;
    for (Node &node : program.nodes)
      if (llvm::any_of(node.operands, [&](unsigned operand) {
            return program.nodes[operand].kind == Node::Score;
          }))
        users.push_back(&node);
    if (users.size() != 1 || !isa<arith::MulFOp, arith::DivFOp>(users.front()->op))
      return;
    Node &user = *users.front();
    unsigned side = program.nodes[user.operands[0]].kind == Node::Score ? 0 : 1;
    const Node &other = program.nodes[user.operands[1 - side]];
    bool isDivisor = isa<arith::DivFOp>(user.op);
    if (other.kind == Node::Score || (isDivisor && side == 1))
      return;
    if (auto constant = dyn_cast_or_null<FloatAttr>(other.constant)) {
      double value = constant.getValueAsDouble();
      if (isDivisor && value == 0.0)
        return;
      scale.constant = isDivisor ? scale.constant / value : scale.constant * value;
    } else if (other.kind == Node::Element && !program.elements[other.element].computed) {
      Element element = reader.getTracer().trace(program.elements[other.element].start);
      if (!llvm::all_of(element.indices, [&](const view::Index &index) {
            return reader.getSpace().normalize(index).isConstant();
          }))
        return;
      scale.factors.push_back({element, {}, isDivisor});
    } else {
      return;
    }
    user = Node(Node::Score);
  }
}

/// Makes `side` of the select that ends `program` -inf.
static void hideByInfinity(ScalarProgram &program, unsigned side) {
  using Node = ScalarProgram::Node;
  Node select = program.nodes.pop_back_val();
  auto type = cast<FloatType>(select.op->getResult(0).getType());
  Node infinity(Node::Constant);
  infinity.constant =
      FloatAttr::get(type, APFloat::getInf(type.getFloatSemantics(), /*Negative=*/true));
  select.operands[side] = program.nodes.size();
  program.nodes.push_back(std::move(infinity));
  program.nodes.push_back(std::move(select));
}

FailureOr<Scores> elfatt::raise::matchScores(ScalarReader &reader, const ScoresQuery &query,
                                             Refusal &why) {
  Scalar outermost = skipCasts(reader, query.logits);
  bool isMaskOutermost = isa_and_nonnull<arith::SelectOp>(outermost.getOp()) && query.lowMask &&
                         reader.isSame(query.lowMask, reader.getOperand(outermost, 0));
  if (query.lowMask && !isMaskOutermost) {
    why = {Reason::MaskAfterSoftmax, ""};
    return failure();
  }
  PlainScores plain{reader, query, {}};
  plain.scores.scale.constant = query.factor;
  if (succeeded(plain.run(query.logits)))
    return std::move(plain.scores);
  Scores scores;
  Scalar inner =
      query.factor > 0.0 ? hoistCausal(reader, query, query.logits, scores) : query.logits;
  FailureOr<ScalarProgram> program = readScalarProgram(reader, inner, query.product, why);
  if (failed(program))
    return failure();
  // The lowest number times more than 1 is -inf, which is another mask.
  if (std::abs(query.factor) > 1.0) {
    why = {Reason::ScoreFunction, "a base above e of what is no plain score"};
    return failure();
  }
  if (query.lowMask) {
    if (program->nodes.back().op != outermost.getOp()) {
      why = {Reason::MaskAfterSoftmax, ""};
      return failure();
    }
    bool hidesTrue = reader.getConstantDouble(reader.getOperand(outermost, 1)).has_value();
    hideByInfinity(*program, hidesTrue ? 1 : 2);
  }
  absorbScale(reader, *program, scores.scale);
  program->dropUnused();
  program->factor = query.factor;
  scores.product = program->product;
  for (const ProgramElement &element : program->elements)
    scores.biases.push_back({element, false, false});
  llvm::append_range(scores.casts, program->casts);
  scores.program = std::move(*program);
  return scores;
}
