// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "SoftmaxParts.h"

#include "Analysis/Positions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace elfatt::raise;
namespace view = elfatt::view;

using Renaming = llvm::SmallDenseMap<unsigned, unsigned>;

/// Takes constant factors off `scalar`, which is opened.
Scalar elfatt::raise::peelConstantFactors(ScalarReader &reader, Scalar scalar, double &factor,
                                          SmallVectorImpl<Operation *> &casts) {
  while (Operation *op = scalar.getOp()) {
    if (!isa<arith::MulFOp, arith::DivFOp>(op))
      break;
    bool isDivision = isa<arith::DivFOp>(op);
    std::optional<double> right = reader.getConstantDouble(reader.getOperand(scalar, 1));
    std::optional<double> left;
    if (!right && !isDivision)
      left = reader.getConstantDouble(reader.getOperand(scalar, 0));
    if ((!right && !left) || (isDivision && *right == 0.0))
      break;
    factor = isDivision ? factor / *right : factor * (right ? *right : *left);
    scalar = skipCasts(reader, reader.getOperand(scalar, right ? 0 : 1), &casts);
  }
  return scalar;
}

/// Whether `bound`, all of it, is renamed: to what.
static std::optional<llvm::SmallDenseSet<unsigned>>
getAxis(ScalarReader &reader, ArrayRef<unsigned> bound, const Renaming &renaming) {
  llvm::SmallDenseSet<unsigned> axis;
  for (unsigned atom : bound)
    for (unsigned leaf : reader.getSpace().getLeaves(atom)) {
      auto entry = renaming.find(leaf);
      if (entry == renaming.end())
        return std::nullopt;
      for (unsigned image : reader.getSpace().getLeaves(entry->second))
        axis.insert(image);
    }
  return axis;
}

/// Matches `scalar` as a reduction of what `body` is; gives the axis.
std::optional<llvm::SmallDenseSet<unsigned>>
elfatt::raise::matchReductionOf(ScalarReader &reader, const Reduction &reduction,
                                const Scalar &body) {
  Renaming renaming;
  llvm::SmallDenseSet<unsigned> bound(reduction.bound.begin(), reduction.bound.end());
  if (!reader.match(body, reduction.body, bound, renaming))
    return std::nullopt;
  return getAxis(reader, reduction.bound, renaming);
}

/// A guard around the quotient that makes masked rows 0:
///   select(all_r (X == -inf), 0, P)       `_safe_softmax` of PyTorch
///   select(P != P, 0, P)                  the NaN guard of ONNX exporters
/// `condition` is left to be checked where it speaks of X.
bool elfatt::raise::matchGuard(ScalarReader &reader, Scalar &scalar, Scalar &condition,
                               bool &isNaNGuard) {
  if (!isa_and_nonnull<arith::SelectOp>(scalar.getOp()))
    return false;
  condition = reader.open(reader.getOperand(scalar, 0));
  if (reader.getConstantDouble(reader.getOperand(scalar, 1)) != 0.0)
    return false;
  Scalar kept = reader.getOperand(scalar, 2);
  auto compare = dyn_cast_or_null<arith::CmpFOp>(condition.getOp());
  isNaNGuard = compare && (compare.getPredicate() == arith::CmpFPredicate::UNE ||
                           compare.getPredicate() == arith::CmpFPredicate::UNO);
  if (isNaNGuard && (!reader.isSame(reader.getOperand(condition, 0), kept) ||
                     !reader.isSame(reader.getOperand(condition, 1), kept)))
    return false;
  scalar = kept;
  return true;
}

bool elfatt::raise::isInfinity(ScalarReader &reader, const Scalar &scalar, bool isNegative) {
  std::optional<double> value = reader.getConstantDouble(scalar);
  return value && std::isinf(*value) && (*value < 0) == isNegative;
}

/// Whether the reduction is over the axis of `softmax`, of `body` or a positive multiple
/// of it: infinite alike.
static bool isAlongAxis(ScalarReader &reader, Reduction reduction, Scalar body,
                        const Softmax &softmax) {
  SmallVector<Operation *> casts;
  for (Scalar *scalar : {&reduction.body, &body}) {
    double factor = 1.0;
    Scalar unscaled = peelConstantFactors(reader, skipCasts(reader, *scalar), factor, casts);
    if (factor > 0.0)
      *scalar = unscaled;
  }
  auto axis = matchReductionOf(reader, reduction, body);
  return axis && reader.getLeaves(*axis) == reader.getLeaves(softmax.axis);
}

/// Whether `scalar` is an addend of the logits.
static bool isAddend(ScalarReader &reader, const Scalar &logits, const Reduction &reduction,
                     const Softmax &softmax) {
  Scalar opened = skipCasts(reader, logits);
  if (!isa_and_nonnull<arith::AddFOp>(opened.getOp()))
    return false;
  for (unsigned side : {0, 1}) {
    Scalar addend = reader.getOperand(opened, side);
    if (isAlongAxis(reader, reduction, addend, softmax) ||
        isAddend(reader, addend, reduction, softmax))
      return true;
  }
  return false;
}

