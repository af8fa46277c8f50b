// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RAISE_ATTENTION_SOFTMAX_H
#define ELFATT_LIB_RAISE_ATTENTION_SOFTMAX_H

#include "SoftmaxParts.h"

#include "elfatt/Raise/Reasons.h"

namespace elfatt::raise {

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
