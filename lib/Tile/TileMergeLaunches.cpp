// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/Passes.h"

#include "MemoryAccesses.h"
#include "elfatt/Dialect/Attention/IR/TileAttributes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"

namespace elfatt::tile {
#define GEN_PASS_DEF_TILEMERGELAUNCHESPASS
#include "elfatt/Tile/Passes.h.inc"

using namespace mlir;

namespace {

/// A loop over workers: on buffers, and not inside of another.
bool isWorkerLoop(scf::ForallOp loop) {
  return loop.getNumResults() == 0 && !loop->getParentOfType<scf::ForallOp>();
}

/// Ops that compute a value for a loop may move with it: views, numbers, allocations.
bool isMovable(Operation *op) {
  return op->getNumRegions() == 0 && (isMemoryEffectFree(op) || isa<memref::AllocOp>(op));
}

/// Warps of a worker, and the most that would have registers for it.
struct Warps {
  int64_t count = 1, most = std::numeric_limits<int64_t>::max();

  static Warps of(scf::ForallOp loop) {
    Warps warps;
    loop.walk([&](scf::ForallOp inner) {
      if (inner != loop)
        for (OpFoldResult bound : inner.getMixedUpperBound())
          warps.count = std::max(warps.count, getConstantIntValue(bound).value_or(1));
    });
    if (auto most = loop->getAttrOfType<IntegerAttr>(attention::kMostWarpsAttr))
      warps.most = most.getInt();
    return warps;
  }
  /// Of a launch that has both.
  Warps with(const Warps &other) const {
    return {std::max(count, other.count), std::min(most, other.most)};
  }
};

/// Loops that become one launch, in the order of the program.
struct Group {
  SmallVector<scf::ForallOp> loops;
  Warps warps;
  scf::ForallOp first() const { return loops.front(); }
};

/// The ops behind `anchor` in its block that `loop` needs, in order. Fails where one of
/// them cannot move.
FailureOr<SetVector<Operation *>> collectNeeds(scf::ForallOp loop, Operation *anchor) {
  SetVector<Operation *> needs;
  SmallVector<Value> values(loop->getOperands());
  SetVector<Value> captured;
  getUsedValuesDefinedAbove(loop.getRegion(), captured);
  llvm::append_range(values, captured);
  while (!values.empty()) {
    Operation *def = values.pop_back_val().getDefiningOp();
    if (!def || def->getBlock() != anchor->getBlock() || def->isBeforeInBlock(anchor))
      continue;
    if (!isMovable(def))
      return failure();
    if (needs.insert(def))
      llvm::append_range(values, def->getOperands());
  }
  SmallVector<Operation *> sorted = needs.takeVector();
  llvm::sort(sorted, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  return SetVector<Operation *>(sorted.begin(), sorted.end());
}

class Merger {
public:
  /// Joins `loop` to the first group whose launch it may be part of.
  void add(scf::ForallOp loop) {
    for (Group &group : groups)
      if (succeeded(join(loop, group)))
        return;
    groups.push_back({{loop}, Warps::of(loop)});
  }

  SmallVector<Group> groups;

private:
  const MemoryAccesses &getAccesses(Operation *op) {
    std::unique_ptr<MemoryAccesses> &slot = accesses[op];
    if (!slot)
      slot = std::make_unique<MemoryAccesses>(op);
    return *slot;
  }

  LogicalResult join(scf::ForallOp loop, Group &group) {
    scf::ForallOp anchor = group.first();
    if (anchor->getBlock() != loop->getBlock() ||
        anchor.getMapping().has_value() != loop.getMapping().has_value())
      return failure();
    // Of the warps that one has the other would spill.
    const Warps all = group.warps.with(Warps::of(loop));
    if (all.count > all.most)
      return failure();
    FailureOr<SetVector<Operation *>> needs = collectNeeds(loop, anchor);
    if (failed(needs))
      return failure();
    // Nothing between may depend on what the loop does, nor the loop on it.
    for (Operation *op = anchor; op != loop; op = op->getNextNode())
      if (!needs->contains(op) && !getAccesses(op).isIndependentOf(getAccesses(loop)))
        return failure();
    for (Operation *op : *needs)
      op->moveBefore(anchor);
    loop->moveAfter(group.loops.back());
    group.loops.push_back(loop);
    group.warps = all;
    return success();
  }

  llvm::DenseMap<Operation *, std::unique_ptr<MemoryAccesses>> accesses;
};

/// One loop's iterations in a row.
struct Range {
  scf::ForallOp loop;
  size_t position;                  // in the program
  SmallVector<OpFoldResult> counts; // of each dim
  OpFoldResult total, start;

  /// The part of the number of iterations that is known.
  int64_t getKnown() const {
    int64_t known = 1;
    for (OpFoldResult count : counts)
      known *= getConstantIntValue(count).value_or(1);
    return known;
  }
};

OpFoldResult fold(OpBuilder &b, Location loc, OpFoldResult x, OpFoldResult y,
                  function_ref<int64_t(int64_t, int64_t)> known,
                  function_ref<Value(Value, Value)> create) {
  std::optional<int64_t> i = getConstantIntValue(x), j = getConstantIntValue(y);
  if (i && j)
    return b.getIndexAttr(known(*i, *j));
  return create(getValueOrCreateConstantIndexOp(b, loc, x),
                getValueOrCreateConstantIndexOp(b, loc, y));
}

OpFoldResult multiply(OpBuilder &b, Location loc, OpFoldResult x, OpFoldResult y) {
  if (isOneInteger(x))
    return y;
  return fold(b, loc, x, y, std::multiplies<int64_t>(),
              [&](Value i, Value j) -> Value { return b.createOrFold<arith::MulIOp>(loc, i, j); });
}

OpFoldResult add(OpBuilder &b, Location loc, OpFoldResult x, OpFoldResult y) {
  if (isZeroInteger(x))
    return y;
  return fold(b, loc, x, y, std::plus<int64_t>(),
              [&](Value i, Value j) -> Value { return b.createOrFold<arith::AddIOp>(loc, i, j); });
}

/// Iterations of a dim: (upper - lower) / step, rounded up.
OpFoldResult getCount(OpBuilder &b, Location loc, OpFoldResult lower, OpFoldResult upper,
                      OpFoldResult step) {
  OpFoldResult extent = upper;
  if (!isZeroInteger(lower))
    extent = fold(b, loc, upper, lower, std::minus<int64_t>(), [&](Value i, Value j) -> Value {
      return b.createOrFold<arith::SubIOp>(loc, i, j);
    });
  if (isOneInteger(step))
    return extent;
  return fold(
      b, loc, extent, step, [](int64_t i, int64_t j) { return llvm::divideCeilSigned(i, j); },
      [&](Value i, Value j) -> Value { return b.createOrFold<arith::CeilDivSIOp>(loc, i, j); });
}

Range makeRange(OpBuilder &b, scf::ForallOp loop, size_t position) {
  Range range{loop, position, {}, b.getIndexAttr(1), {}};
  for (auto [lower, upper, step] :
       llvm::zip_equal(loop.getMixedLowerBound(), loop.getMixedUpperBound(), loop.getMixedStep())) {
    range.counts.push_back(getCount(b, loop.getLoc(), lower, upper, step));
    range.total = multiply(b, loop.getLoc(), range.total, range.counts.back());
  }
  return range;
}

/// The loop's body as iteration `number` of it, the last dim running fastest.
void cloneBody(OpBuilder &b, const Range &range, Value number) {
  scf::ForallOp loop = range.loop;
  Location loc = loop.getLoc();
  auto value = [&](OpFoldResult v) { return getValueOrCreateConstantIndexOp(b, loc, v); };
  IRMapping mapping;
  for (unsigned d = loop.getRank(); d-- > 0;) {
    Value index = number;
    if (d > 0) {
      Value count = value(range.counts[d]);
      index = arith::RemUIOp::create(b, loc, number, count);
      number = arith::DivUIOp::create(b, loc, number, count);
    }
    OpFoldResult lower = loop.getMixedLowerBound()[d], step = loop.getMixedStep()[d];
    if (!isOneInteger(step))
      index = arith::MulIOp::create(b, loc, index, value(step));
    if (!isZeroInteger(lower))
      index = arith::AddIOp::create(b, loc, index, value(lower));
    mapping.map(loop.getInductionVar(d), index);
  }
  for (Operation &op : loop.getBody()->without_terminator())
    b.clone(op, mapping);
  scf::YieldOp::create(b, loc);
}

void merge(const Group &group) {
  OpBuilder b(group.loops.back());
  SmallVector<Range> ranges;
  SmallVector<Location> places;
  for (scf::ForallOp loop : group.loops) {
    ranges.push_back(makeRange(b, loop, ranges.size()));
    places.push_back(loop.getLoc());
  }
  // Of few iterations each does more: what takes long starts first.
  llvm::sort(ranges, [](const Range &x, const Range &y) {
    return std::pair(x.getKnown(), x.position) < std::pair(y.getKnown(), y.position);
  });
  Location loc = b.getFusedLoc(places);
  OpFoldResult end = b.getIndexAttr(0);
  for (Range &range : ranges) {
    range.start = end;
    end = add(b, loc, end, range.total);
  }
  std::optional<ArrayAttr> mapping;
  if (group.first().getMapping())
    mapping =
        b.getArrayAttr(gpu::GPUBlockMappingAttr::get(b.getContext(), gpu::MappingId::LinearDim0));
  auto loop = scf::ForallOp::create(b, loc, ArrayRef<OpFoldResult>(end), ValueRange(), mapping);
  auto occupancyOf = [](const Range &range) {
    auto attr = range.loop->getAttrOfType<IntegerAttr>(attention::kOccupancyAttr);
    return attr ? attr.getInt() : int64_t(0);
  };
  int64_t occupancy = occupancyOf(ranges.front());
  for (const Range &range : ranges)
    occupancy = std::min(occupancy, occupancyOf(range));
  if (occupancy != 0)
    loop->setAttr(attention::kOccupancyAttr, b.getI64IntegerAttr(occupancy));
  b.setInsertionPointToStart(loop.getBody());
  Value number = loop.getInductionVar(0), chosen;
  auto value = [&](OpFoldResult v) { return getValueOrCreateConstantIndexOp(b, loc, v); };
  for (const Range &range : ArrayRef(ranges).drop_front()) {
    Value isBehind =
        arith::CmpIOp::create(b, loc, arith::CmpIPredicate::uge, number, value(range.start));
    Value one = arith::IndexCastUIOp::create(b, loc, b.getIndexType(), isBehind);
    chosen = chosen ? arith::AddIOp::create(b, loc, chosen, one).getResult() : one;
  }
  // The last range is the default.
  auto cases = llvm::to_vector(llvm::seq<int64_t>(0, ranges.size() - 1));
  auto choice = scf::IndexSwitchOp::create(b, loc, TypeRange(), chosen, cases, cases.size());
  for (auto [i, range] : llvm::enumerate(ranges)) {
    Region &region = i < cases.size() ? choice.getCaseRegions()[i] : choice.getDefaultRegion();
    b.setInsertionPointToStart(&region.emplaceBlock());
    Value own = number;
    if (!isZeroInteger(range.start))
      own = arith::SubIOp::create(b, loc, number, value(range.start));
    cloneBody(b, range, own);
  }
  for (Range &range : ranges)
    range.loop.erase();
}

struct TileMergeLaunchesPass : impl::TileMergeLaunchesPassBase<TileMergeLaunchesPass> {
  using TileMergeLaunchesPassBase::TileMergeLaunchesPassBase;

  void runOnOperation() override {
    SmallVector<scf::ForallOp> loops;
    getOperation()->walk([&](scf::ForallOp loop) {
      if (isWorkerLoop(loop))
        loops.push_back(loop);
    });
    Merger merger;
    for (scf::ForallOp loop : loops)
      merger.add(loop);
    for (const Group &group : merger.groups) {
      if (group.loops.size() < 2)
        continue;
      numMerged += group.loops.size();
      ++numLaunches;
      merge(group);
    }
  }
};
} // namespace
} // namespace elfatt::tile
