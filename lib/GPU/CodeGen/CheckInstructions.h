// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// LLVM ends the process on an instruction that the chip lacks: look before.
#ifndef ELFATT_LIB_GPU_CODEGEN_CHECKINSTRUCTIONS_H
#define ELFATT_LIB_GPU_CODEGEN_CHECKINSTRUCTIONS_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace elfatt::gpu {

/// Whether each target of the module is an #nvvm.target that LLVM takes, and has what the kernels
/// use; else there is an error at the kernel.
mlir::LogicalResult checkInstructions(mlir::gpu::GPUModuleOp kernels);

} // namespace elfatt::gpu

#endif // ELFATT_LIB_GPU_CODEGEN_CHECKINSTRUCTIONS_H
