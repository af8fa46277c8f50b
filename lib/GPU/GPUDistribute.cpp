// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "Distribute/Distributor.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUDISTRIBUTEPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
struct GPUDistributePass : impl::GPUDistributePassBase<GPUDistributePass> {
  using GPUDistributePassBase::GPUDistributePassBase;
  void runOnOperation() override {
    mlir::gpu::GPUFuncOp func = getOperation();
    llvm::Expected<const target::Chip *> found = target::findChip(chip);
    if (!found) {
      mlir::emitError(func.getLoc()) << llvm::toString(found.takeError());
      return signalPassFailure();
    }
    if (llvm::Error error = tf32 ? target::checkTF32(**found) : llvm::Error::success()) {
      mlir::emitError(func.getLoc()) << llvm::toString(std::move(error));
      return signalPassFailure();
    }
    LayoutAnalysis layouts(func, **found);
    Distributor distributor(func, layouts, **found, tf32);
    if (mlir::failed(distributor.run()))
      return signalPassFailure();
    numMma += distributor.numMma;
    numMatrices += distributor.numMatrices;
  }
};
} // namespace
} // namespace elfatt::gpu
