// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_CPU_PASSES_H
#define ELFATT_CPU_PASSES_H

#include "mlir/Pass/Pass.h"

namespace elfatt::cpu {
#define GEN_PASS_DECL
#include "elfatt/CPU/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "elfatt/CPU/Passes.h.inc"
} // namespace elfatt::cpu

#endif // ELFATT_CPU_PASSES_H
