// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RAISE_ATTENTION_SCORES_H
#define ELFATT_LIB_RAISE_ATTENTION_SCORES_H

#include "ScalarProgram.h"
#include "Scale.h"

namespace elfatt::raise {

/// What stands beside Q * K^T in a score: added where float, kept where true
/// where i1 (kept where false with `isInverted`).
struct Bias {
  ProgramElement element;
  bool isMask = false, isInverted = false;
};

/// X = scale * S + biases, masked to -inf, or another function of S, with S an
/// element of a contraction.
struct Scores {
  view::Element product;
  Scale scale;
  llvm::SmallVector<Bias, 0> biases;
  /// Keys behind the row are masked, after all else.
  bool isCausal = false;
  /// The atom of those rows.
  unsigned causalRow = 0;
  /// Set where a score is more than the plain rule: what it is of S and of the
  /// biases, which are then elements alone.
  std::optional<ScalarProgram> program;
  /// The plain rule or the flag gives a number where the source gives NaN.
  bool hasExcessRange = false;
  llvm::SmallVector<mlir::Operation *> casts;
};

/// What `matchScores` is asked.
struct ScoresQuery {
  /// The logits are `factor` times this scalar.
  Scalar logits;
  double factor = 1.0;
  /// The result of the first contraction.
  mlir::Value product;
  /// Atoms of the position that count queries and keys.
  llvm::ArrayRef<unsigned> rows, keys;
  /// `Softmax::lowMask`: the logits are select(it, X, a low number), or its sides swapped.
  Scalar lowMask;
  /// Take no form that has an excess of range.
  bool strict = false;
};

/// Reads logits as scores over elements of `product`. Pure.
llvm::FailureOr<Scores> matchScores(ScalarReader &reader, const ScoresQuery &query, Refusal &why);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ATTENTION_SCORES_H
