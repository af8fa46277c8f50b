// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where the scratch buffers of a worker lie in its shared memory: buffers that are
// never in use together, like those of two cases of a switch, share their bytes.
#ifndef ELFATT_LIB_GPU_SCRATCHPLACEMENT_H
#define ELFATT_LIB_GPU_SCRATCHPLACEMENT_H

#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace elfatt::gpu {

struct ScratchPlacement {
  llvm::SmallVector<int64_t> offsets; // of each buffer, in bytes
  int64_t bytes = 0;                  // of all of them
  bool areShared = false;             // by some that are in use at different times
};

/// Places static buffers of the body `region`, each aligned for the widest access.
ScratchPlacement placeBuffers(mlir::Region &region, llvm::ArrayRef<mlir::memref::AllocaOp> buffers);

/// Whether two buffers, as kernels see them, have bytes in common.
bool haveCommonBytes(mlir::Value a, mlir::Value b);

} // namespace elfatt::gpu

#endif // ELFATT_LIB_GPU_SCRATCHPLACEMENT_H