/// X of X == -inf, which may be compared in a wider type.
static Scalar matchMinusInfinity(ScalarReader &reader, const Scalar &scalar) {
  auto compare = dyn_cast_or_null<arith::CmpFOp>(scalar.getOp());
  if (!compare || compare.getPredicate() != arith::CmpFPredicate::OEQ ||
      !isInfinity(reader, reader.getOperand(scalar, 1), /*isNegative=*/true))
    return {};
  Scalar compared = reader.getOperand(scalar, 0);
  Scalar opened = reader.open(compared);
  return isa_and_nonnull<arith::ExtFOp>(opened.getOp()) ? reader.getOperand(opened, 0) : compared;
}

/// The maximum that `condition` compares with -inf.
static std::optional<Reduction> matchMaximumOfNone(ScalarReader &reader, const Scalar &condition) {
  Scalar compared = matchMinusInfinity(reader, condition);
  std::optional<Reduction> max =
      compared ? reader.matchReduction(skipCasts(reader, compared)) : std::nullopt;
  return max && max->isMax ? max : std::nullopt;
}

bool elfatt::raise::isNeverMasked(ScalarReader &reader, const Scalar &condition,
                                  const Softmax &softmax) {
  std::optional<Reduction> max = matchMaximumOfNone(reader, condition);
  std::optional<double> value = max ? reader.getConstantDouble(max->body) : std::nullopt;
  // Without a key the maximum is -inf, but then there is no probability either.
  auto countLeaves = [&](const llvm::SmallDenseSet<unsigned> &leaves) {
    view::Size count(1);
    for (unsigned leaf : leaves)
      count = count * reader.getSpace().getExtent(leaf);
    return count;
  };
  return value && *value > -std::numeric_limits<double>::infinity() &&
         countLeaves(reader.getLeaves(max->bound)) == countLeaves(reader.getLeaves(softmax.axis));
}

/// Whether `condition` says that all logits of the row are -inf:
///   all_r (X == -inf)     max_r X == -inf     max_r bias == -inf
bool elfatt::raise::isAllMasked(ScalarReader &reader, const Scalar &condition, Softmax &softmax) {
  if (std::optional<Reduction> all = reader.matchReduction(condition)) {
    if (!isa<arith::AndIOp>(all->combiner) || getTruth(reader, all->init) != true)
      return false;
    all->body = matchMinusInfinity(reader, reader.open(all->body));
    return all->body && isAlongAxis(reader, *all, softmax.logits, softmax);
  }
  std::optional<Reduction> max = matchMaximumOfNone(reader, condition);
  if (!max)
    return false;
  if (isAlongAxis(reader, *max, softmax.logits, softmax))
    return true;
  // Without a bias of -inf scores are so only if they overflow.
  softmax.hasExcessRange = true;
  return isAddend(reader, softmax.logits, *max, softmax);
}

/// A maximum that is replaced by a finite number where it is infinite: the maximum.
Scalar elfatt::raise::peelMaximumGuard(ScalarReader &reader, const Scalar &scalar,
                                       Softmax &softmax) {
  auto select = dyn_cast_or_null<arith::SelectOp>(scalar.getOp());
  if (!select)
    return scalar;
  Scalar condition = reader.open(reader.getOperand(scalar, 0));
  auto compare = dyn_cast_or_null<arith::CmpFOp>(condition.getOp());
  if (!compare)
    return scalar;
  using Predicate = arith::CmpFPredicate;
  Predicate predicate = compare.getPredicate();
  bool isEqual = predicate == Predicate::OEQ || predicate == Predicate::UEQ;
  if (!isEqual && predicate != Predicate::ONE && predicate != Predicate::UNE)
    return scalar;
  Scalar guarded = reader.getOperand(scalar, isEqual ? 2 : 1);
  std::optional<double> instead =
      reader.getConstantDouble(reader.getOperand(scalar, isEqual ? 1 : 2));
  if (!instead || !std::isfinite(*instead))
    return scalar;
  // max == -inf, or |max| == inf.
  Scalar compared = skipCasts(reader, reader.getOperand(condition, 0));
  bool isAbsolute = isa_and_nonnull<math::AbsFOp>(compared.getOp());
  if (isAbsolute)
    compared = reader.getOperand(compared, 0);
  if (!isInfinity(reader, reader.getOperand(condition, 1), !isAbsolute) ||
      !reader.isSame(skipCasts(reader, compared), skipCasts(reader, guarded)))
    return scalar;
  softmax.hasExcessRange |= isAbsolute;
  softmax.isMaxGuarded = true;
  return skipCasts(reader, guarded, &softmax.casts);
}

