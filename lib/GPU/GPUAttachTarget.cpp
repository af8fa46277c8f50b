// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "elfatt/Target/Chip.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUATTACHTARGETPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;

struct GPUAttachTargetPass : impl::GPUAttachTargetPassBase<GPUAttachTargetPass> {
  using GPUAttachTargetPassBase::GPUAttachTargetPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    llvm::Expected<const target::Chip *> found = target::findChip(chip);
    llvm::Error error = found.takeError();
    std::string features;
    if (!error) {
      llvm::Expected<target::PtxVersion> ptx = target::getPtxVersion(**found, cuda);
      if (ptx)
        features = ptx->feature();
      else
        error = ptx.takeError();
    }
    if (error) {
      emitError(module.getLoc()) << llvm::toString(std::move(error));
      return signalPassFailure();
    }
    Builder b(module.getContext());
    auto attr = NVVM::NVVMTargetAttr::get(b.getContext(), /*optLevel=*/3, "nvptx64-nvidia-cuda",
                                          (*found)->name, features);
    module.walk([&](mlir::gpu::GPUModuleOp kernels) {
      kernels.setTargetsAttr(b.getArrayAttr({attr}));
      return WalkResult::skip();
    });
  }
};
} // namespace
} // namespace elfatt::gpu
