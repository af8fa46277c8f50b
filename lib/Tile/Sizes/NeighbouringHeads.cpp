// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "NeighbouringHeads.h"

#include "PartShape.h"

#include "elfatt/Target/Chip.h"
#include "elfatt/Tile/ContextSplit.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <limits>

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

/// What is read or written a row a token: of sdpa Q, K, V and O, of a context K and V, of apply Q
/// and O, of lepe V and O.
static SmallVector<OpOperand *> getRowOperands(Operation *part) {
  SmallVector<OpOperand *> all = cast<ViewOpInterface>(part).getViewedOperands();
  if (isa<MergeOp>(part))
    return {};
  if (isa<ContextOp, PartialContextOp>(part))
    return SmallVector<OpOperand *>(ArrayRef(all).take_front(2));
  SmallVector<OpOperand *> rows(ArrayRef(all).take_front(isa<SdpaOp>(part) ? 3 : 1));
  rows.push_back(all.back());
  return rows;
}

/// Whether rows of `heads` heads of `tensor` [.., heads, columns] begin and end with sectors in
/// memory, where reshapes and slices are views of what they are made of; nullopt where heads may be
/// no neighbours.
static std::optional<bool> areSectors(Value tensor, int64_t heads) {
  auto type = cast<RankedTensorType>(tensor.getType());
  auto areWhole = [bytes = type.getElementTypeBitWidth() / 8](int64_t elements) {
    return elements % (elfatt::target::kSectorBytes / bytes) == 0;
  };
  auto isStaticFrom = [](RankedTensorType shaped, int64_t dim) {
    return llvm::none_of(shaped.getShape().drop_front(dim), ShapedType::isDynamic);
  };
  const int64_t columns = type.getShape().back();
  // The inner dims that hold a row: heads and columns, or one for both.
  int64_t inner = 2;
  if (ShapedType::isDynamic(columns))
    return std::nullopt;
  bool areAll = areWhole(heads * columns);
  while (true) {
    type = cast<RankedTensorType>(tensor.getType());
    const int64_t rank = type.getRank();
    // Rows of memory lie a multiple of these elements apart.
    if (rank < inner || !isStaticFrom(type, rank - inner) ||
        (inner == 2 && type.getShape().back() != columns))
      return std::nullopt;
    areAll &= areWhole(ShapedType::getNumElements(type.getShape().take_back(inner)));
    Operation *op = tensor.getDefiningOp();
    if (auto slice = dyn_cast_or_null<tensor::ExtractSliceOp>(op)) {
      RankedTensorType source = slice.getSourceType();
      auto kept = ArrayRef(slice.getStaticSizes()).take_back(inner);
      if (kept != type.getShape().take_back(inner) ||
          llvm::any_of(ArrayRef(slice.getStaticStrides()).take_back(inner),
                       [](int64_t stride) { return stride != 1; }))
        return std::nullopt;
      // Their first element.
      int64_t offset = 0;
      for (int64_t dim = source.getRank() - inner; dim < source.getRank(); ++dim) {
        if (ShapedType::isDynamic(slice.getStaticOffset(dim)) || source.isDynamicDim(dim))
          return std::nullopt;
        offset = offset * source.getDimSize(dim) + slice.getStaticOffset(dim);
      }
      areAll &= areWhole(offset);
      tensor = slice.getSource();
    } else if (auto expand = dyn_cast_or_null<tensor::ExpandShapeOp>(op)) {
      auto groups = expand.getReassociationIndices();
      if (groups.back().size() > 1)
        inner = 1;
      tensor = expand.getSrc();
    } else if (auto collapse = dyn_cast_or_null<tensor::CollapseShapeOp>(op)) {
      // Dims before the row's alone.
      auto groups = collapse.getReassociationIndices();
      if (llvm::any_of(ArrayRef(groups).take_back(inner),
                       [](const ReassociationIndices &group) { return group.size() != 1; }))
        return std::nullopt;
      tensor = collapse.getSrc();
    } else if (auto cast = dyn_cast_or_null<tensor::CastOp>(op)) {
      tensor = cast.getSource();
    } else {
      return areAll;
    }
  }
}

/// The share of the bytes fetched that a worker of `heads` heads of `chain` uses; none where they
/// may be no neighbours.
static std::optional<double> findShareUsed(ArrayRef<HeadsPart> chain, int64_t heads) {
  int64_t used = 0, fetched = 0;
  for (const HeadsPart &part : chain)
    for (OpOperand *operand : getRowOperands(part.op)) {
      std::optional<bool> areAll = areSectors(operand->get(), heads);
      if (!areAll)
        return std::nullopt;
      auto type = cast<RankedTensorType>(operand->get().getType());
      const int64_t bytes = heads * type.getShape().back() * type.getElementTypeBitWidth() / 8;
      used += bytes;
      fetched += getSectorBytes(bytes, *areAll);
    }
  return double(used) / double(fetched);
}

