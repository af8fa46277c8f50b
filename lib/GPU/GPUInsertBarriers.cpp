// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "ScratchPlacement.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
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

/// True if the boxes that two views take of one buffer have no element in common: along
/// some dim one ends where, or before, the other begins.
bool areDisjoint(Value first, Value second) {
  // The boxes on the way to the buffer, of which any two may be of one view.
  auto boxes = [](Value view) {
    SmallVector<memref::SubViewOp> result;
    while (Operation *def = view.getDefiningOp()) {
      if (auto box = dyn_cast<memref::SubViewOp>(def))
        result.push_back(box);
      else if (!isa<memref::ExpandShapeOp, memref::CollapseShapeOp, memref::CastOp>(def))
        break;
      view = def->getOperand(0);
    }
    return result;
  };
  auto endsBefore = [](memref::SubViewOp a, memref::SubViewOp b, unsigned dim) {
    OpFoldResult offset = a.getMixedOffsets()[dim], size = a.getMixedSizes()[dim];
    OpFoldResult next = b.getMixedOffsets()[dim];
    if (isZeroInteger(offset) && isEqualConstantIntOrValue(size, next))
      return true;
    std::optional<int64_t> o = getConstantIntValue(offset), s = getConstantIntValue(size),
                           n = getConstantIntValue(next);
    return o && s && n && *o + *s <= *n;
  };
  for (memref::SubViewOp a : boxes(first))
    for (memref::SubViewOp b : boxes(second)) {
      if (a.getSource() != b.getSource() || !a.hasUnitStride() || !b.hasUnitStride())
        continue;
      for (unsigned dim = 0, rank = a.getSourceType().getRank(); dim < rank; ++dim)
        if (endsBefore(a, b, dim) || endsBefore(b, a, dim))
          return true;
    }
  return false;
}

/// The views of memory read and written since the last barrier.
struct Accesses {
  llvm::SmallSetVector<Value, 8> reads, writes;

  bool conflictsWith(const Accesses &later) const {
    auto hits = [](const auto &a, const auto &b) {
      for (Value x : a)
        for (Value y : b)
          if (haveCommonBytes(getRoot(x), getRoot(y)) && !areDisjoint(x, y))
            return true;
      return false;
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

/// Registers of a lane are nobody else's.
bool isShared(Value memref) {
  auto type = dyn_cast<MemRefType>(memref.getType());
  auto space = type ? dyn_cast_or_null<mg::AddressSpaceAttr>(type.getMemorySpace()) : nullptr;
  return type && !(space && space.getValue() == mg::AddressSpace::Private);
}

Accesses getAccesses(Operation *op) {
  Accesses result;
  auto effects = dyn_cast<MemoryEffectOpInterface>(op);
  if (!effects)
    return result;
  SmallVector<MemoryEffects::EffectInstance> instances;
  effects.getEffects(instances);
  for (const MemoryEffects::EffectInstance &effect : instances) {
    Value value = effect.getValue();
    if (!value || !isShared(value))
      continue;
    if (isa<MemoryEffects::Read>(effect.getEffect()))
      result.reads.insert(value);
    else if (isa<MemoryEffects::Write>(effect.getEffect()))
      result.writes.insert(value);
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
      } else if (isa<scf::ForallOp>(op)) {
        visitWarps(op, pending, insert);
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
      if (op.getParentOfType<scf::ForallOp>())
        NVVM::SyncWarpOp::create(b, op.getLoc(),
                                 arith::ConstantIntOp::create(b, op.getLoc(), -1, 32));
      else
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

  /// A loop over warps: what they do is independent, so that inside it a warp waits for
  /// its own lanes alone.
  void visitWarps(Operation &loop, Accesses &pending, bool insert) {
    Accesses inside, none;
    loop.walk([&](Operation *op) { inside.add(getAccesses(op)); });
    meet(loop, inside, pending, insert);
    for (Block &block : loop.getRegion(0))
      visit(block, none, insert);
    pending.add(inside);
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
