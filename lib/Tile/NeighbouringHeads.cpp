// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "NeighbouringHeads.h"

#include "PartShape.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <limits>

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

std::optional<unsigned> elfatt::tile::findHeadDim(Operation *op) {
  auto view = cast<ViewOpInterface>(op);
  SmallVector<AffineMap> maps = view.getIndexingMapsArray();
  AffineMap result = maps.back();
  auto sdpa = dyn_cast<SdpaOp>(op);
  if ((!sdpa && !isa<LepeOp>(op)) || result.getNumResults() < 2)
    return std::nullopt;
  auto head = dyn_cast<AffineDimExpr>(result.getResult(result.getNumResults() - 2));
  if (!head || !llvm::is_contained(getPartShape(op).batch, head.getPosition()))
    return std::nullopt;
  // A function of scores may ask for the number of the head.
  if (sdpa && !sdpa.getScore().empty())
    return std::nullopt;
  for (auto [index, map] : llvm::enumerate(maps)) {
    // Biases are staged once for all heads.
    const bool isBias = sdpa && index >= 3 && index + 1 != maps.size();
    unsigned rank = map.getNumResults();
    bool isBeside =
        rank >= 2 && map.getResult(rank - 2) == head && isa<AffineDimExpr>(map.getResult(rank - 1));
    if (isBias ? map.isFunctionOfDim(head.getPosition()) : !isBeside)
      return std::nullopt;
  }
  return head.getPosition();
}

/// What is read or written a row a token: of sdpa Q, K, V and O, of lepe V and O.
static SmallVector<OpOperand *> getRowOperands(Operation *part) {
  SmallVector<OpOperand *> all = cast<ViewOpInterface>(part).getViewedOperands();
  SmallVector<OpOperand *> rows(ArrayRef(all).take_front(isa<SdpaOp>(part) ? 3 : 1));
  rows.push_back(all.back());
  return rows;
}

/// Whether rows of `heads` heads of `tensor` [.., heads, columns] begin and end with sectors in
/// memory, where reshapes and slices are views of what they are made of.
static bool areSectors(Value tensor, int64_t heads) {
  auto type = cast<RankedTensorType>(tensor.getType());
  auto areWhole = [bytes = type.getElementTypeBitWidth() / 8](int64_t elements) {
    return elements % (kSectorBytes / bytes) == 0;
  };
  auto isStaticFrom = [](RankedTensorType shaped, int64_t dim) {
    return llvm::none_of(shaped.getShape().drop_front(dim), ShapedType::isDynamic);
  };
  const int64_t columns = type.getShape().back();
  // The inner dims that hold a row: heads and columns, or one for both.
  int64_t inner = 2;
  if (ShapedType::isDynamic(columns) || !areWhole(heads * columns))
    return false;
  while (true) {
    type = cast<RankedTensorType>(tensor.getType());
    const int64_t rank = type.getRank();
    // Rows of memory lie a multiple of these elements apart.
    if (rank < inner || !isStaticFrom(type, rank - inner) ||
        !areWhole(ShapedType::getNumElements(type.getShape().take_back(inner))) ||
        (inner == 2 && type.getShape().back() != columns))
      return false;
    Operation *op = tensor.getDefiningOp();
    if (auto slice = dyn_cast_or_null<tensor::ExtractSliceOp>(op)) {
      RankedTensorType source = slice.getSourceType();
      auto kept = ArrayRef(slice.getStaticSizes()).take_back(inner);
      if (kept != type.getShape().take_back(inner) || slice.getStaticStrides().back() != 1)
        return false;
      // Their first element.
      int64_t offset = 0;
      for (int64_t dim = source.getRank() - inner; dim < source.getRank(); ++dim) {
        if (ShapedType::isDynamic(slice.getStaticOffset(dim)) || source.isDynamicDim(dim))
          return false;
        offset = offset * source.getDimSize(dim) + slice.getStaticOffset(dim);
      }
      if (!areWhole(offset))
        return false;
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
        return false;
      tensor = collapse.getSrc();
    } else if (auto cast = dyn_cast_or_null<tensor::CastOp>(op)) {
      tensor = cast.getSource();
    } else {
      return true;
    }
  }
}

FailureOr<int64_t> elfatt::tile::chooseHeads(ArrayRef<HeadsPart> chain, const MachineLimits &limits,
                                             bool mayTake) {
  Operation *last = chain.front().op;
  const int64_t wanted = limits.overrides.headsPerBlock;
  if (limits.machine != Machine::GPU || wanted == 1)
    return 1;
  auto rangesOf = [](Operation *part) { return getStaticLoopRanges(cast<ViewOpInterface>(part)); };
  // The fewest that are whole sectors.
  int64_t fewest = 1, heads = ShapedType::kDynamic;
  for (const HeadsPart &part : chain) {
    std::optional<unsigned> dim = findHeadDim(part.op);
    mayTake &= dim && !ShapedType::isDynamic(part.extents.channels) &&
               !ShapedType::isDynamic(part.extents.values);
    if (!mayTake)
      break;
    heads = rangesOf(part.op)[*dim];
    for (OpOperand *operand : getRowOperands(part.op))
      fewest = std::max(
          fewest, getHeadsOfSectors(part.extents.channels, part.extents.values,
                                    getElementTypeOrSelf(operand->get()).getIntOrFloatBitWidth()));
  }
  const int64_t taken = wanted != 0 ? wanted : fewest;
  const bool canTake = mayTake && !ShapedType::isDynamic(heads) && heads % taken == 0;
  if (wanted != 0 && !canTake && isa<SdpaOp>(chain.back().op))
    return last->emitOpError("expected a multiple of ")
           << wanted << " heads for heads-per-block, whole and beside each other in memory";
  if (wanted != 0 || taken == 1 || !canTake)
    return canTake ? taken : 1;

  // A multiprocessor without work would cost more than sectors do.
  int64_t workers = 1;
  for (unsigned dim : getPartShape(last).batch)
    if (int64_t range = rangesOf(last)[dim]; !ShapedType::isDynamic(range))
      workers *= range;
    else
      workers = std::max(workers, limits.processors);
  if (workers < limits.processors * taken)
    return 1;
  for (const HeadsPart &part : chain) {
    int64_t rows = 1;
    for (unsigned dim : getPartShape(part.op).rows)
      rows = ShapedType::isDynamic(rangesOf(part.op)[dim]) ? std::numeric_limits<int32_t>::max()
                                                           : rows * rangesOf(part.op)[dim];
    if (!fitsHeads(limits, part.extents, taken, rows) ||
        !llvm::all_of(getRowOperands(part.op),
                      [&](OpOperand *operand) { return areSectors(operand->get(), taken); }))
      return 1;
  }
  return taken;
}