/// The parts of Z where rows without a key are kept from dividing by 0:
///   select(Z == 0, c, Z)     max(Z, c)
Scalar elfatt::raise::peelSumGuard(ScalarReader &reader, const Scalar &scalar, bool &isGuarded,
                                   bool &needsMax) {
  Operation *op = scalar.getOp();
  if (isa_and_nonnull<arith::MaximumFOp, arith::MaxNumFOp>(op))
    for (unsigned side : {0, 1}) {
      std::optional<double> least = reader.getConstantDouble(reader.getOperand(scalar, side));
      // With the maximum subtracted one summand is 1.
      if (least && *least > 0.0 && *least <= 1.0) {
        isGuarded = needsMax = true;
        return skipCasts(reader, reader.getOperand(scalar, 1 - side));
      }
    }
  if (!isa_and_nonnull<arith::SelectOp>(op))
    return scalar;
  Scalar condition = reader.open(reader.getOperand(scalar, 0));
  auto compare = dyn_cast_or_null<arith::CmpFOp>(condition.getOp());
  std::optional<double> instead = reader.getConstantDouble(reader.getOperand(scalar, 1));
  if (!compare || compare.getPredicate() != arith::CmpFPredicate::OEQ || !instead ||
      !(*instead > 0.0) || reader.getConstantDouble(reader.getOperand(condition, 1)) != 0.0 ||
      !reader.isSame(reader.getOperand(condition, 0), reader.getOperand(scalar, 2)))
    return scalar;
  isGuarded = true;
  return skipCasts(reader, reader.getOperand(scalar, 2));
}

std::optional<Quotient> elfatt::raise::matchQuotient(ScalarReader &reader, const Scalar &scalar) {
  Operation *op = scalar.getOp();
  if (isa_and_nonnull<arith::DivFOp>(op))
    return Quotient{reader.getOperand(scalar, 0), reader.getOperand(scalar, 1)};
  if (!isa_and_nonnull<arith::MulFOp>(op))
    return std::nullopt;
  for (unsigned side : {0, 1}) {
    SmallVector<Operation *> casts;
    Scalar factor = skipCasts(reader, reader.getOperand(scalar, side), &casts);
    Operation *inverse = factor.getOp();
    if (isa_and_nonnull<arith::DivFOp>(inverse) &&
        reader.getConstantDouble(reader.getOperand(factor, 0)) == 1.0)
      return Quotient{reader.getOperand(scalar, 1 - side), reader.getOperand(factor, 1)};
  }
  return std::nullopt;
}

std::optional<Exponential> elfatt::raise::matchExponential(ScalarReader &reader,
                                                           const Scalar &scalar) {
  Operation *op = scalar.getOp();
  if (isa_and_nonnull<math::ExpOp>(op))
    return Exponential{reader.getOperand(scalar, 0), 1.0};
  if (isa_and_nonnull<math::Exp2Op>(op))
    return Exponential{reader.getOperand(scalar, 0), std::log(2.0)};
  if (!isa_and_nonnull<math::PowFOp>(op))
    return std::nullopt;
  std::optional<double> base = reader.getConstantDouble(reader.getOperand(scalar, 0));
  if (!base || !(*base > 0.0) || !std::isfinite(*base))
    return std::nullopt;
  return Exponential{reader.getOperand(scalar, 1), std::log(*base)};
}

/// The condition that `scalar` is, or is the opposite of.
static Scalar peelNegation(ScalarReader &reader, Scalar scalar, bool &isNegated) {
  while (true) {
    Scalar opened = reader.open(scalar);
    unsigned side = 0;
    while (side < 2 && !(isa_and_nonnull<arith::XOrIOp>(opened.getOp()) &&
                         getTruth(reader, reader.getOperand(opened, side)) == true))
      ++side;
    if (side == 2)
      return scalar;
    isNegated = !isNegated;
    scalar = reader.getOperand(opened, 1 - side);
  }
}

std::optional<MaskedAgain> elfatt::raise::matchMaskedAgain(ScalarReader &reader,
                                                           const Scalar &select) {
  if (!isa_and_nonnull<arith::SelectOp>(select.getOp()))
    return std::nullopt;
  for (unsigned side : {1, 2}) {
    if (reader.getConstantDouble(reader.getOperand(select, 3 - side)) != 0.0)
      continue;
    Scalar kept = reader.getOperand(select, side);
    Scalar numerator = skipCasts(reader, kept);
    if (std::optional<Quotient> quotient = matchQuotient(reader, numerator))
      numerator = skipCasts(reader, quotient->numerator);
    std::optional<Exponential> exponential = matchExponential(reader, numerator);
    if (!exponential)
      continue;
    Scalar logits = skipCasts(reader, exponential->exponent);
    while (isa_and_nonnull<arith::SubFOp>(logits.getOp()))
      logits = skipCasts(reader, reader.getOperand(logits, 0));
    if (!isa_and_nonnull<arith::SelectOp>(logits.getOp()))
      continue;
    bool isNegated = false;
    Scalar mask = reader.getOperand(logits, 0);
    if (!reader.isSame(peelNegation(reader, reader.getOperand(select, 0), isNegated),
                       peelNegation(reader, mask, isNegated)))
      continue;
    unsigned hidingSide = isNegated ? side : 3 - side;
    std::optional<double> hidden = reader.getConstantDouble(reader.getOperand(logits, hidingSide));
    if (hidden && *hidden <= kLowScore)
      return MaskedAgain{kept, mask, *hidden};
  }
  return std::nullopt;
}
