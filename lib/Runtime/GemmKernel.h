// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RUNTIME_GEMMKERNEL_H
#define ELFATT_LIB_RUNTIME_GEMMKERNEL_H

#include <stdint.h>

namespace elfatt::runtime {

/// c = a * b, or += with `accumulate`: m x k by k x n, k > 0. The element (r, s)
/// of a matrix lies at r * row + s * column.
struct GemmOperands {
  int64_t m, n, k;
  const float *a;
  int64_t aRow, aColumn;
  const float *b;
  int64_t bRow, bColumn;
  float *c;
  int64_t cRow, cColumn;
  bool accumulate;
};

/// Rows of the right matrix that are packed at a time.
constexpr int64_t kPanelDepth = 256;
/// Panels of it that are there at once.
constexpr int64_t kPanelsAtOnce = 4;
/// Floats of scratch that a kernel needs: panels of three vectors of 16, and eight
/// rows of the left matrix. 204 KB.
constexpr int64_t kGemmScratch = kPanelDepth * (kPanelsAtOnce * 3 * 16 + 8);

void gemmBaseline(const GemmOperands &g, float *scratch);
#if defined(__x86_64__)
void gemmAVX2(const GemmOperands &g, float *scratch);
void gemmAVX512(const GemmOperands &g, float *scratch);
#endif

} // namespace elfatt::runtime

#endif // ELFATT_LIB_RUNTIME_GEMMKERNEL_H
