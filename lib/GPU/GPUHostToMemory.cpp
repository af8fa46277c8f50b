// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUHOSTTOMEMORYPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;
namespace mg = mlir::gpu;

/// The op that does the same on the host; nothing where the host has nothing to do. What the
/// host allocates the host frees where it sees fit.
void lower(Operation *op) {
  OpBuilder b(op);
  Location loc = op->getLoc();
  if (auto alloc = dyn_cast<mg::AllocOp>(op)) {
    Value memref = memref::AllocOp::create(b, loc, alloc.getType(), alloc.getDynamicSizes(),
                                           alloc.getSymbolOperands());
    alloc.getMemref().replaceAllUsesWith(memref);
  } else if (auto copy = dyn_cast<mg::MemcpyOp>(op)) {
    memref::CopyOp::create(b, loc, copy.getSrc(), copy.getDst());
  } else if (auto set = dyn_cast<mg::MemsetOp>(op)) {
    linalg::FillOp::create(b, loc, ValueRange{set.getValue()}, ValueRange{set.getDst()});
  }
}

struct GPUHostToMemoryPass : impl::GPUHostToMemoryPassBase<GPUHostToMemoryPass> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    WalkResult result = getOperation().walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (isa<mg::GPUModuleOp>(op))
        return WalkResult::skip();
      if (isa<mg::AllocOp, mg::DeallocOp, mg::MemcpyOp, mg::MemsetOp, mg::WaitOp,
              mg::HostRegisterOp, mg::HostUnregisterOp>(op))
        ops.push_back(op);
      else if (auto launch = dyn_cast<mg::LaunchFuncOp>(op); launch && launch.getAsyncToken())
        ops.push_back(op);
      else if (isa<mg::GPUDialect>(op->getDialect()) && !isa<mg::LaunchFuncOp>(op)) {
        op->emitOpError("is not known outside of kernels");
        return WalkResult::interrupt();
      }
      return WalkResult::advance();
    });
    if (result.wasInterrupted())
      return signalPassFailure();
    // Tokens go with the ops that wait for them: what waits comes last.
    for (Operation *op : ops)
      lower(op);
    for (Operation *op : llvm::reverse(ops)) {
      auto launch = dyn_cast<mg::LaunchFuncOp>(op);
      if (!launch) {
        op->dropAllUses();
        op->erase();
        continue;
      }
      OpBuilder b(op);
      mg::LaunchFuncOp::create(b, op->getLoc(), launch.getKernel(),
                               launch.getGridSizeOperandValues(),
                               launch.getBlockSizeOperandValues(),
                               launch.getDynamicSharedMemorySize(), launch.getKernelOperands());
      op->erase();
    }
    getOperation().walk(
        [](mg::LaunchFuncOp launch) { launch.getAsyncDependenciesMutable().clear(); });
  }
};
} // namespace
} // namespace elfatt::gpu
