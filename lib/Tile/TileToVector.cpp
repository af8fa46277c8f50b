// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/Passes.h"

#include "Elementwise/ElementwiseTerm.h"
#include "Lowering/LepeTerm.h"
#include "Lowering/LowerParts.h"
#include "Sizes/PartShape.h"
#include "TilingPass.h"
#include "elfatt/Dialect/Attention/IR/TileAttributes.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

#include "llvm/ADT/TypeSwitch.h"

namespace elfatt::tile {
#define GEN_PASS_DEF_TILETOVECTORPASS
#include "elfatt/Tile/Passes.h.inc"

using namespace mlir;
using namespace elfatt::attention;

namespace {
struct TileToVectorPass : TilingPass<impl::TileToVectorPassBase<TileToVectorPass>> {
  using TilingPass::TilingPass;

  /// Takes LePEs that add to the rows of the part just before them out of `ops`, and
  /// notes them for that part, which is moved to their place.
  void joinTerms(SmallVector<Operation *> &ops, llvm::DenseMap<Operation *, Followers> &followers) {
    llvm::erase_if(ops, [&](Operation *op) {
      auto lepe = dyn_cast<LepeOp>(op);
      Operation *part = op->getPrevNode();
      while (part && isMemoryEffectFree(part))
        part = part->getPrevNode();
      // The rows of finalize do not lie flat in scratch.
      if (!lepe || !part || !LepeTerm::follows(lepe, part) ||
          (machine == Machine::GPU && isa<FinalizeOp>(part)))
        return false;
      part->moveBefore(op);
      followers[part].lepe = lepe;
      return true;
    });
  }

  /// The op after `op` that may touch memory; allocations do not count.
  static Operation *nextInMemory(Operation *op) {
    do
      op = op->getNextNode();
    while (op && (isMemoryEffectFree(op) || isa<memref::AllocOp, memref::AllocaOp>(op)));
    return op;
  }

  /// Elementwise ops that follow a part at once and read what it made: joined on the CPU,
  /// where the part is moved to their place, else on their own.
  void findElementwise(ArrayRef<Operation *> ops, llvm::DenseMap<Operation *, Followers> &followers,
                       SmallVectorImpl<linalg::GenericOp> &alone) {
    for (Operation *op : ops) {
      Operation *last = followers[op].lepe ? followers[op].lepe : op;
      auto next = dyn_cast_or_null<linalg::GenericOp>(nextInMemory(last));
      Value made = cast<DestinationStyleOpInterface>(op).getDpsInits()[0];
      if (!next || !next.hasPureBufferSemantics() || !findRowsOperand(next, made, machine))
        continue;
      bool isStored = next.getDpsInits()[0] != made && !isReadBy(made, op, next);
      if (machine != Machine::CPU || !isa<SdpaOp, ApplyOp, FinalizeOp>(op) || isStored) {
        alone.push_back(next);
        continue;
      }
      op->moveBefore(next);
      followers[op].elementwise = next;
    }
  }

  /// Whether `buffer` is scratch that `part` and its LePE write and `reader` alone reads.
  static bool isReadBy(Value buffer, Operation *part, Operation *reader) {
    Value root = buffer;
    while (auto view = root.getDefiningOp<ViewLikeOpInterface>())
      root = view.getViewSource();
    if (!isa_and_nonnull<memref::AllocOp, memref::AllocaOp>(root.getDefiningOp()))
      return false;
    SmallVector<Value> views = {root};
    while (!views.empty())
      for (Operation *user : views.pop_back_val().getUsers()) {
        bool writes = user == part || (isa<LepeOp>(user) && user->getBlock() == part->getBlock());
        if (isa<ViewLikeOpInterface>(user))
          views.push_back(user->getResult(0));
        else if (!writes && user != reader && !isa<memref::DimOp, memref::DeallocOp>(user))
          return false;
      }
    return true;
  }

