// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A scalar function of one score, of elements of other tensors and of positions:
// what becomes the `score` region of `attention.sdpa`. Without a score, what becomes
// a tensor beside the op.
#ifndef ELFATT_LIB_RAISE_ATTENTION_SCALARPROGRAM_H
#define ELFATT_LIB_RAISE_ATTENTION_SCALARPROGRAM_H

#include "Analysis/Scalar.h"
#include "elfatt/Raise/Reasons.h"

#include "mlir/IR/Builders.h"

#include <memory>

namespace elfatt::raise {

struct ScalarProgram;

/// An element of a tensor, or of one that is to be computed.
struct ProgramElement {
  view::Element start;
  /// In place of `start`: a program without a score.
  std::shared_ptr<ScalarProgram> computed;
};

/// A directed acyclic graph of scalar ops, operands before their users; the last
/// node is the result.
struct ScalarProgram {
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
  llvm::SmallVector<ProgramElement, 0> elements;
  /// The element of the product that is the score.
  view::Element product;
  /// What the result is multiplied by.
  double factor = 1.0;
  /// Casts that are dropped where the op computes in a wider type.
  llvm::SmallVector<mlir::Operation *> casts;

  /// Drops nodes and elements that the result does not depend on.
  void dropUnused();
};

/// Reads `scalar` as a function of one element of `product`; without a `product`, as one
/// of other elements alone, which then may be integers. Pure.
llvm::FailureOr<ScalarProgram> readScalarProgram(ScalarReader &reader, const Scalar &scalar,
                                                 mlir::Value product, Refusal &why);

/// `scalar` as an element of a tensor, or of one that is computed from others. Pure.
std::optional<ProgramElement> readProgramElement(ScalarReader &reader, const Scalar &scalar);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ATTENTION_SCALARPROGRAM_H
