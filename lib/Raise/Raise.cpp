// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Passes.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Raise/Sites.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Pass/PassManager.h"

namespace elfatt::raise {
#define GEN_PASS_DEF_RAISEPASS
#include "elfatt/Raise/Passes.h.inc"
} // namespace elfatt::raise

using namespace mlir;
using namespace elfatt;

namespace {
/// Functions as they were, so that those without a site can stay so.
class Sources {
public:
  explicit Sources(Operation *module) {
    module->walk([&](func::FuncOp func) { sources.emplace_back(func, func.clone()); });
  }

  void restoreWithoutSites() {
    for (auto &[func, source] : sources)
      if (!raise::hasSites(func)) {
        func->setAttrs(source.get()->getAttrDictionary());
        func.getBody().takeBody(source.get().getBody());
      }
  }

private:
  SmallVector<std::pair<func::FuncOp, OwningOpRef<func::FuncOp>>, 0> sources;
};

struct RaisePass : raise::impl::RaisePassBase<RaisePass> {
  using Base::Base;

  void runOnOperation() override {
    Sources sources(getOperation());
    OpPassManager pipeline(getOperation()->getName());
    pipeline.addPass(raise::createToLinalgPass());
    pipeline.addPass(raise::createContractProductsPass());
    pipeline.addPass(raise::createRaiseAttentionPass({strict}));
    pipeline.addPass(raise::createRaiseElfattPass());
    // Sizes of what was replaced would keep it.
    pipeline.addPass(memref::createResolveRankedShapeTypeResultDimsPass());
    pipeline.addPass(raise::createSimplifySizesPass());
    if (failed(runPipeline(pipeline, getOperation())))
      return signalPassFailure();
    sources.restoreWithoutSites();
    if (remarks)
      raise::emitRemarks(getOperation());
  }
};
} // namespace
