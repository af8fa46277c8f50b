// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ScratchPlacement.h"

#include "Layout/Alignment.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/LoopLikeInterface.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace elfatt::gpu {

static int64_t getBytes(MemRefType type) {
  return llvm::divideCeil(type.getNumElements() * type.getElementTypeBitWidth(), 8);
}

namespace {
/// Places in the order of the program, both inclusive.
struct Interval {
  int64_t first, last;
  bool meets(const Interval &other) const { return first <= other.last && other.first <= last; }
};
} // namespace

static bool isView(Operation *op) { return isa<ViewLikeOpInterface, memref::TransposeOp>(op); }

/// From the first to the last use of a buffer through whatever view; a view alone is none. What is
/// used in a loop is in use as long as that runs, unless each iteration has a buffer of its own.
static Interval getLife(memref::AllocaOp buffer,
                        const llvm::DenseMap<Operation *, Interval> &places) {
  Interval life{std::numeric_limits<int64_t>::max(), 0};
  SmallVector<Operation *> users(buffer->getUsers());
  while (!users.empty()) {
    Operation *user = users.pop_back_val();
    if (isView(user)) {
      llvm::append_range(users, user->getResult(0).getUsers());
      continue;
    }
    Interval use = places.lookup(user);
    for (Operation *around = user->getParentOp(); around && places.contains(around);
         around = around->getParentOp())
      if (isa<LoopLikeOpInterface>(around) && !around->isAncestor(buffer))
        use = places.lookup(around);
    life = {std::min(life.first, use.first), std::max(life.last, use.last)};
  }
  return life;
}

namespace {
/// Buffers by what matters of where they lie.
struct Buffers {
  SmallVector<Interval> lives;
  SmallVector<int64_t> sizes; // in bytes

  /// The least that any placement needs: what is in use where most is.
  int64_t getBound() const {
    int64_t bound = 0;
    for (const Interval &at : lives) {
      int64_t used = 0;
      for (auto [life, size] : llvm::zip_equal(lives, sizes))
        used += life.first <= at.first && at.first <= life.last ? size : 0;
      bound = std::max(bound, used);
    }
    return bound;
  }

  /// Those that are in use at the same time as buffer `i`.
  int64_t countMet(int64_t i) const {
    return llvm::count_if(lives, [&](const Interval &life) { return life.meets(lives[i]); });
  }

  /// One after the other, each as low as those before it leave room.
  ScratchPlacement place(ArrayRef<int64_t> order) const {
    ScratchPlacement placement;
    placement.offsets.resize(sizes.size());
    for (auto [placed, i] : llvm::enumerate(order)) {
      int64_t offset = 0;
      for (bool moved = true; moved;) {
        moved = false;
        for (int64_t j : order.take_front(placed)) {
          int64_t other = placement.offsets[j];
          if (lives[i].meets(lives[j]) && offset < other + sizes[j] && other < offset + sizes[i]) {
            offset = other + sizes[j];
            moved = true;
          }
        }
      }
      placement.offsets[i] = offset;
      placement.bytes = std::max(placement.bytes, offset + sizes[i]);
    }
    return placement;
  }
};
} // namespace

ScratchPlacement placeBuffers(Region &region, ArrayRef<memref::AllocaOp> buffers) {
  llvm::DenseMap<Operation *, Interval> places;
  int64_t place = 0;
  region.walk<WalkOrder::PreOrder>([&](Operation *op) { places[op] = {place, place}, ++place; });
  // An op lasts as long as what is nested in it.
  region.walk([&](Operation *op) {
    if (auto it = places.find(op->getParentOp()); it != places.end())
      it->second.last = std::max(it->second.last, places.lookup(op).last);
  });

  Buffers all;
  for (memref::AllocaOp buffer : buffers) {
    all.lives.push_back(getLife(buffer, places));
    all.sizes.push_back(llvm::alignTo(getBytes(buffer.getType()), kPointerAlignment));
  }
  // Large ones first: small ones fit between them. Or those in use with the most first: what
  // others take turns at lies behind them, and is as large as the largest turn.
  auto bySize = llvm::to_vector(llvm::seq<int64_t>(0, buffers.size()));
  llvm::stable_sort(bySize, [&](int64_t i, int64_t j) { return all.sizes[i] > all.sizes[j]; });
  auto byUse = bySize;
  llvm::stable_sort(byUse, [&](int64_t i, int64_t j) { return all.countMet(i) > all.countMet(j); });
  ScratchPlacement best = all.place(bySize);
  // One that is in use with all others, behind a large one that is not, splits the room in two.
  const int64_t bound = all.getBound();
  for (ArrayRef<int64_t> order : {ArrayRef(bySize), ArrayRef(byUse)})
    for (int64_t i = 0, e = order.size(); i < e && best.bytes > bound; ++i) {
      SmallVector<int64_t> other(order);
      std::rotate(other.begin() + i, other.begin() + i + 1, other.end());
      ScratchPlacement placement = all.place(other);
      if (placement.bytes < best.bytes)
        best = std::move(placement);
    }
  best.areShared = best.bytes < llvm::sum_of(all.sizes, int64_t(0));
  return best;
}

bool haveCommonBytes(Value a, Value b) {
  if (a == b)
    return true;
  auto x = a.getDefiningOp<memref::ViewOp>(), y = b.getDefiningOp<memref::ViewOp>();
  if (!x || !y || x.getSource() != y.getSource())
    return false;
  std::optional<int64_t> i = getConstantIntValue(x.getByteShift()),
                         j = getConstantIntValue(y.getByteShift());
  if (!i || !j || !x.getType().hasStaticShape() || !y.getType().hasStaticShape())
    return true;
  return *i < *j + getBytes(y.getType()) && *j < *i + getBytes(x.getType());
}

} // namespace elfatt::gpu
