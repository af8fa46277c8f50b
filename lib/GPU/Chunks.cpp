// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Chunks.h"

#include "Layout/Alignment.h"
#include "elfatt/GPU/FragmentLayout.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace elfatt::gpu;
namespace mg = mlir::gpu;

int64_t elfatt::gpu::getChunk(ArrayRef<Value> memrefs) {
  int64_t chunk = 0;
  for (Value memref : memrefs) {
    auto type = cast<MemRefType>(memref.getType());
    int64_t widest = 8 * kPointerAlignment / type.getElementTypeBitWidth();
    chunk = chunk == 0 ? widest : std::min(chunk, widest);
  }
  for (; chunk > 1; chunk /= 2)
    if (llvm::all_of(memrefs, [&](Value memref) {
          auto type = cast<MemRefType>(memref.getType());
          return type.getRank() > 0 && !type.isDynamicDim(type.getRank() - 1) &&
                 type.getShape().back() % chunk == 0 && hasRowsAlignedTo(memref, chunk);
        }))
      return chunk;
  return 1;
}

/// Rows that lanes take beside each other.
constexpr int64_t kGroup = 8;

static bool isInShared(Value memref) {
  return mg::GPUDialect::hasWorkgroupMemoryAddressSpace(cast<MemRefType>(memref.getType()));
}

bool elfatt::gpu::isAnyShared(ArrayRef<Value> memrefs) { return llvm::any_of(memrefs, isInShared); }

/// Rows of shared memory whose chunks of 16 bytes go to different banks lie an odd number of
/// chunks apart: then eight of them meet no conflict across rows, though not along them. Along
/// rows that nothing lies between there is none either, and a warp takes rows of global memory
/// whole, where sectors are two chunks and a row an odd number of them. Of rows that lie twice an
/// odd number of chunks apart eight lanes take two chunks of four.
ChunkOrder elfatt::gpu::getOrder(ArrayRef<Value> memrefs, int64_t chunk) {
  // What is copied within shared memory meets no sectors.
  const bool isWithin = memrefs.size() > 1 && llvm::all_of(memrefs, isInShared);
  for (Value memref : memrefs) {
    auto type = cast<MemRefType>(memref.getType());
    int64_t bytes = chunk * type.getElementTypeBitWidth() / 8;
    int64_t offset;
    SmallVector<int64_t> strides;
    if (type.getRank() < 2 || bytes != kPointerAlignment || !isInShared(memref) ||
        failed(type.getStridesAndOffset(strides, offset)))
      continue;
    int64_t pitch = strides[type.getRank() - 2], columns = type.getShape().back();
    if (ShapedType::isDynamic(pitch) || (pitch == columns && !isWithin))
      continue;
    if (pitch / chunk % 2 != 0)
      return ChunkOrder::AcrossRows;
    if (pitch / chunk % 4 == 2 && columns / chunk % 2 == 0)
      return ChunkOrder::PairsAcrossRows;
  }
  return ChunkOrder::AlongRows;
}

static Value getThread(OpBuilder &b, Location loc, int64_t threads, ThreadNumber number) {
  Value thread = mg::ThreadIdOp::create(b, loc, mg::Dimension::x, b.getIndexAttr(threads));
  if (number == ThreadNumber::Known)
    return thread;
  Value width = arith::ConstantIndexOp::create(b, loc, kWarpSize);
  Value warp = arith::DivUIOp::create(b, loc, thread, width);
  Value lane = mg::LaneIdOp::create(b, loc, b.getIndexAttr(kWarpSize));
  return arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, warp, width), lane);
}

/// The least multiple of `n` that is not less than `value`, over `n`.
static Value divideUp(OpBuilder &b, Location loc, Value value, int64_t n) {
  if (n == 1)
    return value;
  Value divisor = arith::ConstantIndexOp::create(b, loc, n);
  if (std::optional<int64_t> known = getConstantIntValue(value))
    return arith::ConstantIndexOp::create(b, loc, llvm::divideCeil(*known, n));
  return arith::CeilDivUIOp::create(b, loc, value, divisor);
}

