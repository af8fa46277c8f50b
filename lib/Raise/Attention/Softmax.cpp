// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Softmax.h"

#include "Analysis/Positions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <cmath>

using namespace mlir;
using namespace elfatt::raise;

/// Ops between a softmax and scores that are joined: masks, a scale, the maximum.
static constexpr unsigned kMaxJoinSteps = 64;

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
  if (!init || !(std::isnan(*init) || *init <= kLowScore)) {
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

/// The sum of exponentials that `shift` is the logarithm of, to the same base as
/// exp(factor * x).
static std::optional<Reduction> matchLogOfSum(ScalarReader &reader, const Scalar &shift,
                                              double factor, SmallVectorImpl<Operation *> &casts) {
  Operation *op = shift.getOp();
  if (!(isa_and_nonnull<math::LogOp>(op) && factor == 1.0) &&
      !(isa_and_nonnull<math::Log2Op>(op) && factor == std::log(2.0)))
    return std::nullopt;
  Scalar total = skipCasts(reader, reader.getOperand(shift, 0), &casts);
  // JAX takes the absolute value, which a sum of exponentials is already.
  if (isa_and_nonnull<math::AbsFOp>(total.getOp()))
    total = skipCasts(reader, reader.getOperand(total, 0), &casts);
  std::optional<Reduction> sum = reader.matchReduction(total);
  if (!sum || !isa<arith::AddFOp>(sum->combiner) || reader.getConstantDouble(sum->init) != 0.0)
    return std::nullopt;
  std::optional<Exponential> summand =
      matchExponential(reader, skipCasts(reader, sum->body, &casts));
  if (!summand || summand->factor != factor)
    return std::nullopt;
  sum->body = skipCasts(reader, summand->exponent, &casts);
  return sum;
}

/// Reads `probability` as the exponential of a log-softmax:
///   exp(Y - log(sum_r exp(Y)))    exp(X - (log(sum_r exp(X - M)) + M))
/// False where it is none.
static FailureOr<bool> matchLogSoftmax(ScalarReader &reader, const Scalar &probability,
                                       Softmax &softmax, Refusal &why) {
  std::optional<Exponential> exponential = matchExponential(reader, probability);
  if (!exponential)
    return false;
  SmallVector<Operation *> casts;
  Scalar difference = skipCasts(reader, exponential->exponent, &casts);
  if (!isa_and_nonnull<arith::SubFOp>(difference.getOp()))
    return false;
  Scalar logits = skipCasts(reader, reader.getOperand(difference, 0), &casts);
  Scalar shift = skipCasts(reader, reader.getOperand(difference, 1), &casts);
  std::optional<Scalar> maximum;
  std::optional<Reduction> sum = matchLogOfSum(reader, shift, exponential->factor, casts);
  if (!sum && isa_and_nonnull<arith::AddFOp>(shift.getOp()))
    for (unsigned side : {0, 1}) {
      Scalar log = skipCasts(reader, reader.getOperand(shift, side), &casts);
      if (sum || !(sum = matchLogOfSum(reader, log, exponential->factor, casts)))
        continue;
      maximum = skipCasts(reader, reader.getOperand(shift, 1 - side), &casts);
      if (!isa_and_nonnull<arith::SubFOp>(sum->body.getOp()) ||
          !reader.isSame(*maximum, skipCasts(reader, reader.getOperand(sum->body, 1))))
        return false;
      sum->body = skipCasts(reader, reader.getOperand(sum->body, 0), &casts);
    }
  if (!sum)
    return false;
  auto axis = matchReductionOf(reader, *sum, logits);
  if (!axis) {
    why = {Reason::SumOfOtherValues, ""};
    return failure();
  }
  softmax.axis = *axis;
  softmax.factor = exponential->factor;
  llvm::append_range(softmax.casts, casts);
  if (maximum) {
    FailureOr<bool> isShift = matchShift(reader, logits, *maximum, softmax, why);
    if (failed(isShift))
      return failure();
    softmax.hasMax |= *isShift;
  }
  if (failed(matchMaximum(reader, logits, softmax, why)))
    return failure();
  return true;
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

/// Whether `select` is select(X == inf, C, Y), of either infinity, where Y is X behind other
/// guards: no probability is one.
static bool isInfinityGuard(ScalarReader &reader, const Scalar &select) {
  Scalar condition = reader.open(reader.getOperand(select, 0));
  auto compare = dyn_cast_or_null<arith::CmpFOp>(condition.getOp());
  if (!compare || compare.getPredicate() != arith::CmpFPredicate::OEQ)
    return false;
  Scalar infinity = reader.getOperand(condition, 1);
  if (!isInfinity(reader, infinity, false) && !isInfinity(reader, infinity, true))
    return false;
  Scalar guarded = skipCasts(reader, reader.getOperand(condition, 0));
  Scalar kept = select;
  while (isa_and_nonnull<arith::SelectOp>(kept.getOp())) {
    kept = skipCasts(reader, reader.getOperand(kept, 2));
    if (reader.isSame(guarded, kept))
      return true;
  }
  return false;
}

/// Casts, and what leaves a probability as it is: dropout of nothing, `nan_to_num` of infinities.
static Scalar skipNeutral(ScalarReader &reader, Scalar scalar,
                          SmallVectorImpl<Operation *> &casts) {
  while (true) {
    scalar = skipCasts(reader, scalar, &casts);
    Operation *op = scalar.getOp();
    std::optional<unsigned> kept;
    if (isa_and_nonnull<arith::SelectOp>(op)) {
      if (std::optional<bool> truth = getTruth(reader, reader.getOperand(scalar, 0)))
        kept = *truth ? 1 : 2;
      else if (isInfinityGuard(reader, scalar))
        kept = 2;
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

/// Whether an element of a concatenation, or of what it came from, makes `scalar`.
static bool isOfJoinedScores(ScalarReader &reader, const Scalar &scalar) {
  SmallVector<Scalar, 0> stack{scalar};
  for (unsigned steps = 0; !stack.empty() && steps < kMaxJoinSteps; ++steps) {
    Scalar opened = reader.open(stack.pop_back_val());
    Operation *source = opened.element ? opened.element.source.getDefiningOp() : nullptr;
    if (isa_and_nonnull<tensor::ConcatOp, tensor::InsertSliceOp, tensor::PadOp>(source))
      return true;
    if (Operation *op = opened.getOp(); op && op->getNumRegions() == 0)
      for (unsigned i = 0, e = op->getNumOperands(); i < e; ++i)
        stack.push_back(reader.getOperand(opened, i));
  }
  return false;
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
    why = {Reason::SumOfOtherValues, isa_and_nonnull<arith::AddFOp>(total.getOp())
                                         ? "something is added to the sum, as by an attention sink"
                                         : ""};
    return failure();
  }
  // The exponentials may be rounded or widened before they are summed.
  Reduction exponentials = *sum;
  exponentials.body = skipCasts(reader, sum->body, &softmax.casts);
  // By a low number only where probabilities are masked, too: else a row of it is no 0.
  if (std::optional<MaskedAgain> summand = matchMaskedAgain(reader, exponentials.body);
      summand && (std::isinf(summand->hidden) || softmax.lowMask))
    exponentials.body = skipCasts(reader, summand->kept, &softmax.casts);
  auto axis = matchReductionOf(reader, exponentials, exponential);
  if (!axis) {
    why = {Reason::SumOfOtherValues,
           isOfJoinedScores(reader, exponentials.body)
               ? "the scores are joined with others, as with an attention sink"
               : ""};
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

/// Reads `probability` as a softmax; where it is no exponential that is normalised at all,
/// `why` stays NoSoftmax and `rest` is what there is.
static FailureOr<Softmax> readSoftmax(ScalarReader &reader, const Scalar &probability, Scalar &rest,
                                      Refusal &why) {
  Softmax softmax;
  Scalar scalar = skipNeutral(reader, probability, softmax.casts);
  if (matchSoftmaxOp(reader, scalar, softmax))
    return softmax;
  if (std::optional<MaskedAgain> masked = matchMaskedAgain(reader, scalar)) {
    scalar = skipNeutral(reader, masked->kept, softmax.casts);
    softmax.zeroMaskedRows = true;
    // So is a row whose scores are all -inf by themselves, which the source makes NaN; a
    // low number counts beside scores that are as low.
    softmax.hasExcessRange = true;
    if (std::isfinite(masked->hidden))
      softmax.lowMask = masked->mask;
  }
  Scalar guard;
  bool isNaNGuard = false;
  bool isGuarded = matchGuard(reader, scalar, guard, isNaNGuard);
  if (isGuarded)
    scalar = skipNeutral(reader, scalar, softmax.casts);

  std::optional<Quotient> quotient = matchQuotient(reader, scalar);
  if (quotient && matchExponential(reader, skipCasts(reader, quotient->numerator))) {
    if (failed(matchParts(reader, quotient->numerator, quotient->divisor, softmax, why)))
      return failure();
  } else {
    FailureOr<bool> isLogSoftmax = matchLogSoftmax(reader, scalar, softmax, why);
    if (failed(isLogSoftmax))
      return failure();
    if (!*isLogSoftmax) {
      why = {Reason::NoSoftmax, ""};
      rest = scalar;
      return failure();
    }
  }
  if (isGuarded && !isNaNGuard && isNeverMasked(reader, guard, softmax))
    return softmax;
  softmax.zeroMaskedRows |= isGuarded;
  // The guard also catches rows that are NaN for another reason; the op does not.
  softmax.hasExcessRange |= isNaNGuard;
  if (isGuarded && !isNaNGuard && !isAllMasked(reader, guard, softmax)) {
    why = {Reason::MaskAfterSoftmax, ""};
    return failure();
  }
  return softmax;
}

/// Ops that change probabilities: a scale, a shift and the two selects of a clamp.
static constexpr unsigned kMaxChanges = 4;

/// Whether a softmax is among the operands of `scalar`, to some depth.
static bool isOfSoftmax(ScalarReader &reader, const Scalar &scalar, unsigned depth) {
  Operation *op = scalar.getOp();
  if (!isa_and_nonnull<arith::MulFOp, arith::DivFOp, arith::AddFOp, arith::SubFOp, arith::SelectOp,
                       arith::MaximumFOp, arith::MaxNumFOp, arith::MinimumFOp, arith::MinNumFOp>(
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
  return isOfSoftmax(reader, scalar, kMaxChanges) ? Reason::MaskAfterSoftmax : Reason::NoSoftmax;
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
