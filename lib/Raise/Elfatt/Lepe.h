// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RAISE_ELFATT_LEPE_H
#define ELFATT_LIB_RAISE_ELFATT_LEPE_H

#include "Analysis/Scalar.h"

namespace elfatt::raise {

/// A depthwise convolution of three taps an axis, zero padded, stride 1, read at one
/// element, in two dims:
/// bias[c] + sum_{s,t} weight[s,t,c] * input[y+s-1, x+t-1, c].
struct DepthwiseConv {
  /// The input at the same position (the middle tap).
  view::Element center;
  /// The axes of the convolved grid, the slowest first: the position, the extent,
  /// and a fresh atom for the taps.
  struct Axis {
    view::Index position;
    view::Size extent;
    unsigned tap;
  };
  llvm::SmallVector<Axis, 2> axes;
  /// At the taps.
  view::Element weight;
  std::optional<view::Element> bias;
  /// The source rounds its sum to a narrower type.
  bool rounds = false;
};

/// Matches `scalar`, an element of a convolution, named or not. Pure.
std::optional<DepthwiseConv> matchDepthwiseConv(ScalarReader &reader, const Scalar &scalar);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ELFATT_LEPE_H
