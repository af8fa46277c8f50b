// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_DIALECT_ATTENTION_TRANSFORMS_PASSES_H
#define ELFATT_DIALECT_ATTENTION_TRANSFORMS_PASSES_H

#include "mlir/Pass/Pass.h"

namespace elfatt::attention {
#define GEN_PASS_DECL
#include "elfatt/Dialect/Attention/Transforms/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "elfatt/Dialect/Attention/Transforms/Passes.h.inc"
} // namespace elfatt::attention

#endif // ELFATT_DIALECT_ATTENTION_TRANSFORMS_PASSES_H
