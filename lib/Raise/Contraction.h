// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Contractions, and which pairs of them look like attention.
#ifndef ELFATT_LIB_RAISE_CONTRACTION_H
#define ELFATT_LIB_RAISE_CONTRACTION_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace elfatt::raise {

/// Whether `op` multiplies two tensors and sums: a matmul, named or generic.
bool isContraction(mlir::Operation *op);
/// A matmul on quantized integers.
bool isQuantizedContraction(mlir::Operation *op);
/// Whether `value` is made of constants alone (a weight, however it is moved).
bool isConstant(mlir::Value value, unsigned depth = 0);

/// Two contractions: `operand` of `second` is made of the result of `first`.
struct ContractionPair {
  mlir::linalg::LinalgOp first, second;
  unsigned operand;
  /// An exponential and a sum stand between them.
  bool hasExponential = false;
};

/// The pairs that end in `second`, the nearest first; none where an operand of
/// either contraction is a constant. Looks at a bounded number of ops.
llvm::SmallVector<ContractionPair> findPairs(mlir::linalg::LinalgOp second);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_CONTRACTION_H
