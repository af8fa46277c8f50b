// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Kernels in LLVM's hands: from the LLVM dialect to PTX.
#ifndef ELFATT_LIB_GPU_CODEGEN_MACHINECODE_H
#define ELFATT_LIB_GPU_CODEGEN_MACHINECODE_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

namespace elfatt::gpu {

/// The PTX of `kernels` for `target`. What others wrote (`isForeign`) has all of LLVM's passes, and
/// libdevice where there is one; what is lowered here the few that it gains by. Errors are at
/// `kernels`.
llvm::FailureOr<std::string> makePtx(mlir::gpu::GPUModuleOp kernels,
                                     mlir::NVVM::NVVMTargetAttr target, bool isForeign);

} // namespace elfatt::gpu

#endif // ELFATT_LIB_GPU_CODEGEN_MACHINECODE_H
