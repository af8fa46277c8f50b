// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recognises softmax and linear attention in a pair of contractions. Pure: the
// result says what op to build, and nothing is changed.
#ifndef ELFATT_LIB_RAISE_RECOGNISE_H
#define ELFATT_LIB_RAISE_RECOGNISE_H

#include "Contraction.h"
#include "Scores.h"
#include "ViewPlan.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"

#include <memory>

namespace elfatt::raise {

struct RecogniseOptions {
  /// Refuse what is computed better than in the source.
  bool strict = false;
};

/// An attention op to be built.
struct RecognisedAttention {
  std::unique_ptr<ScalarReader> reader;
  /// `attention.sdpa`, or `attention.linear`.
  bool isLinear = false;
  Domain domain;
  attention::AttentionDims dims;
  ViewPlan query, key, value;
  OutputPlan output;
  /// Of the scores; of the result of linear attention, a constant.
  Scale scale;
  /// The scale is that of the op's default.
  bool hasDefaultScale = false;
  /// A tensor, or one that is computed from several.
  struct BiasPlan {
    llvm::SmallVector<ViewPlan, 1> views;
    bool isInverted = false;
    std::shared_ptr<ScalarProgram> program;
  };
  llvm::SmallVector<BiasPlan, 0> biases;
  bool isCausal = false;
  /// The function of a score, in place of the rule for biases.
  std::optional<ScalarProgram> program;
  bool zeroMaskedRows = false;
  /// The source computes in f64 whatever its operands are.
  bool computesInF64 = false;
  /// The op rounds less, or overflows later, than the source.
  bool hasExcessPrecision = false, hasExcessRange = false;
};

struct Verdict {
  /// Set where the pair is attention.
  std::optional<RecognisedAttention> attention;
  /// Whether the pair is a site at all; then `refusal` says why it stays.
  bool isSite = false;
  Refusal refusal{Reason::NoSoftmax, ""};
};

Verdict recognise(const ContractionPair &pair, const RecogniseOptions &options,
                  ConstantTables &tables);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_RECOGNISE_H
