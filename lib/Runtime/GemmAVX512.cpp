// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmKernel.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#else
#pragma GCC target("avx512f")
#endif

#define ELFATT_LANES 16
#define ELFATT_ROWS 8
#define ELFATT_VECTORS 3
#define ELFATT_GEMM_NAME gemmAVX512

namespace elfatt::runtime {
#include "GemmKernel.inc"
} // namespace elfatt::runtime

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
