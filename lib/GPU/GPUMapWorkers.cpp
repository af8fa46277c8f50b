// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUMAPWORKERSPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;
namespace mg = mlir::gpu;

struct GPUMapWorkersPass : impl::GPUMapWorkersPassBase<GPUMapWorkersPass> {
  void runOnOperation() override {
    SmallVector<Operation *> single;
    getOperation()->walk([&](Operation *op) {
      if (isa_and_nonnull<attention::AttentionDialect>(op->getDialect()) &&
          op->getNumResults() == 0 && !op->hasTrait<OpTrait::IsTerminator>() &&
          !op->getParentOfType<scf::ForallOp>())
        single.push_back(op);
    });
    for (Operation *op : single) {
      OpBuilder b(op);
      // Loops that are mapped are not folded away.
      auto mapping = mg::GPUBlockMappingAttr::get(b.getContext(), mg::MappingId::LinearDim0);
      auto loop = scf::ForallOp::create(b, op->getLoc(), ArrayRef<OpFoldResult>{b.getIndexAttr(1)},
                                        /*outputs=*/ValueRange{}, b.getArrayAttr({mapping}));
      op->moveBefore(loop.getBody()->getTerminator());
    }
  }
};
} // namespace
} // namespace elfatt::gpu
