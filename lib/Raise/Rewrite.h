// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RAISE_REWRITE_H
#define ELFATT_LIB_RAISE_REWRITE_H

#include "mlir/IR/Operation.h"

namespace elfatt::raise {

/// Erases `root` and what only it used, as far as that has no other effect.
void eraseDead(mlir::Operation *root);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_REWRITE_H
