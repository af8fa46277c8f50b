// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_RAISE_PASSES_H
#define ELFATT_RAISE_PASSES_H

#include "mlir/Pass/Pass.h"

namespace elfatt::raise {
#define GEN_PASS_DECL
#include "elfatt/Raise/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "elfatt/Raise/Passes.h.inc"
} // namespace elfatt::raise

#endif // ELFATT_RAISE_PASSES_H
