// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recognises softmax and linear attention in a pair of contractions. Pure: the
// result says what op to build, and nothing is changed.
#ifndef ELFATT_LIB_RAISE_ATTENTION_RECOGNISE_H
#define ELFATT_LIB_RAISE_ATTENTION_RECOGNISE_H

#include "Analysis/Contraction.h"
#include "AttentionPlan.h"

#include <memory>

namespace elfatt::raise {

struct RecogniseOptions {
  /// Refuse what is computed better than in the source.
  bool strict = false;
};

struct Verdict {
  /// Set where the pair is attention.
  std::optional<RecognisedAttention> attention;
  /// Whether the pair is a site at all; then `refusal` says why it stays.
  bool isSite = false;
  Refusal refusal{Reason::NoSoftmax, ""};
  /// Whether it looks like Q (K^T V).
  bool isLinear = false;
};

Verdict recognise(const ContractionPair &pair, const RecogniseOptions &options,
                  ConstantTables &tables);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ATTENTION_RECOGNISE_H
