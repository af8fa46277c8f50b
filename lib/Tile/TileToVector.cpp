// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/Passes.h"

#include "LepeTerm.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include "llvm/ADT/TypeSwitch.h"

namespace elfatt::tile {
#define GEN_PASS_DEF_TILETOVECTORPASS
#include "elfatt/Tile/Passes.h.inc"

using namespace mlir;
using namespace elfatt::attention;

namespace {
struct TileToVectorPass : impl::TileToVectorPassBase<TileToVectorPass> {
  using TileToVectorPassBase::TileToVectorPassBase;

  /// Takes LePEs that add to the rows of the part just before them out of `ops`;
  /// returns them by that part, which is moved to their place.
  static llvm::DenseMap<Operation *, LepeOp> joinTerms(SmallVector<Operation *> &ops) {
    llvm::DenseMap<Operation *, LepeOp> terms;
    llvm::erase_if(ops, [&](Operation *op) {
      auto lepe = dyn_cast<LepeOp>(op);
      Operation *part = op->getPrevNode();
      while (part && isMemoryEffectFree(part))
        part = part->getPrevNode();
      if (!lepe || !part || !LepeTerm::follows(lepe, part))
        return false;
      part->moveBefore(op);
      terms[part] = lepe;
      return true;
    });
    return terms;
  }

  void runOnOperation() override {
    MachineLimits limits{machine, vectorBits, vectorRegisters};
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (isa_and_nonnull<AttentionDialect>(op->getDialect()) && !isa<YieldOp>(op))
        ops.push_back(op);
    });
    llvm::DenseMap<Operation *, LepeOp> terms;
    if (machine == Machine::CPU)
      terms = joinTerms(ops);
    for (Operation *op : ops) {
      if (!cast<DestinationStyleOpInterface>(op).hasPureBufferSemantics()) {
        op->emitOpError("expected buffers; run bufferization first");
        return signalPassFailure();
      }
      LogicalResult lowered =
          llvm::TypeSwitch<Operation *, LogicalResult>(op)
              .Case([&](SdpaOp sdpa) { return lowerSdpa(sdpa, limits, terms.lookup(op)); })
              .Case([&](OnlineOp online) { return lowerOnline(online, limits); })
              .Case([&](FinalizeOp finalize) {
                return lowerFinalize(finalize, limits, terms.lookup(op));
              })
              .Case([&](ContextOp context) { return lowerContext(context, limits); })
              .Case([&](ApplyOp apply) { return lowerApply(apply, limits, terms.lookup(op)); })
              .Case([&](LepeOp lepe) { return lowerLepe(lepe, limits); })
              .Default([](Operation *other) {
                return other->emitOpError("is not a part; run elfatt-tile-decompose first");
              });
      if (failed(lowered))
        return signalPassFailure();
      if (LepeOp lepe = terms.lookup(op))
        lepe->erase();
      op->erase();
      ++numLowered;
    }
  }
};
} // namespace
} // namespace elfatt::tile
