// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RAISE_ATTENTION_SOFTMAX_H
#define ELFATT_LIB_RAISE_ATTENTION_SOFTMAX_H

#include "Analysis/Scalar.h"
#include "elfatt/Raise/Reasons.h"

namespace elfatt::raise {

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
  /// Casts on the way.
  llvm::SmallVector<mlir::Operation *> casts;
};

/// E / Z, however it is written.
struct Quotient {
  Scalar numerator, divisor;
};
std::optional<Quotient> matchQuotient(ScalarReader &reader, const Scalar &scalar);

/// Whether `scalar` is an exponential.
bool isExponential(ScalarReader &reader, const Scalar &scalar);

/// Whether `scalar` is max(x, 0).
bool isRelu(ScalarReader &reader, const Scalar &scalar);

/// Reads `probability` as a softmax. Pure; on failure `why` says what differs.
llvm::FailureOr<Softmax> matchSoftmax(ScalarReader &reader, const Scalar &probability,
                                      Refusal &why);
/// The same where the quotient is given by its parts.
llvm::FailureOr<Softmax> matchSoftmax(ScalarReader &reader, const Scalar &numerator,
                                      const Scalar &divisor, Refusal &why);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ATTENTION_SOFTMAX_H
