// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "Layout/LayoutAnalysis.h"

using namespace mlir;

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUASSIGNLAYOUTSPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
/// Whether an op makes its vector in any layout at no cost but its own: constants, masks and
/// positions, and what is read again from memory, right behind the first time.
bool isMadeInAnyLayout(Operation *op) {
  if (auto read = dyn_cast<vector::TransferReadOp>(op))
    return !isInRegisters(read.getBase()) && !read.getMask();
  if (auto broadcast = dyn_cast<vector::BroadcastOp>(op))
    return !isa<VectorType>(broadcast.getSourceType());
  return isa<arith::ConstantOp, vector::StepOp, vector::CreateMaskOp, vector::ConstantMaskOp>(op);
}

struct GPUAssignLayoutsPass : impl::GPUAssignLayoutsPassBase<GPUAssignLayoutsPass> {
  using GPUAssignLayoutsPassBase::GPUAssignLayoutsPassBase;
  void runOnOperation() override {
    llvm::Expected<const target::Chip *> found = target::findChip(chip);
    if (!found) {
      emitError(getOperation().getLoc()) << llvm::toString(found.takeError());
      return signalPassFailure();
    }
    LayoutAnalysis layouts(getOperation(), **found);
    SmallVector<std::pair<OpOperand *, FragmentLayout>> operands;
    SmallVector<std::pair<OpResult, FragmentLayout>> results;
    // Vectors that no layout fits are for `elfatt-gpu-distribute` to refuse.
    auto differ = [&](Value value, const FragmentLayout &other) {
      const FragmentLayout &layout = layouts[value];
      return !(layout == other) && layout.rank() <= 2 && layout.isValid() && other.isValid();
    };
    getOperation().walk<WalkOrder::PreOrder>([&](Operation *op) {
      for (OpOperand &operand : op->getOpOperands())
        if (std::optional<FragmentLayout> wanted = layouts.getWanted(operand);
            wanted && differ(operand.get(), *wanted))
          operands.push_back({&operand, *wanted});
      for (OpResult result : op->getResults())
        if (isa<VectorType>(result.getType()))
          if (FragmentLayout made = layouts.getMade(result); differ(result, made))
            results.push_back({result, made});
    });
    OpBuilder b(&getContext());
    auto lanes = [&](const FragmentLayout &layout) {
      return attention::LanesAttr::get(&getContext(), layout.getDims());
    };
    auto convert = [&](Value value, const FragmentLayout &from, const FragmentLayout &to) {
      ++numChanges;
      return attention::ConvertLayoutOp::create(b, value.getLoc(), value, lanes(from), lanes(to));
    };
    for (auto &[operand, wanted] : operands) {
      Value value = operand->get();
      Operation *maker = value.getDefiningOp();
      if (maker && isMadeInAnyLayout(maker)) {
        b.setInsertionPointAfter(maker);
        operand->set(b.clone(*maker)->getResult(0));
        continue;
      }
      b.setInsertionPoint(operand->getOwner());
      operand->set(convert(value, layouts[value], wanted));
    }
    for (auto &[result, made] : results) {
      b.setInsertionPointAfter(result.getOwner());
      auto change = convert(result, made, layouts[result]);
      result.replaceAllUsesExcept(change, change);
    }
  }
};
} // namespace
} // namespace elfatt::gpu
