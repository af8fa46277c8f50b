// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Passes.h"

#include "mlir/Conversion/TosaToArith/TosaToArith.h"
#include "mlir/Conversion/TosaToLinalg/TosaToLinalg.h"
#include "mlir/Conversion/TosaToSCF/TosaToSCF.h"
#include "mlir/Conversion/TosaToTensor/TosaToTensor.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
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
#define GEN_PASS_DEF_TOLINALGPASS
#include "elfatt/Raise/Passes.h.inc"
} // namespace elfatt::raise

using namespace mlir;
using namespace elfatt;

static bool hasTosa(Operation *module) {
  return module
      ->walk([](Operation *op) {
        return isa_and_nonnull<tosa::TosaDialect>(op->getDialect()) ? WalkResult::interrupt()
                                                                    : WalkResult::advance();
      })
      .wasInterrupted();
}

namespace {
struct ToLinalgPass : raise::impl::ToLinalgPassBase<ToLinalgPass> {
  using Base::Base;

  void runOnOperation() override {
    OpPassManager pipeline(getOperation()->getName());
    if (hasTosa(getOperation())) {
      // What an accelerator's profile allows is no concern here.
      tosa::addTosaToLinalgPasses(pipeline, TosaToLinalgOptions(), TosaToLinalgNamedOptions(),
                                  /*validationOptions=*/std::nullopt);
      pipeline.addNestedPass<func::FuncOp>(createTosaToArithPass());
      pipeline.addNestedPass<func::FuncOp>(createTosaToTensorPass());
      pipeline.addNestedPass<func::FuncOp>(createTosaToSCFPass());
    }
    pipeline.addPass(createConvertElementwiseToLinalgPass());
    if (failed(runPipeline(pipeline, getOperation())))
      signalPassFailure();
  }
};
} // namespace
