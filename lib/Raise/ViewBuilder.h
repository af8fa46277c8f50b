// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The ops of what ViewPlan plans.
#ifndef ELFATT_LIB_RAISE_VIEWBUILDER_H
#define ELFATT_LIB_RAISE_VIEWBUILDER_H

#include "Analysis/ViewPlan.h"

namespace elfatt::raise {

/// What a symbol of a size stands for, as an index.
mlir::Value buildSymbol(mlir::OpBuilder &builder, mlir::Location loc,
                        const view::SizeAnalysis::Origin &origin);

/// Creates the ops of a plan at `builder`'s insertion point.
class ViewBuilder {
public:
  ViewBuilder(mlir::OpBuilder &builder, mlir::Location loc, ScalarReader &reader)
      : builder(builder), loc(loc), reader(reader) {}

  mlir::Value buildOperand(const ViewPlan &plan);
  /// The empty tensor that the op writes.
  mlir::Value buildInit(const OutputPlan &plan);
  /// `result` in the shape of `plan.value`.
  mlir::Value buildResult(const OutputPlan &plan, mlir::Value result);
  mlir::OpFoldResult buildSize(const view::Size &size);

private:
  mlir::Value buildCollapsed(const ViewPlan &plan);
  mlir::Value buildExpanded(const ViewPlan &plan);

  mlir::OpBuilder &builder;
  mlir::Location loc;
  ScalarReader &reader;
  /// Expanded sources: queries, keys and values of one tensor share theirs.
  struct Expanded {
    mlir::Value source;
    llvm::SmallVector<llvm::SmallVector<view::Size>, 0> shape;
    mlir::Value result;
  };
  /// Collapsed sources.
  llvm::SmallVector<std::pair<llvm::SmallVector<mlir::ReassociationIndices, 0>, mlir::Value>, 0>
      collapsed;
  llvm::SmallVector<Expanded, 0> expanded;
};

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_VIEWBUILDER_H
