// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/Passes.h"

#include "MemoryAccesses.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Transforms/LoopInvariantCodeMotionUtils.h"
#include "mlir/Transforms/RegionUtils.h"

namespace elfatt::tile {
#define GEN_PASS_DEF_TILEHOISTSTAGINGPASS
#include "elfatt/Tile/Passes.h.inc"

using namespace mlir;

namespace {

bool isScratch(Value buffer) {
  auto alloca = buffer.getDefiningOp<memref::AllocaOp>();
  return alloca && gpu::GPUDialect::hasWorkgroupMemoryAddressSpace(alloca.getType());
}

/// An op of a loop's body that touches memory.
struct Step {
  Operation *op;
  MemoryAccesses accesses;
  /// Makes the same in each iteration, before anybody in the loop asks for it.
  bool isInvariant;
};

/// Finds the steps of `loop` that could as well run once before it.
class Hoister {
public:
  explicit Hoister(scf::ForOp loop) : loop(loop) {
    for (Operation &op : loop.getBody()->without_terminator()) {
      if (isMemoryEffectFree(&op) || isa<memref::AllocaOp>(op))
        continue;
      steps.push_back({&op, MemoryAccesses(&op), isa<linalg::LinalgOp, scf::ForallOp>(op)});
    }
  }

  /// Moves them; returns how many they are.
  unsigned run();

private:
  bool isInvariant(size_t number) const;
  bool dependsOnLoop(Operation *op) const;
  void moveOut(Operation *op);

  scf::ForOp loop;
  SmallVector<Step> steps;
};
} // namespace

/// Whether `op` needs a value that the loop computes, other than the place of its scratch.
bool Hoister::dependsOnLoop(Operation *op) const {
  SetVector<Value> values;
  values.insert_range(op->getOperands());
  getUsedValuesDefinedAbove(op->getRegions(), values);
  return llvm::any_of(values, [&](Value value) {
    if (!loop->getRegion(0).isAncestor(value.getParentRegion()))
      return false;
    Operation *def = value.getDefiningOp();
    return !def || (!isa<memref::AllocaOp>(def) &&
                    (!isMemoryEffectFree(def) || def->getNumRegions() != 0 || dependsOnLoop(def)));
  });
}

/// As long as the steps that are marked so far are.
bool Hoister::isInvariant(size_t number) const {
  const Step &step = steps[number];
  if (step.accesses.isUnknown || dependsOnLoop(step.op))
    return false;
  auto isTouched = [](const MemoryRegion &region, ArrayRef<MemoryRegion> by) {
    return llvm::any_of(by, [&](const MemoryRegion &other) { return !areDisjoint(region, other); });
  };
  for (const MemoryRegion &written : step.accesses.writes) {
    if (!isScratch(written.base))
      return false;
    // Nobody reads what an iteration before left, and nobody else writes it.
    const MemoryRegion whole{written.base, cast<MemRefType>(written.base.getType())};
    for (auto [i, other] : llvm::enumerate(steps))
      if ((i <= number && isTouched(whole, other.accesses.reads)) ||
          (!other.isInvariant && isTouched(whole, other.accesses.writes)))
        return false;
  }
  for (const MemoryRegion &read : step.accesses.reads)
    for (auto [i, other] : llvm::enumerate(steps))
      if ((i >= number || !other.isInvariant) && isTouched(read, other.accesses.writes))
        return false;
  return true;
}

/// Moves `op` before the loop, after what it needs of the loop's body.
void Hoister::moveOut(Operation *op) {
  SetVector<Value> values;
  values.insert_range(op->getOperands());
  getUsedValuesDefinedAbove(op->getRegions(), values);
  for (Value value : values)
    if (Operation *def = value.getDefiningOp(); def && loop->isProperAncestor(def))
      moveOut(def);
  op->moveBefore(loop);
}

unsigned Hoister::run() {
  if (llvm::any_of(steps, [](const Step &step) { return step.accesses.isUnknown; }))
    return 0;
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < steps.size(); ++i)
      if (steps[i].isInvariant && !isInvariant(i)) {
        steps[i].isInvariant = false;
        changed = true;
      }
  }
  unsigned numMoved = 0;
  for (const Step &step : steps)
    if (step.isInvariant) {
      moveOut(step.op);
      ++numMoved;
    }
  return numMoved;
}

namespace {
struct TileHoistStagingPass : impl::TileHoistStagingPassBase<TileHoistStagingPass> {
  using TileHoistStagingPassBase::TileHoistStagingPassBase;

  void runOnOperation() override {
    getOperation()->walk([&](scf::ForOp loop) {
      // A loop that a whole block runs: of a warp's own nothing is staged.
      auto worker = loop->getParentOfType<scf::ForallOp>();
      if (!worker || worker->getParentOfType<scf::ForallOp>())
        return;
      moveLoopInvariantCode(loop);
      numHoisted += Hoister(loop).run();
    });
  }
};
} // namespace
} // namespace elfatt::tile
