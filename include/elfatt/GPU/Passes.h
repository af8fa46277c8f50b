// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_GPU_PASSES_H
#define ELFATT_GPU_PASSES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace elfatt::gpu {
#define GEN_PASS_DECL
#include "elfatt/GPU/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "elfatt/GPU/Passes.h.inc"
} // namespace elfatt::gpu

#endif // ELFATT_GPU_PASSES_H
