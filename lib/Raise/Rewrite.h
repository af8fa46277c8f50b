// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RAISE_REWRITE_H
#define ELFATT_LIB_RAISE_REWRITE_H

#include "mlir/IR/Dominance.h"

namespace elfatt::raise {

/// Whether what `op` is made of comes before it. Elsewhere, in regions without order and
/// in blocks that nothing reaches, a value may be made of itself.
bool isInOrderedCode(mlir::Operation *op, mlir::DominanceInfo &dominance);

/// Erases `root` and what only it used, as far as that has no other effect.
void eraseDead(mlir::Operation *root);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_REWRITE_H
