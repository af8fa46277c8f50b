// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "Distributor.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUDISTRIBUTEPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
struct GPUDistributePass : impl::GPUDistributePassBase<GPUDistributePass> {
  void runOnOperation() override {
    mlir::gpu::GPUFuncOp func = getOperation();
    LayoutAnalysis layouts(func);
    Distributor distributor(func, layouts);
    if (mlir::failed(distributor.run()))
      return signalPassFailure();
    numMma += distributor.numMma;
    numConverted += distributor.numConverted;
  }
};
} // namespace
} // namespace elfatt::gpu
