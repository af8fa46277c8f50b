// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUDROPCALLSITESPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;

struct GPUDropCallSitesPass : impl::GPUDropCallSitesPassBase<GPUDropCallSitesPass> {
  void runOnOperation() override {
    getOperation().walk([](Operation *op) {
      auto site = dyn_cast<CallSiteLoc>(op->getLoc());
      if (!site)
        return;
      if (auto place = LocationAttr(site).findInstanceOf<FileLineColLoc>())
        op->setLoc(place);
      else
        op->setLoc(UnknownLoc::get(op->getContext()));
    });
  }
};
} // namespace
} // namespace elfatt::gpu