/// How many places of a row threads take at once that take `ahead` of any rows, so that the places
/// of a thread lie a constant apart: a divisor of `ahead`, beside which other rows have the rest.
/// None where that would be more turns than to count places row after row, by more than a fourth
/// where these are many: then they are a loop, in which each place is a division. Fewer than
/// `least` would ask for sectors twice. Of rows of an odd number of chunks some threads rather wait
/// than that parts of neighbouring rows, which begin at any bank, meet.
static std::optional<int64_t> chooseWidth(int64_t ahead, int64_t places, int64_t least,
                                          std::optional<int64_t> groups, ChunkOrder order) {
  constexpr int64_t kFewTurns = 8, kUsualRows = 64;
  const bool isAlongRows = order == ChunkOrder::AlongRows;
  const int64_t rows = groups.value_or(isAlongRows ? kUsualRows : kUsualRows / kGroup);
  const int64_t turns = llvm::divideCeil(rows * places, ahead);
  const bool areFew = groups && turns <= kFewTurns;
  const bool keepsRows = isAlongRows && !areFew && least > 1 && places % 2 != 0;
  auto isAllowed = [&](int64_t width) {
    if (ahead % width != 0 || (width < least && width != places && width != ahead))
      return false;
    if (keepsRows && width < places && width % kGroup != 0)
      return false;
    // Few turns are unrolled: no place is left out, and sectors are asked for once.
    return !areFew ||
           (places % width == 0 && (!isAlongRows || width == places || width % kWarpSize == 0));
  };
  auto findWithin = [&](int64_t most) -> std::optional<int64_t> {
    for (int64_t width = ahead; width >= 1; --width) {
      const int64_t needed =
          llvm::divideCeil(places, width) * llvm::divideCeil(rows, ahead / width);
      if (isAllowed(width) && needed <= most)
        return width;
    }
    return std::nullopt;
  };
  std::optional<int64_t> width = findWithin(areFew ? turns : turns + turns / 4);
  return width || !keepsRows ? width : findWithin(2 * turns);
}

namespace {
/// Chunks of the innermost of some dims as columns, all other dims as rows.
struct ChunkGrid {
  SmallVector<Value> counts; ///< of each dim, chunks of the last
  Value rows, columns;
  int64_t chunk;

  SmallVector<Value> getIndices(OpBuilder &b, Location loc, Value row, Value column) const;
};
} // namespace

static ChunkGrid makeGrid(OpBuilder &b, Location loc, ArrayRef<OpFoldResult> extents,
                          int64_t chunk) {
  Value one = arith::ConstantIndexOp::create(b, loc, 1);
  ChunkGrid grid{{}, one, one, chunk};
  for (auto [d, extent] : llvm::enumerate(extents)) {
    OpFoldResult size = extent;
    bool isLast = d + 1 == extents.size();
    if (isLast && chunk > 1)
      size = b.getIndexAttr(*getConstantIntValue(size) / chunk);
    grid.counts.push_back(getValueOrCreateConstantIndexOp(b, loc, size));
    if (isLast)
      grid.columns = grid.counts.back();
    else
      grid.rows = b.createOrFold<arith::MulIOp>(loc, grid.rows, grid.counts.back());
  }
  return grid;
}

/// Of the elements' dims.
SmallVector<Value> ChunkGrid::getIndices(OpBuilder &b, Location loc, Value row,
                                         Value column) const {
  const int64_t rank = counts.size();
  SmallVector<Value> indices(rank);
  if (rank > 0) {
    Value length = arith::ConstantIndexOp::create(b, loc, chunk);
    indices[rank - 1] = b.createOrFold<arith::MulIOp>(loc, column, length);
  }
  for (int64_t d = rank - 2; d >= 0; --d) {
    indices[d] = d == 0 ? row : arith::RemUIOp::create(b, loc, row, counts[d]).getResult();
    if (d > 0)
      row = arith::DivUIOp::create(b, loc, row, counts[d]);
  }
  return indices;
}

