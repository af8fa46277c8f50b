// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUEXTERNALIZESHAREDPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;

/// Address space of shared memory in NVPTX.
constexpr unsigned kSharedSpace = 3;

struct GPUExternalizeSharedPass : impl::GPUExternalizeSharedPassBase<GPUExternalizeSharedPass> {
  void runOnOperation() override {
    for (auto global : getOperation().getOps<LLVM::GlobalOp>()) {
      auto array = dyn_cast<LLVM::LLVMArrayType>(global.getType());
      if (array && array.getNumElements() == 0 && global.getAddrSpace() == kSharedSpace)
        global.setLinkage(LLVM::Linkage::External);
    }
  }
};
} // namespace
} // namespace elfatt::gpu
