// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Scalars that are functions of positions alone, however they came about: index
// arithmetic and comparisons, selects between constants, dense constants such as
// a triangle.
#ifndef ELFATT_LIB_RAISE_ANALYSIS_POSITIONS_H
#define ELFATT_LIB_RAISE_ANALYSIS_POSITIONS_H

#include "Scalar.h"

namespace elfatt::raise {

/// constant + sum of coefficient * atom, over whole atoms in the order of their
/// numbers, no coefficient 0.
struct Linear {
  llvm::SmallVector<std::pair<unsigned, int64_t>, 2> terms;
  int64_t constant = 0;

  Linear operator+(const Linear &other) const;
  Linear operator*(int64_t factor) const;
  /// -this - 1: at least 0 where this is not.
  Linear complement() const;
  bool operator==(const Linear &other) const {
    return terms == other.terms && constant == other.constant;
  }
};

/// `index` in whole atoms; fails for sizes that are not known.
std::optional<Linear> toLinear(const view::IndexSpace &space, const view::Index &index);

/// The integer `scalar` as a linear function of the atoms; floats too, where they
/// hold such integers exactly.
std::optional<Linear> readLinear(ScalarReader &reader, const Scalar &scalar);

/// A scalar that is `ifTrue` where `condition` >= 0, and `ifFalse` elsewhere; a
/// constant, equal in both, where there is no condition.
struct Choice {
  std::optional<Linear> condition;
  mlir::TypedAttr ifTrue, ifFalse;
};
std::optional<Choice> readChoice(ScalarReader &reader, const Scalar &scalar);

/// The truth of an i1 where it is the same at every position.
std::optional<bool> getTruth(ScalarReader &reader, const Scalar &scalar);

/// Whether `scalar` is made of positions and constants alone.
bool isPositional(ScalarReader &reader, const Scalar &scalar);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ANALYSIS_POSITIONS_H
