// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A scalar function of one score, of elements of other tensors and of positions:
// what becomes the `score` region of `attention.sdpa`.
#ifndef ELFATT_LIB_RAISE_SCOREPROGRAM_H
#define ELFATT_LIB_RAISE_SCOREPROGRAM_H

#include "Scalar.h"
#include "elfatt/Raise/Reasons.h"

#include "mlir/IR/Builders.h"

namespace elfatt::raise {

/// A directed acyclic graph of scalar ops, operands before their users; the last
/// node is the result.
struct ScoreProgram {
  struct Node {
    enum Kind { Score, Element, Position, Constant, Op } kind;
    explicit Node(Kind kind, mlir::Operation *op = nullptr) : kind(kind), op(op) {}
    /// Of Op: the source's op, cloned with other operands.
    mlir::Operation *op;
    llvm::SmallVector<unsigned, 3> operands;
    /// Of Element: which of the elements below.
    unsigned element = 0;
    /// Of Position: an index.
    view::Index position;
    mlir::TypedAttr constant;
  };
  llvm::SmallVector<Node, 0> nodes;
  /// Elements of other tensors that the function reads: the op's biases.
  llvm::SmallVector<view::Element, 0> elements;
  /// The element of the product that is the score.
  view::Element product;
  /// What the result is multiplied by.
  double factor = 1.0;
  /// Casts that are dropped where the op computes in a wider type.
  llvm::SmallVector<mlir::Operation *> casts;
};

/// Reads `scalar` as a function of one element of `product`. Pure.
llvm::FailureOr<ScoreProgram> readScoreProgram(ScalarReader &reader, const Scalar &scalar,
                                               mlir::Value product, Refusal &why);

/// Builds the ops of `program` at `builder`, computing in `type`: from the score,
/// the elements, and what gives an index as a value.
mlir::Value buildScoreProgram(mlir::OpBuilder &builder, mlir::Location loc,
                              const ScoreProgram &program, mlir::FloatType type, mlir::Value score,
                              mlir::ValueRange elements,
                              llvm::function_ref<mlir::Value(const view::Index &)> buildPosition);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_SCOREPROGRAM_H
