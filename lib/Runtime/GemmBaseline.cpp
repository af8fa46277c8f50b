// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmKernel.h"

// What every processor of the architecture has: 16 registers of SSE, or the 32
// of NEON.
#define ELFATT_LANES 4
#if defined(__aarch64__)
#define ELFATT_ROWS 8
#define ELFATT_VECTORS 3
#else
#define ELFATT_ROWS 6
#define ELFATT_VECTORS 2
#endif
#define ELFATT_GEMM_NAME gemmBaseline

namespace elfatt::runtime {
#include "GemmKernel.inc"
} // namespace elfatt::runtime
