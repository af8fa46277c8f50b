// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RAISE_ATTENTION_SCALE_H
#define ELFATT_LIB_RAISE_ATTENTION_SCALE_H

#include "Analysis/Scalar.h"

namespace elfatt::raise {

/// A product of constants and of scalars known at run time, each divided by or
/// multiplied with.
struct Scale {
  double constant = 1.0;
  struct Factor {
    view::Element element; // Without loops in it.
    mlir::Value value;     // Where there is no element.
    bool isDivisor;
  };
  llvm::SmallVector<Factor, 0> factors;
  bool isOne() const { return constant == 1.0 && factors.empty(); }
};

/// Takes `factor` into `scale` if it is the same at every position.
bool takeFactor(ScalarReader &reader, const Scalar &factor, bool isDivisor, Scale &scale);

/// Peels widening casts and factors off `scalar` into `scale`: the innermost element on
/// the way, which is the operand of a contraction as a tensor; where there is none, what
/// remains.
Scalar peelScale(ScalarReader &reader, Scalar scalar, Scale &scale,
                 llvm::SmallVectorImpl<mlir::Operation *> &casts);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ATTENTION_SCALE_H