/// Workers of the chain of `last`, of one head each; as many as multiprocessors where nobody knows.
static int64_t countWorkers(Operation *last, const MachineLimits &limits) {
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(last));
  int64_t workers = 1;
  for (unsigned dim : getPartShape(last).batch)
    if (!ShapedType::isDynamic(ranges[dim]))
      workers *= ranges[dim];
    else
      workers = std::max(workers, limits.processors);
  return workers;
}

/// Rows of a part, very many where nobody knows.
static int64_t countRows(Operation *part) {
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(part));
  int64_t rows = 1;
  for (unsigned dim : getPartShape(part).rows)
    rows = ShapedType::isDynamic(ranges[dim]) ? std::numeric_limits<int32_t>::max()
                                              : rows * ranges[dim];
  return rows;
}

/// More heads than these have no room, and no more than this share of the bytes is asked for; a
/// worker takes more heads for no less than the other.
static constexpr int64_t kMostHeads = 8;
static constexpr double kShareEnough = 0.95, kShareGained = 0.03;

FailureOr<int64_t> elfatt::tile::chooseHeads(ArrayRef<HeadsPart> chain, int64_t rowsOfLine,
                                             const MachineLimits &limits, bool mayTake) {
  Operation *last = chain.front().op;
  const int64_t wanted = limits.overrides.headsPerBlock;
  if (limits.machine != Machine::GPU || wanted == 1)
    return 1;
  int64_t heads = ShapedType::kDynamic;
  bool hasContext = false, ownsContext = false, areSectorsOfOne = true;
  for (const HeadsPart &part : chain) {
    std::optional<unsigned> dim = findHeadDim(part.op);
    hasContext |= isa<ApplyOp, ContextOp, PartialContextOp>(part.op);
    ownsContext |= isa<ContextOp>(part.op) && part.op != last;
    mayTake &= dim && !ShapedType::isDynamic(part.extents.channels) &&
               !ShapedType::isDynamic(part.extents.values);
    if (!mayTake)
      break;
    heads = getStaticLoopRanges(cast<ViewOpInterface>(part.op))[*dim];
    for (OpOperand *operand : getRowOperands(part.op))
      areSectorsOfOne &=
          getHeadsOfSectors(part.extents.channels, part.extents.values,
                            getElementTypeOrSelf(operand->get()).getIntOrFloatBitWidth()) == 1;
  }
  mayTake &= !ShapedType::isDynamic(heads);
  if (wanted != 0 && !hasContext) {
    if ((mayTake && heads % wanted == 0) || !isa<SdpaOp>(chain.back().op))
      return mayTake && heads % wanted == 0 ? wanted : 1;
    return last->emitOpError("expected a multiple of ")
           << wanted << " heads for heads-per-block, whole and beside each other in memory";
  }

  // A multiprocessor without work would cost more than sectors do. A worker that makes the context
  // of several heads has as many times the work of one; segments of contexts and tiles of rows are
  // many.
  const int64_t workers = countWorkers(last, limits);
  auto areEnough = [&](int64_t taken) {
    return hasContext ? !ownsContext || hasWorkerOfHead(limits, workers / taken / taken)
                      : workers >= limits.processors * taken;
  };
  auto fit = [&](int64_t taken) {
    return llvm::all_of(chain, [&](const HeadsPart &part) {
      if (!hasContext)
        return fitsHeads(limits, part.extents, taken, countRows(part.op));
      if (isa<ContextOp, PartialContextOp>(part.op))
        return fitsContexts(limits, part.extents, taken);
      return isa<MergeOp>(part.op) ||
             fitsAppliedRows(limits, part.extents, taken, std::min(rowsOfLine, countRows(part.op)));
    });
  };
  if (wanted != 0)
    return mayTake && heads % wanted == 0 && fit(wanted) ? wanted : 1;
  std::optional<double> share;
  if (mayTake && !areSectorsOfOne)
    share = findShareUsed(chain, 1);
  int64_t best = 1;
  for (int64_t taken = 2; share && *share < kShareEnough && taken <= std::min(heads, kMostHeads);
       ++taken) {
    if (heads % taken != 0 || !areEnough(taken) || !fit(taken))
      continue;
    std::optional<double> more = findShareUsed(chain, taken);
    if (more && *more >= *share + kShareGained) {
      share = more;
      best = taken;
    }
  }
  return best;
}
