// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a softmax is made of beside the exponential: factors, reductions over its axis,
// and the guards that people put around it against rows without a key.
#ifndef ELFATT_LIB_RAISE_ATTENTION_SOFTMAXPARTS_H
#define ELFATT_LIB_RAISE_ATTENTION_SOFTMAXPARTS_H

#include "Softmax.h"

namespace elfatt::raise {

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
