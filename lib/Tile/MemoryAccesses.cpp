// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "MemoryAccesses.h"

#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;

namespace elfatt::tile {

/// What `memref` is a view of, or null.
static Value getSource(Value memref) {
  if (auto view = memref.getDefiningOp<ViewLikeOpInterface>())
    return view.getViewSource();
  // Not view-like in MLIR 22.
  if (auto transpose = memref.getDefiningOp<memref::TransposeOp>())
    return transpose.getIn();
  return {};
}

static Value getBase(Value memref) {
  while (Value source = getSource(memref))
    memref = source;
  return memref;
}

/// The value outside of `op` that `memref`, used inside, is a view of; null if it views
/// memory that is allocated inside.
static Value findCaptured(Operation *op, Value memref) {
  auto isInside = [&](Value value) {
    Operation *owner = value.getParentBlock()->getParentOp();
    return op->isAncestor(owner);
  };
  while (memref && isInside(memref))
    memref = getSource(memref);
  return memref;
}

static bool isAllocation(Value memref) {
  return isa_and_nonnull<memref::AllocOp, memref::AllocaOp>(memref.getDefiningOp());
}

static bool isArgument(Value memref) {
  auto argument = dyn_cast<BlockArgument>(memref);
  return argument && isa<FunctionOpInterface>(argument.getOwner()->getParentOp());
}

static bool areDistinct(Value a, Value b) {
  auto isKnown = [](Value base) {
    return isAllocation(base) || isArgument(base) || base.getDefiningOp<memref::GetGlobalOp>();
  };
  if (a == b || !isKnown(a) || !isKnown(b))
    return false;
  auto first = a.getDefiningOp<memref::GetGlobalOp>(),
       second = b.getDefiningOp<memref::GetGlobalOp>();
  return !first || !second || first.getName() != second.getName();
}

MemoryAccesses::MemoryAccesses(Operation *op) {
  op->walk([&](Operation *inner) {
    // It asks for data and changes none.
    if (isa<memref::PrefetchOp>(inner))
      return WalkResult::advance();
    auto interface = dyn_cast<MemoryEffectOpInterface>(inner);
    if (!interface) {
      isUnknown |= !inner->hasTrait<OpTrait::HasRecursiveMemoryEffects>() &&
                   !inner->hasTrait<OpTrait::IsTerminator>();
      return WalkResult::advance();
    }
    SmallVector<MemoryEffects::EffectInstance> effects;
    interface.getEffects(effects);
    for (const MemoryEffects::EffectInstance &effect : effects) {
      Value memref = effect.getValue();
      if (isa<MemoryEffects::Allocate>(effect.getEffect()))
        continue;
      if (!memref || !isa<MemRefType>(memref.getType())) {
        isUnknown = true;
        continue;
      }
      Value captured = findCaptured(op, memref);
      // Of an argument of a nested region nothing is known.
      isUnknown |= !captured && !isAllocation(getBase(memref));
      if (captured)
        (isa<MemoryEffects::Read>(effect.getEffect()) ? reads : writes)
            .push_back({getBase(captured), cast<MemRefType>(captured.getType())});
    }
    return WalkResult::advance();
  });
}

bool MemoryAccesses::isIndependentOf(const MemoryAccesses &other) const {
  auto isNothing = [](const MemoryAccesses &x) {
    return !x.isUnknown && x.reads.empty() && x.writes.empty();
  };
  if (isNothing(*this) || isNothing(other))
    return true;
  if (isUnknown || other.isUnknown)
    return false;
  auto apart = [](ArrayRef<MemoryRegion> a, ArrayRef<MemoryRegion> b) {
    return llvm::all_of(a, [&](const MemoryRegion &x) {
      return llvm::all_of(b, [&](const MemoryRegion &y) { return areDisjoint(x, y); });
    });
  };
  return apart(writes, other.writes) && apart(writes, other.reads) && apart(reads, other.writes);
}

namespace {
struct Layout {
  int64_t offset;
  SmallVector<int64_t> strides;
  ArrayRef<int64_t> sizes;
};

/// The least and the largest element that a view has, modulo `period` (0: as they are).
struct Interval {
  int64_t first, last;
};
} // namespace

static std::optional<Layout> getLayout(MemRefType type) {
  Layout layout{0, {}, type.getShape()};
  if (failed(type.getStridesAndOffset(layout.strides, layout.offset)) ||
      ShapedType::isDynamic(layout.offset) || ShapedType::isDynamicShape(layout.strides) ||
      llvm::any_of(layout.strides, [](int64_t stride) { return stride < 0; }))
    return std::nullopt;
  return layout;
}

static std::optional<Interval> getInterval(const Layout &layout, int64_t period) {
  int64_t first = period ? layout.offset % period : layout.offset, last = first;
  for (auto [size, stride] : llvm::zip_equal(layout.sizes, layout.strides)) {
    if (size == 1 || stride == 0 || (period && stride % period == 0))
      continue;
    if (ShapedType::isDynamic(size))
      return std::nullopt;
    last += (size - 1) * stride;
  }
  if (period && last >= period)
    return std::nullopt;
  return Interval{first, last};
}

bool areDisjoint(const MemoryRegion &a, const MemoryRegion &b) {
  if (llvm::is_contained(a.view.getShape(), 0) || llvm::is_contained(b.view.getShape(), 0))
    return true;
  if (a.base != b.base)
    return areDistinct(a.base, b.base);
  std::optional<Layout> x = getLayout(a.view), y = getLayout(b.view);
  if (!x || !y)
    return false;
  // Along the dim of some stride one view ends before the other begins, over and over:
  // heads of rows of channels, tokens of a batch.
  SmallVector<int64_t> periods{0};
  llvm::append_range(periods, x->strides);
  llvm::append_range(periods, y->strides);
  return llvm::any_of(periods, [&](int64_t period) {
    std::optional<Interval> i = getInterval(*x, period), j = getInterval(*y, period);
    return i && j && (i->last < j->first || j->last < i->first);
  });
}

} // namespace elfatt::tile
