// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Softmax.h"

#include "Positions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>

using namespace mlir;
using namespace elfatt::raise;

using Renaming = llvm::SmallDenseMap<unsigned, unsigned>;

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

namespace {
/// exp(factor * exponent).
struct Exponential {
  Scalar exponent;
  double factor;
};
} // namespace

/// An exponential to any constant base.
static std::optional<Exponential> matchExponential(ScalarReader &reader, const Scalar &scalar) {
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

bool elfatt::raise::isExponential(ScalarReader &reader, const Scalar &scalar) {
  return matchExponential(reader, skipCasts(reader, scalar)).has_value();
}

bool elfatt::raise::isRelu(ScalarReader &reader, const Scalar &closed) {
  Scalar scalar = skipCasts(reader, closed);
  Operation *op = scalar.getOp();
  auto isZero = [&](unsigned i) {
    return reader.getConstantDouble(reader.getOperand(scalar, i)) == 0.0;
  };
  if (isa_and_nonnull<arith::MaximumFOp, arith::MaxNumFOp>(op))
    return isZero(0) || isZero(1);
  // select(x > 0, x, 0), and the same with its sides swapped.
  if (!isa_and_nonnull<arith::SelectOp>(op) || isZero(1) == isZero(2))
    return false;
  bool keepsTrue = isZero(2);
  Scalar kept = reader.getOperand(scalar, keepsTrue ? 1 : 2);
  Scalar condition = reader.open(reader.getOperand(scalar, 0));
  auto compare = dyn_cast_or_null<arith::CmpFOp>(condition.getOp());
  if (!compare)
    return false;
  using Predicate = arith::CmpFPredicate;
  bool isGreater = llvm::is_contained(
      {Predicate::OGT, Predicate::OGE, Predicate::UGT, Predicate::UGE}, compare.getPredicate());
  bool isLess = llvm::is_contained({Predicate::OLT, Predicate::OLE, Predicate::ULT, Predicate::ULE},
                                   compare.getPredicate());
  for (unsigned side : {0, 1})
    if (reader.getConstantDouble(reader.getOperand(condition, 1 - side)) == 0.0 &&
        reader.isSame(reader.getOperand(condition, side), kept))
      return (side == 0) == keepsTrue ? isGreater : isLess;
  return false;
}

/// Takes constant factors off `scalar`, which is opened.
static Scalar peelConstantFactors(ScalarReader &reader, Scalar scalar, double &factor,
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
static std::optional<llvm::SmallDenseSet<unsigned>>
matchReductionOf(ScalarReader &reader, const Reduction &reduction, const Scalar &body) {
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
static bool matchGuard(ScalarReader &reader, Scalar &scalar, Scalar &condition, bool &isNaNGuard) {
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

static bool isInfinity(ScalarReader &reader, const Scalar &scalar, bool isNegative) {
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

/// Whether `condition` says that all logits of the row are -inf:
///   all_r (X == -inf)     max_r X == -inf     max_r bias == -inf
static bool isAllMasked(ScalarReader &reader, const Scalar &condition, Softmax &softmax) {
  auto matchEqual = [&](const Scalar &scalar) -> Scalar {
    auto compare = dyn_cast_or_null<arith::CmpFOp>(scalar.getOp());
    if (!compare || compare.getPredicate() != arith::CmpFPredicate::OEQ ||
        !isInfinity(reader, reader.getOperand(scalar, 1), /*isNegative=*/true))
      return {};
    // The comparison may be in a wider type.
    Scalar compared = reader.getOperand(scalar, 0);
    Scalar opened = reader.open(compared);
    return isa_and_nonnull<arith::ExtFOp>(opened.getOp()) ? reader.getOperand(opened, 0) : compared;
  };
  if (std::optional<Reduction> all = reader.matchReduction(condition)) {
    if (!isa<arith::AndIOp>(all->combiner) || getTruth(reader, all->init) != true)
      return false;
    all->body = matchEqual(reader.open(all->body));
    return all->body && isAlongAxis(reader, *all, softmax.logits, softmax);
  }
  Scalar compared = matchEqual(condition);
  std::optional<Reduction> max =
      compared ? reader.matchReduction(skipCasts(reader, compared)) : std::nullopt;
  if (!max || !max->isMax)
    return false;
  if (isAlongAxis(reader, *max, softmax.logits, softmax))
    return true;
  // Without a bias of -inf scores are so only if they overflow.
  softmax.hasExcessRange = true;
  return isAddend(reader, softmax.logits, *max, softmax);
}

/// A maximum that is replaced by a finite number where it is infinite: the maximum.
static Scalar peelMaximumGuard(ScalarReader &reader, const Scalar &scalar, Softmax &softmax) {
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
static Scalar peelSumGuard(ScalarReader &reader, const Scalar &scalar, bool &isGuarded,
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

/// Whether `shift` is max_r of `logits`, or both are the same multiple of such.
static FailureOr<bool> matchShift(ScalarReader &reader, const Scalar &logits, Scalar shift,
                                  Softmax &softmax, Refusal &why) {
  shift = peelMaximumGuard(reader, skipCasts(reader, shift, &softmax.casts), softmax);
  // A second maximum with -inf changes nothing.
  if (isa_and_nonnull<arith::MaximumFOp, arith::MaxNumFOp>(shift.getOp()))
    for (unsigned side : {0, 1})
      if (isInfinity(reader, reader.getOperand(shift, side), /*isNegative=*/true)) {
        shift = skipCasts(reader, reader.getOperand(shift, 1 - side), &softmax.casts);
        break;
      }
  Scalar of = logits;
  if (isa_and_nonnull<arith::MulFOp, arith::DivFOp>(shift.getOp())) {
    double shiftFactor = 1.0, factor = 1.0;
    shift = peelConstantFactors(reader, shift, shiftFactor, softmax.casts);
    of = peelConstantFactors(reader, skipCasts(reader, logits), factor, softmax.casts);
    if (shiftFactor != factor || !(factor > 0.0))
      return false;
  }
  std::optional<Reduction> reduction = reader.matchReduction(shift);
  if (!reduction || !reduction->isMax)
    return false;
  auto axis = matchReductionOf(reader, *reduction, of);
  if (!axis || reader.getLeaves(*axis) != reader.getLeaves(softmax.axis)) {
    why = {Reason::MaxOfOtherTensor, axis ? "the maximum is over other dims than the sum" : ""};
    return failure();
  }
  // Any start below all scores is neutral; NaN is for maxnum.
  std::optional<double> init = reader.getConstantDouble(reduction->init);
  if (!init || !(std::isnan(*init) || *init <= -65504.0)) {
    why = {Reason::WrongInit, "the maximum does not start from -inf"};
    return failure();
  }
  // Below the start of its maximum a row overflows.
  auto type = cast<FloatType>(reduction->init.getType());
  APFloat lowest = APFloat::getLargest(type.getFloatSemantics(), /*Negative=*/true);
  softmax.hasExcessRange |= *init > lowest.convertToDouble();
  return true;
}

/// Splits factor * (X - max X), as often as it is done; without a maximum X is all
/// of `exponent`.
static LogicalResult matchMaximum(ScalarReader &reader, const Scalar &exponent, Softmax &softmax,
                                  Refusal &why) {
  softmax.logits = exponent;
  while (true) {
    double factor = softmax.factor;
    Scalar opened = skipCasts(reader, softmax.logits, &softmax.casts);
    opened = peelConstantFactors(reader, opened, factor, softmax.casts);
    if (!isa_and_nonnull<arith::SubFOp>(opened.getOp()))
      return success();
    Scalar logits = reader.getOperand(opened, 0);
    FailureOr<bool> isShift =
        matchShift(reader, logits, reader.getOperand(opened, 1), softmax, why);
    if (failed(isShift) || !*isShift)
      return LogicalResult(isShift);
    softmax.logits = logits;
    softmax.factor = factor;
    // A negative factor makes the maximum the minimum, which protects nothing.
    softmax.hasMax |= factor > 0.0;
  }
}

/// `scalar` as an element of `linalg.softmax`.
static bool matchSoftmaxOp(ScalarReader &reader, const Scalar &scalar, Softmax &softmax) {
  Value source = scalar.element.source;
  auto op = source ? source.getDefiningOp<linalg::SoftmaxOp>() : linalg::SoftmaxOp();
  if (!op)
    return false;
  // The whole dim, so that the op's row is the row at this position.
  elfatt::view::Index index =
      reader.getSpace().normalize(scalar.element.indices[op.getDimension()]);
  elfatt::view::Size extent(1);
  for (const elfatt::view::Term &term : index.terms) {
    extent = extent * reader.getSpace().getExtent(term.atom);
    softmax.axis.insert(term.atom);
  }
  if (index.offset != 0 || extent != reader.getSizes().getSize(source, op.getDimension()))
    return false;
  softmax.logits = reader.read(op.getInput(), scalar.element.indices);
  softmax.hasMax = true;
  return true;
}

/// Casts, and what leaves a probability as it is: dropout of nothing.
static Scalar skipNeutral(ScalarReader &reader, Scalar scalar,
                          SmallVectorImpl<Operation *> &casts) {
  while (true) {
    scalar = skipCasts(reader, scalar, &casts);
    Operation *op = scalar.getOp();
    std::optional<unsigned> kept;
    if (isa_and_nonnull<arith::SelectOp>(op)) {
      if (std::optional<bool> truth = getTruth(reader, reader.getOperand(scalar, 0)))
        kept = *truth ? 1 : 2;
    } else if (isa_and_nonnull<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp>(op)) {
      double neutral = isa<arith::AddFOp, arith::SubFOp>(op) ? 0.0 : 1.0;
      for (unsigned side : {1, 0})
        if ((side == 1 || isa<arith::AddFOp, arith::MulFOp>(op)) &&
            reader.getConstantDouble(reader.getOperand(scalar, side)) == neutral)
          kept = 1 - side;
    }
    if (!kept)
      return scalar;
    scalar = reader.getOperand(scalar, *kept);
  }
}

/// Reads numerator / divisor; the guards are known.
static LogicalResult matchParts(ScalarReader &reader, const Scalar &numerator,
                                const Scalar &divisor, Softmax &softmax, Refusal &why) {
  Scalar exponential = skipCasts(reader, numerator, &softmax.casts);
  std::optional<Exponential> exponent = matchExponential(reader, exponential);
  if (!exponent) {
    why = {Reason::NoSoftmax, ""};
    return failure();
  }
  bool isGuarded = false, needsMax = false;
  Scalar total = skipCasts(reader, divisor, &softmax.casts);
  total = peelSumGuard(reader, total, isGuarded, needsMax);
  std::optional<Reduction> sum = reader.matchReduction(total);
  if (!sum || !isa<arith::AddFOp>(sum->combiner)) {
    why = {Reason::SumOfOtherValues, ""};
    return failure();
  }
  // The exponentials may be rounded or widened before they are summed.
  Reduction exponentials = *sum;
  exponentials.body = skipCasts(reader, sum->body, &softmax.casts);
  auto axis = matchReductionOf(reader, exponentials, exponential);
  if (!axis) {
    why = {Reason::SumOfOtherValues, ""};
    return failure();
  }
  if (reader.getConstantDouble(sum->init) != 0.0) {
    why = {Reason::WrongInit, "the sum does not start from 0"};
    return failure();
  }
  softmax.axis = *axis;
  softmax.factor = exponent->factor;
  if (failed(matchMaximum(reader, exponent->exponent, softmax, why)))
    return failure();
  if (needsMax && !softmax.hasMax) {
    why = {Reason::SumOfOtherValues, "the divisor is at least a constant"};
    return failure();
  }
  // A masked row is exp(-inf - 0) / guard where nothing made it NaN before.
  if (isGuarded && (!softmax.hasMax || softmax.isMaxGuarded))
    softmax.zeroMaskedRows = true;
  return success();
}

/// Reads `probability` as a softmax; where it is no quotient of an exponential at all,
/// `why` stays NoSoftmax and `rest` is what there is.
static FailureOr<Softmax> readSoftmax(ScalarReader &reader, const Scalar &probability, Scalar &rest,
                                      Refusal &why) {
  Softmax softmax;
  Scalar scalar = skipNeutral(reader, probability, softmax.casts);
  if (matchSoftmaxOp(reader, scalar, softmax))
    return softmax;
  Scalar guard;
  bool isNaNGuard = false;
  bool isGuarded = matchGuard(reader, scalar, guard, isNaNGuard);
  if (isGuarded)
    scalar = skipNeutral(reader, scalar, softmax.casts);

  std::optional<Quotient> quotient = matchQuotient(reader, scalar);
  if (!quotient || !matchExponential(reader, skipCasts(reader, quotient->numerator))) {
    why = {Reason::NoSoftmax, ""};
    rest = scalar;
    return failure();
  }
  if (failed(matchParts(reader, quotient->numerator, quotient->divisor, softmax, why)))
    return failure();
  softmax.zeroMaskedRows |= isGuarded;
  // The guard also catches rows that are NaN for another reason; the op does not.
  softmax.hasExcessRange |= isNaNGuard;
  if (isGuarded && !isNaNGuard && !isAllMasked(reader, guard, softmax)) {
    why = {Reason::MaskAfterSoftmax, ""};
    return failure();
  }
  return softmax;
}

/// Whether a softmax is among the operands of `scalar`, to some depth.
static bool isOfSoftmax(ScalarReader &reader, const Scalar &scalar, unsigned depth) {
  Operation *op = scalar.getOp();
  if (!isa_and_nonnull<arith::MulFOp, arith::DivFOp, arith::AddFOp, arith::SubFOp, arith::SelectOp>(
          op))
    return false;
  for (unsigned i = 0, e = op->getNumOperands(); i < e; ++i) {
    Scalar operand = skipCasts(reader, reader.getOperand(scalar, i));
    Refusal ignored{Reason::NoSoftmax, ""};
    Scalar rest;
    if (succeeded(readSoftmax(reader, operand, rest, ignored)) ||
        (depth > 0 && isOfSoftmax(reader, operand, depth - 1)))
      return true;
  }
  return false;
}

/// Says what stands where a softmax is not: a sigmoid, or a softmax that is changed
/// afterwards.
static Reason classify(ScalarReader &reader, const Scalar &scalar) {
  if (std::optional<Quotient> quotient = matchQuotient(reader, scalar)) {
    // 1 / (1 + exp(-x))
    Scalar sum = skipCasts(reader, quotient->divisor);
    if (isa_and_nonnull<arith::AddFOp>(sum.getOp()))
      for (unsigned side : {0, 1})
        if (isExponential(reader, reader.getOperand(sum, side)))
          return Reason::SigmoidInsteadOfSoftmax;
  }
  return isOfSoftmax(reader, scalar, 2) ? Reason::MaskAfterSoftmax : Reason::NoSoftmax;
}

FailureOr<Softmax> elfatt::raise::matchSoftmax(ScalarReader &reader, const Scalar &probability,
                                               Refusal &why) {
  Scalar rest;
  FailureOr<Softmax> softmax = readSoftmax(reader, probability, rest, why);
  if (failed(softmax) && rest)
    why.reason = classify(reader, rest);
  return softmax;
}

FailureOr<Softmax> elfatt::raise::matchSoftmax(ScalarReader &reader, const Scalar &numerator,
                                               const Scalar &divisor, Refusal &why) {
  Softmax softmax;
  if (failed(matchParts(reader, numerator, divisor, softmax, why)))
    return failure();
  return softmax;
}
