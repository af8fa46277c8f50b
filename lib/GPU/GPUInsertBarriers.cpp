// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "ScratchPlacement.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/ADT/SetVector.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUINSERTBARRIERSPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;
namespace mg = mlir::gpu;

/// The buffer that a chain of views starts from. Typed views of dynamic shared
/// memory are buffers of their own.
Value getRoot(Value memref) {
  // Not view-like in MLIR 22.
  if (auto transpose = memref.getDefiningOp<memref::TransposeOp>())
    return getRoot(transpose.getIn());
  auto view = memref.getDefiningOp<ViewLikeOpInterface>();
  return view && !isa<memref::ViewOp>(view.getOperation()) ? getRoot(view.getViewSource()) : memref;
}

/// The buffers read and written since the last barrier.
struct Accesses {
  llvm::SmallSetVector<Value, 8> reads, writes;

  bool conflictsWith(const Accesses &later) const {
    auto hits = [](const auto &a, const auto &b) {
      return llvm::any_of(a, [&](Value x) {
        return llvm::any_of(b, [&](Value y) { return haveCommonBytes(x, y); });
      });
    };
    return hits(later.reads, writes) || hits(later.writes, writes) || hits(later.writes, reads);
  }
  bool add(const Accesses &other) {
    bool changed = false;
    for (Value v : other.reads)
      changed |= reads.insert(v);
    for (Value v : other.writes)
      changed |= writes.insert(v);
    return changed;
  }
};

Accesses getAccesses(Operation *op) {
  Accesses result;
  auto effects = dyn_cast<MemoryEffectOpInterface>(op);
  if (!effects)
    return result;
  SmallVector<MemoryEffects::EffectInstance> instances;
  effects.getEffects(instances);
  for (const MemoryEffects::EffectInstance &effect : instances) {
    Value value = effect.getValue();
    if (!value || !isa<MemRefType>(value.getType()))
      continue;
    if (isa<MemoryEffects::Read>(effect.getEffect()))
      result.reads.insert(getRoot(value));
    else if (isa<MemoryEffects::Write>(effect.getEffect()))
      result.writes.insert(getRoot(value));
  }
  return result;
}

struct GPUInsertBarriersPass : impl::GPUInsertBarriersPassBase<GPUInsertBarriersPass> {
  void runOnOperation() override {
    Accesses pending;
    for (Block &block : getOperation().getBody())
      visit(block, pending, /*insert=*/true);
  }

  /// Follows the accesses through one block. With `insert` off it only finds
  /// what is pending at the block's end.
  void visit(Block &block, Accesses &pending, bool insert) {
    for (Operation &op : llvm::make_early_inc_range(block)) {
      if (isa<mg::BarrierOp>(op)) {
        pending = {};
      } else if (op.getNumRegions() == 0) {
        visitAccess(op, pending, insert);
      } else if (isa<LoopLikeOpInterface>(op)) {
        visitLoop(op, pending, insert);
      } else if (isa<linalg::LinalgOp>(op)) {
        visitAccess(op, pending, insert);
      } else {
        Accesses merged = pending;
        for (Region &region : op.getRegions())
          for (Block &nested : region) {
            Accesses branch = pending;
            visit(nested, branch, insert);
            merged.add(branch);
          }
        pending = merged;
      }
    }
  }

  void meet(Operation &op, const Accesses &accesses, Accesses &pending, bool insert) {
    if (!pending.conflictsWith(accesses))
      return;
    if (insert) {
      OpBuilder b(&op);
      mg::BarrierOp::create(b, op.getLoc());
      ++numBarriers;
    }
    pending = {};
  }

  void visitAccess(Operation &op, Accesses &pending, bool insert) {
    Accesses accesses = getAccesses(&op);
    meet(op, accesses, pending, insert);
    pending.add(accesses);
  }

  /// What conflicts with accesses before the loop waits before the loop. Within
  /// it, an iteration follows the one before: what is pending at the end of the
  /// body is pending at its start, until nothing is added.
  void visitLoop(Operation &loop, Accesses &pending, bool insert) {
    Accesses inside;
    loop.walk([&](Operation *op) { inside.add(getAccesses(op)); });
    meet(loop, inside, pending, insert);
    Accesses before = pending, entry = pending;
    auto body = [&](bool insertNow) {
      Accesses state = entry;
      for (Region &region : loop.getRegions())
        for (Block &block : region)
          visit(block, state, insertNow);
      return state;
    };
    while (entry.add(body(/*insertNow=*/false)))
      ;
    pending = body(insert);
    pending.add(before); // no iteration at all
  }
};
} // namespace
} // namespace elfatt::gpu
