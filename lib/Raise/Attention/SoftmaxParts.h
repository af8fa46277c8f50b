// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a softmax is made of beside the exponential: factors, reductions over its axis,
// and the guards that people put around it against rows without a key.
#ifndef ELFATT_LIB_RAISE_ATTENTION_SOFTMAXPARTS_H
#define ELFATT_LIB_RAISE_ATTENTION_SOFTMAXPARTS_H

#include "Analysis/Scalar.h"

namespace elfatt::raise {

/// The lowest number of f16: scores that no mask hides lie above it.
inline constexpr double kLowScore = -65504.0;

/// P = exp(Y - max_r Y) / sum_r exp(Y - max_r Y) with Y = factor * X, read from P.
struct Softmax {
  /// X.
  Scalar logits;
  /// 1 unless the base is another than e, or the scale follows the maximum.
  double factor = 1.0;
  /// The atoms of the position in P that are summed over.
  llvm::SmallDenseSet<unsigned> axis;
  /// Whether a row with all logits -inf gives 0 (else NaN).
  bool zeroMaskedRows = false;
  /// Whether the maximum is subtracted; without it large logits overflow.
  bool hasMax = false;
  /// Whether an infinite maximum is replaced by a finite number.
  bool isMaxGuarded = false;
  /// Whether the guards of masked rows give 0 or a finite value in more places than
  /// rows with all logits -inf, all of them overflows.
  bool hasExcessRange = false;
  /// The condition that hides scores by a low number and their probabilities by 0, if
  /// there is one: what it hides is masked.
  Scalar lowMask;
  /// Casts on the way.
  llvm::SmallVector<mlir::Operation *> casts;
};

/// E / Z, however it is written.
struct Quotient {
  Scalar numerator, divisor;
};
std::optional<Quotient> matchQuotient(ScalarReader &reader, const Scalar &scalar);

/// exp(factor * exponent).
struct Exponential {
  Scalar exponent;
  double factor;
};
/// An exponential to any constant base.
std::optional<Exponential> matchExponential(ScalarReader &reader, const Scalar &scalar);

/// E or E / Z out of select(mask, it, 0), or the same with its sides swapped, where E is
/// exp(select(mask, X, hidden) - Y): 0 there already, or anything in rows of nothing else.
struct MaskedAgain {
  Scalar kept, mask;
  double hidden;
};
std::optional<MaskedAgain> matchMaskedAgain(ScalarReader &reader, const Scalar &select);

/// Takes constant factors off `scalar`, which is opened.
Scalar peelConstantFactors(ScalarReader &reader, Scalar scalar, double &factor,
                           llvm::SmallVectorImpl<mlir::Operation *> &casts);

bool isInfinity(ScalarReader &reader, const Scalar &scalar, bool isNegative);

/// Matches `reduction` as one of what `body` is; gives the axis.
std::optional<llvm::SmallDenseSet<unsigned>>
matchReductionOf(ScalarReader &reader, const Reduction &reduction, const Scalar &body);

/// A guard around the quotient, which is left in `scalar`. `condition` is to be checked
/// by `isAllMasked` where it is no NaN guard.
bool matchGuard(ScalarReader &reader, Scalar &scalar, Scalar &condition, bool &isNaNGuard);

/// Whether `condition` says that all logits of the row are -inf.
bool isAllMasked(ScalarReader &reader, const Scalar &condition, Softmax &softmax);

/// Whether `condition` looks for rows without a key where a constant masks none: what
/// exporters leave where sizes are open.
bool isNeverMasked(ScalarReader &reader, const Scalar &condition, const Softmax &softmax);

/// A maximum that is replaced by a finite number where it is infinite: the maximum.
Scalar peelMaximumGuard(ScalarReader &reader, const Scalar &scalar, Softmax &softmax);

/// A sum that is kept from being 0: the sum. `needsMax` where it is right only with
/// the maximum subtracted.
Scalar peelSumGuard(ScalarReader &reader, const Scalar &scalar, bool &isGuarded, bool &needsMax);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ATTENTION_SOFTMAXPARTS_H
