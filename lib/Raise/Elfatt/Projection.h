// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Projections: x W + b with constant W and b, whatever ops compute them. Those of
// one x become one when their constants are joined, at compile time.
#ifndef ELFATT_LIB_RAISE_ELFATT_PROJECTION_H
#define ELFATT_LIB_RAISE_ELFATT_PROJECTION_H

#include "Analysis/ViewPlan.h"

namespace elfatt::raise {

/// bias[c] + sum_k input[..., k] weight[k, c], read at one element.
struct Projection {
  view::Element input, weight;
  std::optional<view::Element> bias;
  llvm::SmallVector<unsigned> reduced; // k
};

/// Matches `scalar`, an element of a projection. Pure.
std::optional<Projection> matchProjection(ScalarReader &reader, const Scalar &scalar);

/// The bytes of a constant tensor of floats; one element's where all are equal.
std::optional<llvm::ArrayRef<char>> getFloatBytes(mlir::Value value, bool *isResource = nullptr);

/// The columns that one projection gives to a joined one: heads times channels, of
/// which an element is at sum of stride * atom.
struct ProjectionColumns {
  Projection projection;
  view::Index head, channel;
  int64_t heads = 1, channels = 1;
  /// The projection's own atoms k, in the order of the joined one's.
  llvm::SmallVector<unsigned> reduced;
};

/// A projection to be built: its input, and its columns side by side.
struct JoinedProjection {
  ViewPlan input;
  /// The dims of the result but for the columns, and k.
  llvm::SmallVector<unsigned> rows, reduced;
  llvm::SmallVector<ProjectionColumns, 2> columns;
  int64_t getNumColumns() const;
};

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ELFATT_PROJECTION_H
