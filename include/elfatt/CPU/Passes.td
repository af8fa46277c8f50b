// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_CPU_PASSES_TD
#define ELFATT_CPU_PASSES_TD

include "mlir/Pass/PassBase.td"

#endif // ELFATT_CPU_PASSES_TD
