// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Softmax.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>

using namespace mlir;
using namespace elfatt::raise;

using Renaming = llvm::SmallDenseMap<unsigned, unsigned>;

namespace {
/// The parts of a quotient E / Z, however it is written.
struct Quotient {
  Scalar numerator, divisor;
};
} // namespace

static std::optional<Quotient> matchQuotient(ScalarReader &reader, const Scalar &scalar) {
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

/// x of exp(x), also where it is written with base 2.
static std::optional<Scalar> matchExponent(ScalarReader &reader, const Scalar &scalar) {
  Operation *op = scalar.getOp();
  if (isa_and_nonnull<math::ExpOp>(op))
    return reader.getOperand(scalar, 0);
  Scalar exponent;
  if (isa_and_nonnull<math::Exp2Op>(op))
    exponent = reader.getOperand(scalar, 0);
  else if (isa_and_nonnull<math::PowFOp>(op) &&
           reader.getConstantDouble(reader.getOperand(scalar, 0)) == 2.0)
    exponent = reader.getOperand(scalar, 1);
  else
    return std::nullopt;
  // exp2(x * log2(e)) = exp(x), to the rounding of the constant.
  exponent = reader.open(exponent);
  if (!isa_and_nonnull<arith::MulFOp>(exponent.getOp()))
    return std::nullopt;
  for (unsigned side : {0, 1}) {
    std::optional<double> factor = reader.getConstantDouble(reader.getOperand(exponent, side));
    if (factor && std::abs(*factor - 1.4426950408889634) < 2e-3)
      return reader.getOperand(exponent, 1 - side);
  }
  return std::nullopt;
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

static bool isAllMasked(ScalarReader &reader, const Scalar &condition, const Softmax &softmax) {
  std::optional<Reduction> all = reader.matchReduction(condition);
  if (!all || !isa<arith::AndIOp>(all->combiner) || reader.getTruth(all->init) != true)
    return false;
  Scalar masked = reader.open(all->body);
  auto compare = dyn_cast_or_null<arith::CmpFOp>(masked.getOp());
  if (!compare || compare.getPredicate() != arith::CmpFPredicate::OEQ)
    return false;
  std::optional<double> bound = reader.getConstantDouble(reader.getOperand(masked, 1));
  if (!bound || !std::isinf(*bound) || *bound > 0)
    return false;
  // The comparison may be in a wider type.
  Scalar score = reader.getOperand(masked, 0);
  Scalar opened = reader.open(score);
  if (isa_and_nonnull<arith::ExtFOp>(opened.getOp()))
    score = reader.getOperand(opened, 0);
  Renaming renaming;
  llvm::SmallDenseSet<unsigned> bounds(all->bound.begin(), all->bound.end());
  if (!reader.match(softmax.logits, score, bounds, renaming))
    return false;
  auto axis = getAxis(reader, all->bound, renaming);
  return axis && reader.getLeaves(*axis) == reader.getLeaves(softmax.axis);
}

/// Splits X - max X; without a maximum X is all of `exponent`.
static LogicalResult matchMaximum(ScalarReader &reader, const Scalar &exponent, Softmax &softmax,
                                  Refusal &why) {
  softmax.logits = exponent;
  Scalar opened = skipCasts(reader, exponent, &softmax.casts);
  if (!isa_and_nonnull<arith::SubFOp>(opened.getOp()))
    return success();
  Scalar max = skipCasts(reader, reader.getOperand(opened, 1), &softmax.casts);
  // A second maximum with -inf changes nothing.
  if (isa_and_nonnull<arith::MaximumFOp, arith::MaxNumFOp>(max.getOp()))
    for (unsigned side : {0, 1})
      if (std::optional<double> bound = reader.getConstantDouble(reader.getOperand(max, side));
          bound && std::isinf(*bound) && *bound < 0) {
        max = skipCasts(reader, reader.getOperand(max, 1 - side), &softmax.casts);
        break;
      }
  std::optional<Reduction> reduction = reader.matchReduction(max);
  if (!reduction || !reduction->isMax)
    return success();
  Scalar logits = reader.getOperand(opened, 0);
  auto axis = matchReductionOf(reader, *reduction, logits);
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
  softmax.logits = logits;
  softmax.hasMax = true;
  return success();
}

/// Says what stands where a softmax is not: a sigmoid, or a softmax that is changed
/// afterwards.
static Reason classify(ScalarReader &reader, const Scalar &scalar) {
  Operation *op = scalar.getOp();
  if (std::optional<Quotient> quotient = matchQuotient(reader, scalar)) {
    // 1 / (1 + exp(-x))
    Scalar sum = skipCasts(reader, quotient->divisor);
    if (isa_and_nonnull<arith::AddFOp>(sum.getOp()))
      for (unsigned side : {0, 1})
        if (matchExponent(reader, skipCasts(reader, reader.getOperand(sum, side))))
          return Reason::SigmoidInsteadOfSoftmax;
  }
  if (isa_and_nonnull<arith::MulFOp, arith::DivFOp, arith::AddFOp, arith::SelectOp>(op))
    for (unsigned i = 0, e = op->getNumOperands(); i < e; ++i) {
      Scalar operand = skipCasts(reader, reader.getOperand(scalar, i));
      Refusal ignored{Reason::NoSoftmax, ""};
      if (succeeded(matchSoftmax(reader, operand, ignored)))
        return Reason::MaskAfterSoftmax;
    }
  return Reason::NoSoftmax;
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

FailureOr<Softmax> elfatt::raise::matchSoftmax(ScalarReader &reader, const Scalar &probability,
                                               Refusal &why) {
  Softmax softmax;
  Scalar scalar = skipCasts(reader, probability, &softmax.casts);
  if (matchSoftmaxOp(reader, scalar, softmax))
    return softmax;
  Scalar guard;
  bool isNaNGuard = false;
  bool isGuarded = matchGuard(reader, scalar, guard, isNaNGuard);
  if (isGuarded)
    scalar = skipCasts(reader, scalar, &softmax.casts);

  std::optional<Quotient> quotient = matchQuotient(reader, scalar);
  std::optional<Scalar> exponent;
  if (quotient)
    exponent = matchExponent(reader, skipCasts(reader, quotient->numerator, &softmax.casts));
  if (!exponent) {
    why = {classify(reader, scalar), ""};
    return failure();
  }
  std::optional<Reduction> sum =
      reader.matchReduction(skipCasts(reader, quotient->divisor, &softmax.casts));
  if (!sum || !isa<arith::AddFOp>(sum->combiner)) {
    why = {Reason::SumOfOtherValues, ""};
    return failure();
  }
  // The exponentials may be rounded or widened before they are summed.
  Scalar summand = skipCasts(reader, sum->body, &softmax.casts);
  Reduction exponentials = *sum;
  exponentials.body = summand;
  auto axis =
      matchReductionOf(reader, exponentials, skipCasts(reader, quotient->numerator, nullptr));
  if (!axis) {
    why = {Reason::SumOfOtherValues, ""};
    return failure();
  }
  if (reader.getConstantDouble(sum->init) != 0.0) {
    why = {Reason::WrongInit, "the sum does not start from 0"};
    return failure();
  }
  softmax.axis = *axis;
  if (failed(matchMaximum(reader, *exponent, softmax, why)))
    return failure();
  softmax.zeroMaskedRows = isGuarded;
  if (isGuarded && !isNaNGuard && !isAllMasked(reader, guard, softmax)) {
    why = {Reason::MaskAfterSoftmax, ""};
    return failure();
  }
  return softmax;
}
