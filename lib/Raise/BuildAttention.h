// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RAISE_BUILDATTENTION_H
#define ELFATT_LIB_RAISE_BUILDATTENTION_H

#include "Attention/AttentionPlan.h"

namespace elfatt::raise {

/// Builds the op in front of what it replaces, with what its operands need beside it,
/// and replaces it; gives the op.
mlir::Operation *buildAttention(RecognisedAttention &attention, mlir::Location loc);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_BUILDATTENTION_H
