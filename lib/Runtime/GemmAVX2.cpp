// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmKernel.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define ELFATT_LANES 8
#define ELFATT_ROWS 6
#define ELFATT_VECTORS 2
#define ELFATT_GEMM_NAME gemmAVX2

namespace elfatt::runtime {
#include "GemmKernel.inc"
} // namespace elfatt::runtime

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