  /// Says on each worker's loop how many warps are to share a multiprocessor with its own, and how
  /// many of a block have registers for it.
  static void noteWarps(ArrayRef<Operation *> ops, const MachineLimits &limits) {
    struct Warps {
      int64_t occupancy = std::numeric_limits<int64_t>::max(), most = kWarpsPerBlock;
    };
    llvm::MapVector<Operation *, Warps> loops;
    for (Operation *op : ops)
      if (auto loop = op->getParentOfType<scf::ForallOp>()) {
        TileExtents extents = getPartShape(op).extents;
        // Contexts take what rows take that meet them.
        if (isa<ContextOp, PartialContextOp>(op))
          extents.keys = 0;
        const TileParams params = getTileParams(limits, extents);
        Warps &warps = loops[loop];
        warps.occupancy = std::min(warps.occupancy, params.occupancy);
        warps.most = std::min(warps.most, params.mostWarps);
      }
    for (auto [loop, warps] : loops) {
      Builder b(loop->getContext());
      if (warps.occupancy != 0)
        loop->setAttr(attention::kOccupancyAttr, b.getI64IntegerAttr(warps.occupancy));
      if (limits.machine == Machine::GPU && warps.most < kWarpsPerBlock)
        loop->setAttr(attention::kMostWarpsAttr, b.getI64IntegerAttr(warps.most));
    }
  }

  void runOnOperation() override {
    MachineLimits limits = getLimits();
    limits.dotsBF16 = dotsBF16;
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (isa_and_nonnull<AttentionDialect>(op->getDialect()) && !isa<YieldOp>(op))
        ops.push_back(op);
    });
    llvm::DenseMap<Operation *, Followers> followers;
    joinTerms(ops, followers);
    SmallVector<linalg::GenericOp> alone;
    findElementwise(ops, followers, alone);
    noteWarps(ops, limits);
    // Workers that sum a context.
    SmallPtrSet<Operation *, 4> makers;
    for (Operation *op : ops)
      if (isa<ContextOp>(op))
        makers.insert(op->getParentOfType<scf::ForallOp>());
    llvm::DenseMap<Operation *, TwoSteps> joined;
    SmallPtrSet<Operation *, 8> steps;
    for (Operation *op : ops)
      if (auto finalize = dyn_cast<FinalizeOp>(op))
        if (std::optional<TwoSteps> two = matchTwoSteps(finalize, limits)) {
          steps.insert({two->first, two->second});
          joined.insert({op, *two});
        }
    for (Operation *op : ops) {
      if (!cast<DestinationStyleOpInterface>(op).hasPureBufferSemantics()) {
        op->emitOpError("expected buffers; run bufferization first");
        return signalPassFailure();
      }
      if (failed(checkOverrides(op, limits)))
        return signalPassFailure();
      if (steps.contains(op))
        continue;
      auto two = joined.find(op);
      LogicalResult lowered =
          two != joined.end()
              ? lowerTwoSteps(two->second, limits, followers.lookup(op))
              : llvm::TypeSwitch<Operation *, LogicalResult>(op)
                    .Case(
                        [&](SdpaOp sdpa) { return lowerSdpa(sdpa, limits, followers.lookup(op)); })
                    .Case([&](OnlineOp online) { return lowerOnline(online, limits); })
                    .Case([&](FinalizeOp finalize) {
                      return lowerFinalize(finalize, limits, followers.lookup(op));
                    })
                    .Case([&](ContextOp context) { return lowerContext(context, limits); })
                    .Case([&](PartialContextOp part) { return lowerPartialContext(part, limits); })
                    .Case([&](MergeOp merge) { return lowerMerge(merge, limits); })
                    .Case([&](ApplyOp apply) {
                      return lowerApply(apply, limits, followers.lookup(op),
                                        makers.contains(op->getParentOfType<scf::ForallOp>()));
                    })
                    .Case([&](LepeOp lepe) { return lowerLepe(lepe, limits); })
                    .Default([](Operation *other) {
                      return other->emitOpError("is not a part; run elfatt-tile-decompose first");
                    });
      if (failed(lowered))
        return signalPassFailure();
      auto [lepe, elementwise] = followers.lookup(op);
      if (elementwise)
        elementwise->erase();
      if (lepe)
        lepe->erase();
      op->erase();
      ++numLowered;
      if (two == joined.end())
        continue;
      numLowered += 2;
      two->second.second->erase();
      two->second.first->erase();
      for (Operation *fill : two->second.fills)
        fill->erase();
    }
    for (linalg::GenericOp op : alone) {
      if (failed(lowerElementwise(op, limits)))
        return signalPassFailure();
      op->erase();
      ++numLowered;
    }
  }
};
} // namespace
} // namespace elfatt::tile
