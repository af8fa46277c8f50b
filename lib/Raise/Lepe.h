// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RAISE_LEPE_H
#define ELFATT_LIB_RAISE_LEPE_H

#include "Scalar.h"

namespace elfatt::raise {

/// A depthwise 3x3 convolution, zero padded, stride 1, read at one element:
/// bias[c] + sum_{s,t} weight[s,t,c] * input[y+s-1, x+t-1, c].
struct DepthwiseConv {
  /// The input at the same position (the middle tap).
  view::Element center;
  /// The position on the convolved grid, and its extents.
  view::Index y, x;
  view::Size height, width;
  /// At fresh atoms for the taps.
  view::Element weight;
  unsigned tapY, tapX;
  std::optional<view::Element> bias;
};

/// Matches `scalar`, an element of a convolution. Pure.
std::optional<DepthwiseConv> matchDepthwiseConv(ScalarReader &reader, const Scalar &scalar);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_LEPE_H
