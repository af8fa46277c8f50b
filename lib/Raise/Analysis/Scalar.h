// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reads tensor IR as scalar expressions: what one element of a tensor is made
// of, through data movement, elementwise ops and fills, whatever ops carry it.
// Nothing is copied: a Scalar is an SSA value in the body of a linalg op at given
// loop positions (a Frame), or an element of a tensor.
#ifndef ELFATT_LIB_RAISE_ANALYSIS_SCALAR_H
#define ELFATT_LIB_RAISE_ANALYSIS_SCALAR_H

#include "ConstantTables.h"

#include "elfatt/View/Trace.h"

#include "llvm/ADT/APFloat.h"

#include <deque>

namespace elfatt::raise {

/// A linalg op at loop positions; the atoms of its reductions are `bound`.
struct Frame {
  mutable mlir::linalg::LinalgOp op; // Its methods are not const.
  llvm::SmallVector<view::Index> loops;
};

/// A scalar: `value` in `frame`'s body (or outside of any body when `frame` is
/// null), or `element` of a tensor.
struct Scalar {
  mlir::Value value;
  const Frame *frame = nullptr;
  view::Element element;
  /// The element before it was traced to its source.
  view::Element start;

  explicit operator bool() const { return value || element; }
  /// The op that computes it in a body, null for elements and arguments.
  mlir::Operation *getOp() const { return value ? value.getDefiningOp() : nullptr; }
  mlir::Type getType() const;
};

/// result = combine over the bound atoms of `body`, from `init`.
struct Reduction {
  mlir::Operation *combiner;
  Scalar body, init;
  /// The combiner is a select on a comparison that picks the larger one.
  bool isMax = false;
  llvm::SmallVector<unsigned> bound;
};

class ScalarReader {
public:
  /// What is learnt of constants goes to `shared`, for other readers too.
  explicit ScalarReader(ConstantTables *shared = nullptr)
      : tables(shared ? *shared : ownTables), tracer(space, sizes) {}

  view::IndexSpace &getSpace() { return space; }
  view::SizeAnalysis &getSizes() { return sizes; }
  view::Tracer &getTracer() { return tracer; }
  ConstantTables &getTables() { return tables; }

  /// The element of `tensor` at `indices`, traced to its source.
  Scalar read(mlir::Value tensor, llvm::ArrayRef<view::Index> indices);
  /// The same scalar, opened: elements of elementwise ops, fills and copies
  /// become the scalar op in their body; what is left as an element has another
  /// producer (a contraction, a reduction, an argument).
  Scalar open(Scalar scalar);
  /// Operand `index` of the op that `scalar` stands for, traced but not opened.
  Scalar getOperand(const Scalar &scalar, unsigned index);
  /// `op` at these loop positions, for `resolve`.
  const Frame *addFrame(mlir::linalg::LinalgOp op, llvm::ArrayRef<view::Index> loops);
  /// Another value of the same body.
  Scalar resolve(mlir::Value value, const Frame *frame);

  /// The reduction that the element `scalar` is, if it is one.
  std::optional<Reduction> matchReduction(const Scalar &scalar);

  /// Its value where it is a constant, through casts (which round as they say).
  std::optional<llvm::APFloat> getConstant(const Scalar &scalar);
  std::optional<double> getConstantDouble(const Scalar &scalar);

  /// Whether two scalars are the same computation on the same elements, when
  /// atoms of `b` with a root in `bound` stand for others of `a` (`renaming`).
  bool match(const Scalar &a, const Scalar &b, const llvm::SmallDenseSet<unsigned> &bound,
             llvm::SmallDenseMap<unsigned, unsigned> &renaming, unsigned depth = 0);
  bool isSame(const Scalar &a, const Scalar &b);

  /// `atoms` in parts that are whole: an atom may be split after it was noted.
  llvm::SmallDenseSet<unsigned> getLeaves(const llvm::SmallDenseSet<unsigned> &atoms) const;
  llvm::SmallDenseSet<unsigned> getLeaves(llvm::ArrayRef<unsigned> atoms) const;

  /// Whether `scalar` is made of an element of `source` (budgeted).
  bool reaches(const Scalar &scalar, mlir::Value source);

private:
  bool reachesFrom(const Scalar &scalar, mlir::Value source, unsigned depth);
  const Frame *getElementwiseFrame(const view::Element &element, mlir::Value &yielded);

  ConstantTables ownTables, &tables;
  view::IndexSpace space;
  view::SizeAnalysis sizes;
  view::Tracer tracer;
  std::deque<Frame> frames;
  /// One atom per reduction loop of an op, so that reading it twice is the same.
  llvm::DenseMap<std::pair<mlir::Operation *, unsigned>, unsigned> boundAtoms;
  /// Shared subexpressions are read more than once: what is left of the steps
  /// that one comparison may take.
  unsigned steps = 0;
};

/// Casts between float types are transparent to most matchers: the scalar below
/// them, opened. `casts` collects the ops.
Scalar skipCasts(ScalarReader &reader, Scalar scalar,
                 llvm::SmallVectorImpl<mlir::Operation *> *casts = nullptr);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ANALYSIS_SCALAR_H
