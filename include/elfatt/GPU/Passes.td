// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_GPU_PASSES_TD
#define ELFATT_GPU_PASSES_TD

include "mlir/Pass/PassBase.td"

#endif // ELFATT_GPU_PASSES_TD
