// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Views of buffers. Their offsets may be values: the same value is the same atom, whole and of an
// extent that nobody knows.
#ifndef ELFATT_LIB_VIEW_BUFFERS_H
#define ELFATT_LIB_VIEW_BUFFERS_H

#include "elfatt/View/Trace.h"

namespace elfatt::view {

/// The same element of what `element.source`, a memref, is a view of. Fails where it is none, or
/// no sums of strided atoms.
std::optional<Element> stepOverBuffer(const Element &element, Tracer &tracer);

} // namespace elfatt::view

#endif // ELFATT_LIB_VIEW_BUFFERS_H
