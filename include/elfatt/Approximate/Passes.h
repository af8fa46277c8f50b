// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_APPROXIMATE_PASSES_H
#define ELFATT_APPROXIMATE_PASSES_H

#include "mlir/Pass/Pass.h"

namespace elfatt::approximate {
#define GEN_PASS_DECL
#include "elfatt/Approximate/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "elfatt/Approximate/Passes.h.inc"
} // namespace elfatt::approximate

#endif // ELFATT_APPROXIMATE_PASSES_H
