// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RAISE_SOFTMAX_H
#define ELFATT_LIB_RAISE_SOFTMAX_H

#include "Scalar.h"
#include "elfatt/Raise/Reasons.h"

namespace elfatt::raise {

/// P = exp(X - max_r X) / sum_r exp(X - max_r X), read from P.
struct Softmax {
  Scalar logits;
  /// The atoms of the position in P that are summed over.
  llvm::SmallDenseSet<unsigned> axis;
  /// Whether a row with all logits -inf gives 0 (else NaN).
  bool zeroMaskedRows = false;
  /// Whether the maximum is subtracted; without it large logits overflow.
  bool hasMax = false;
  /// Casts on the way.
  llvm::SmallVector<mlir::Operation *> casts;
};

/// Reads `probability` as a softmax. Pure; on failure `why` says what differs.
llvm::FailureOr<Softmax> matchSoftmax(ScalarReader &reader, const Scalar &probability,
                                      Refusal &why);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_SOFTMAX_H
