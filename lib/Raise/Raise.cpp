// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Passes.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Raise/Sites.h"

#include "mlir/Conversion/TosaToArith/TosaToArith.h"
#include "mlir/Conversion/TosaToLinalg/TosaToLinalg.h"
#include "mlir/Conversion/TosaToSCF/TosaToSCF.h"
#include "mlir/Conversion/TosaToTensor/TosaToTensor.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tosa/IR/TosaOps.h"
#include "mlir/Pass/PassManager.h"

namespace elfatt::raise {
#define GEN_PASS_DEF_RAISEPASS
#include "elfatt/Raise/Passes.h.inc"
} // namespace elfatt::raise

using namespace mlir;
using namespace elfatt;

namespace {
bool hasTosa(ModuleOp module) {
  return module
      .walk([](Operation *op) {
        return isa_and_nonnull<tosa::TosaDialect>(op->getDialect()) ? WalkResult::interrupt()
                                                                    : WalkResult::advance();
      })
      .wasInterrupted();
}

/// Every spelling of tensor algebra that upstream lowers becomes linalg, which is what is read.
void buildToLinalg(OpPassManager &pm, ModuleOp module) {
  if (hasTosa(module)) {
    // What an accelerator's profile allows is no concern here.
    tosa::addTosaToLinalgPasses(pm, TosaToLinalgOptions(), TosaToLinalgNamedOptions(),
                                /*validationOptions=*/std::nullopt);
    pm.addNestedPass<func::FuncOp>(createTosaToArithPass());
    pm.addNestedPass<func::FuncOp>(createTosaToTensorPass());
    pm.addNestedPass<func::FuncOp>(createTosaToSCFPass());
  }
  pm.addPass(createConvertElementwiseToLinalgPass());
}

struct RaisePass : raise::impl::RaisePassBase<RaisePass> {
  using Base::Base;

  void runOnOperation() override {
    OpPassManager pipeline(getOperation()->getName());
    buildToLinalg(pipeline, getOperation());
    pipeline.addPass(raise::createRaiseAttentionPass({strict}));
    pipeline.addPass(raise::createRaiseElfattPass());
    pipeline.addPass(raise::createSimplifySizesPass());
    if (failed(runPipeline(pipeline, getOperation())))
      return signalPassFailure();
    if (remarks)
      raise::emitRemarks(getOperation());
  }
};
} // namespace
