// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Passes.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Raise/Sites.h"
#include "mlir/Pass/PassManager.h"

namespace elfatt::raise {
#define GEN_PASS_DEF_RAISEPASS
#include "elfatt/Raise/Passes.h.inc"
} // namespace elfatt::raise

using namespace mlir;
using namespace elfatt;

namespace {
struct RaisePass : raise::impl::RaisePassBase<RaisePass> {
  using Base::Base;

  void runOnOperation() override {
    OpPassManager pipeline(getOperation()->getName());
    pipeline.addPass(raise::createRaiseAttentionPass({strict}));
    pipeline.addPass(raise::createRaiseElfattPass());
    if (failed(runPipeline(pipeline, getOperation())))
      return signalPassFailure();
    if (remarks)
      raise::emitRemarks(getOperation());
  }
};
} // namespace