/// Emits `body` for each chunk of the extents, spread over the threads of the block. These take
/// `ahead` places at once, each of a group of rows: chunks, or pairs of them.
void elfatt::gpu::forEachChunk(OpBuilder &b, Location loc, ArrayRef<OpFoldResult> extents,
                               int64_t chunk, ChunkOrder order, bool isShared,
                               function_ref<void(OpBuilder &, ValueRange)> body,
                               ThreadNumber number) {
  const int64_t group = order == ChunkOrder::AlongRows ? 1 : kGroup;
  const int64_t pair = order == ChunkOrder::PairsAcrossRows ? 2 : 1;
  auto func = b.getInsertionBlock()->getParentOp()->getParentOfType<mg::GPUFuncOp>();
  if (!func)
    func = cast<mg::GPUFuncOp>(b.getInsertionBlock()->getParentOp());
  const int64_t threads = func.getKnownBlockSize().value_or(SmallVector<int32_t>{kWarpSize})[0];
  const int64_t ahead = std::max<int64_t>(1, threads / (group * pair));
  auto constant = [&](int64_t value) {
    return arith::ConstantIndexOp::create(b, loc, value).getResult();
  };
  const ChunkGrid grid = makeGrid(b, loc, extents, chunk);
  const Value places = b.createOrFold<arith::DivUIOp>(loc, grid.columns, constant(pair));
  const Value groups = divideUp(b, loc, grid.rows, group);
  const Value thread = getThread(b, loc, threads, number);
  auto split = [&](Value value, int64_t by) {
    if (by == 1)
      return std::pair(value, constant(0));
    Value divisor = constant(by);
    return std::pair(arith::DivUIOp::create(b, loc, value, divisor).getResult(),
                     arith::RemUIOp::create(b, loc, value, divisor).getResult());
  };
  auto [ofPair, inPair] = split(thread, pair);
  auto [place, inGroup] = split(ofPair, group);

  // Where rows are known every thread makes the same number of turns, so that a short loop unrolls.
  OpBuilder::InsertionGuard guard(b);
  auto forEach = [&](Value count) {
    auto loop = scf::ForOp::create(b, loc, constant(0), count, constant(1));
    b.setInsertionPointToStart(loop.getBody());
    return loop.getInductionVar();
  };
  auto plus = [&](Value value, Value turn, int64_t by) {
    Value far = b.createOrFold<arith::MulIOp>(loc, turn, constant(by));
    return b.createOrFold<arith::AddIOp>(loc, far, value);
  };
  Value row, column, inside;
  auto requireBelow = [&](Value value, Value bound) {
    Value isBelow = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, value, bound);
    inside = inside ? arith::AndIOp::create(b, loc, inside, isBelow).getResult() : isBelow;
  };
  int64_t rowsAtOnce = group;
  const std::optional<int64_t> rows = getConstantIntValue(grid.rows);
  const std::optional<int64_t> known = getConstantIntValue(places);
  std::optional<int64_t> width;
  if (known && *known > 0)
    width = chooseWidth(ahead, *known, /*least=*/chunk > 1 ? 4 / pair : 1,
                        getConstantIntValue(groups), order);
  if (width) {
    auto [first, at] = *width == ahead ? std::pair(constant(0), place) : split(place, *width);
    rowsAtOnce *= ahead / *width;
    if (rows) {
      row = plus(first, forEach(divideUp(b, loc, grid.rows, rowsAtOnce)), ahead / *width);
    } else {
      // The row itself is counted: no place is made anew, and the bound is the loop's.
      const Type counter = isShared ? Type(b.getI32Type()) : b.getIndexType();
      auto cast = [&](Value value, Type type) -> Value {
        return value.getType() == type ? value : arith::IndexCastUIOp::create(b, loc, type, value);
      };
      auto loop = scf::ForOp::create(b, loc, cast(plus(inGroup, first, group), counter),
                                     cast(grid.rows, counter), cast(constant(rowsAtOnce), counter));
      b.setInsertionPointToStart(loop.getBody());
      row = cast(loop.getInductionVar(), b.getIndexType());
    }
    column = at;
    if (*width != *known)
      column = plus(at, forEach(constant(llvm::divideCeil(*known, *width))), *width);
    if (*known % *width != 0)
      requireBelow(column, places);
  } else {
    Value total = b.createOrFold<arith::MulIOp>(loc, groups, places);
    std::optional<int64_t> all = getConstantIntValue(total);
    Value position = plus(place, forEach(divideUp(b, loc, total, ahead)), ahead);
    if (!all || *all % ahead != 0)
      requireBelow(position, total);
    row = arith::DivUIOp::create(b, loc, position, places);
    column = arith::RemUIOp::create(b, loc, position, places);
  }
  // Else the loop has the row itself, and stops where rows end.
  const bool isPlace = rows || !width;
  if (isPlace)
    row = plus(inGroup, row, group);
  column = plus(inPair, column, pair);
  if (isPlace && rowsAtOnce != 1 && (!rows || *rows % rowsAtOnce != 0))
    requireBelow(row, grid.rows);
  if (inside) {
    auto branch = scf::IfOp::create(b, loc, inside, /*withElseRegion=*/false);
    b.setInsertionPointToStart(branch.thenBlock());
  }
  body(b, grid.getIndices(b, loc, row, column));
}
