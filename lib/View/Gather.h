// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Gathers whose positions are computed from loop indices alone move data as a
// view does: `unfold` and indexing with `arange` arrive so.
#ifndef ELFATT_LIB_VIEW_GATHER_H
#define ELFATT_LIB_VIEW_GATHER_H

#include "elfatt/View/Trace.h"

namespace elfatt::view {

/// The element that `op`, a body that yields one `tensor.extract`, reads for
/// `element` of its result. Fails where a position is no sum of strided atoms, or is
/// not known to be inside of the tensor.
std::optional<Element> stepOverGather(mlir::linalg::LinalgOp op, const Element &element,
                                      Tracer &tracer);

} // namespace elfatt::view

#endif // ELFATT_LIB_VIEW_GATHER_H
