// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What is known about alignment, in elements, from the IR alone.
#ifndef ELFATT_LIB_GPU_LAYOUT_ALIGNMENT_H
#define ELFATT_LIB_GPU_LAYOUT_ALIGNMENT_H

#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/Value.h"

namespace elfatt::gpu {

/// Bytes that scratch and the pointers handed to a kernel are aligned to.
constexpr int64_t kPointerAlignment = 16;

/// True if the index is known to be a multiple of `n`.
bool isKnownMultipleOf(mlir::OpFoldResult index, int64_t n);

/// True if the memref's innermost dim is contiguous and every row of it is
/// known to start at a multiple of `n` elements from an aligned pointer.
bool hasRowsAlignedTo(mlir::Value memref, int64_t n);

/// True if `n` elements of the memref at the indices are known to be contiguous
/// and aligned to their own size.
bool isChunkAligned(mlir::Value memref, mlir::ArrayRef<mlir::OpFoldResult> indices, int64_t n);

} // namespace elfatt::gpu

#endif // ELFATT_LIB_GPU_LAYOUT_ALIGNMENT_H
