// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Contractions, and which pairs of them look like attention.
#ifndef ELFATT_LIB_RAISE_ANALYSIS_CONTRACTION_H
#define ELFATT_LIB_RAISE_ANALYSIS_CONTRACTION_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/SmallBitVector.h"

#include <optional>

namespace elfatt::raise {

/// A linalg op, named or generic, whose result is
///   init + sum over the reduced loops of side 0 * side 1.
/// A side is a value of the body: an element of an input, or an expression where
/// elementwise ops were fused into the body.
struct Contraction {
  mutable mlir::linalg::LinalgOp op; // Its methods are not const.
  mlir::Value sides[2];
  /// The loops that a side depends on.
  llvm::SmallBitVector loops[2];
  /// Loops by where they occur: in both sides and the result, in one side and the
  /// result, in no result.
  llvm::SmallVector<unsigned> batch, free[2], reduced;

  mlir::Value getResult() const { return op->getResult(0); }
  mlir::Value getInit() const { return op.getDpsInits()[0]; }
  mlir::AffineMap getResultMap() const { return op.getIndexingMapsArray().back(); }
  /// The tensors that `side` is made of.
  llvm::SmallVector<mlir::Value> getInputs(unsigned side) const;
  /// Whether they are all constant: a weight.
  bool isConstantSide(unsigned side) const;
};

/// Fails where `op` is no contraction of floats on tensors.
std::optional<Contraction> matchContraction(mlir::Operation *op);
/// Like `matchContraction`, of integers.
std::optional<Contraction> matchQuantizedContraction(mlir::Operation *op);
/// Whether `value` is made of constants alone (a weight, however it is moved).
bool isConstant(mlir::Value value);

/// Two contractions: `side` of `second` is made of the result of `first`.
struct ContractionPair {
  Contraction first, second;
  unsigned side;
  /// An exponential and a sum stand between them.
  bool hasExponential = false;
  /// One of them is on integers.
  bool isQuantized = false;
};

/// What the queries of an attention may be.
enum class Queries { Activations, Constants };

/// The pairs that end in `second`, those with an exponential between them first. No
/// side is constant, but for one of the first contraction where constant queries are
/// asked for. Looks at a bounded number of ops.
llvm::SmallVector<ContractionPair, 0> findPairs(mlir::linalg::LinalgOp second, Queries queries);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ANALYSIS_CONTRACTION_H
