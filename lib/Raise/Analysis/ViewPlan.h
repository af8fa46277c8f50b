// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From layouts to operands: how an element of a tensor, a function of the atoms,
// becomes a tensor and a map that is a projected permutation plus constants. A
// dim that holds several atoms is expanded first (`tensor.expand_shape`), a part
// of a dim is sliced; neither moves data.
#ifndef ELFATT_LIB_RAISE_ANALYSIS_VIEWPLAN_H
#define ELFATT_LIB_RAISE_ANALYSIS_VIEWPLAN_H

#include "Scalar.h"

#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"
#include "mlir/IR/Builders.h"

namespace elfatt::raise {

/// The iteration domain of an op to be built: one atom per dim.
struct Domain {
  llvm::SmallVector<unsigned> atoms;
  std::optional<unsigned> find(unsigned atom) const;
};

/// A dim of the expanded source: atom `atom` at `digit` on, or the constant
/// position `digit`.
struct Factor {
  view::Size size;
  std::optional<unsigned> atom;
  view::Size extent;
  int64_t digit = 0;
};

struct ViewPlan {
  /// Null where it is yet to be built.
  mlir::Value source;
  /// Dims of the source that are collapsed before all else; empty where none are.
  llvm::SmallVector<mlir::ReassociationIndices, 0> groups;
  /// One list per dim of the (collapsed) source, outermost factor first.
  llvm::SmallVector<llvm::SmallVector<Factor, 4>, 0> dims;

  bool uses(unsigned atom) const;
  /// Whether it uses no atom but those of `domain`.
  bool isOver(const Domain &domain) const;
  /// Puts a dim of size 1 where there is one already, else adds one.
  void addUnit(unsigned atom);
  /// The map from `domain` to the expanded (and sliced) source.
  mlir::AffineMap getMap(const Domain &domain, mlir::MLIRContext *context) const;
};

/// The plan for `element`; fails where the positions in a dim do not nest.
std::optional<ViewPlan> planView(ScalarReader &reader, const view::Element &element);

/// The same for a tensor that is yet to be built, with dims of `sizes`.
std::optional<ViewPlan> planView(ScalarReader &reader, llvm::ArrayRef<view::Size> sizes,
                                 llvm::ArrayRef<view::Index> indices);

/// An element of `source` once its dims are collapsed by `groups`, one position per
/// group.
struct CollapsedElement {
  mlir::Value source;
  llvm::SmallVector<mlir::ReassociationIndices, 0> groups;
  llvm::SmallVector<view::Size> sizes;
  llvm::SmallVector<view::Index, 0> indices;
};
std::optional<ViewPlan> planView(ScalarReader &reader, const CollapsedElement &element);

/// The plan that goes back furthest from `start` without splitting an atom with a
/// root in `whole`.
std::optional<ViewPlan> planSource(ScalarReader &reader, const view::Element &start,
                                   llvm::ArrayRef<unsigned> whole);

/// The result of a contraction, followed forwards through movements that only
/// it feeds: as far as `isWanted` of planOutput says.
struct OutputPlan {
  mlir::Value value; // What is replaced.
  /// Dims of `value` that the op writes as one; empty where none are.
  llvm::SmallVector<mlir::ReassociationIndices, 0> groups;
  llvm::SmallVector<view::Index> dims;
  /// Atoms per dim of the (collapsed) `value`.
  llvm::SmallVector<llvm::SmallVector<unsigned, 4>, 0> factors;
  /// Casts that became part of the op.
  llvm::SmallVector<mlir::Operation *> casts;

  void addUnit(unsigned atom);
  mlir::AffineMap getMap(const Domain &domain, mlir::MLIRContext *context) const;
};
std::optional<OutputPlan>
planOutput(ScalarReader &reader, mlir::Value result, llvm::ArrayRef<view::Index> indices,
           llvm::ArrayRef<unsigned> whole,
           llvm::function_ref<bool(const OutputPlan &)> isWanted = nullptr);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ANALYSIS_VIEWPLAN_H
