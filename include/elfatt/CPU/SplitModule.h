// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Functions of a module as modules of their own, which threads compile beside each other.
#ifndef ELFATT_CPU_SPLITMODULE_H
#define ELFATT_CPU_SPLITMODULE_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/SmallVector.h"

namespace elfatt::cpu {

/// Moves the functions of `module`, all of the LLVM dialect, to at most `count` modules whose
/// largest is as small as largest-first makes it. Each declares what it uses of the others and has
/// its own copy of constants without a name outside. Functions keep their order, so the code of one
/// does not depend on `count`. A module with other globals stays one.
llvm::SmallVector<mlir::OwningOpRef<mlir::ModuleOp>> splitModule(mlir::ModuleOp module,
                                                                 size_t count);

} // namespace elfatt::cpu

#endif // ELFATT_CPU_SPLITMODULE_H
