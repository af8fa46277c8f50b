// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Gather.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace elfatt::view;

/// How deep index arithmetic is followed.
static constexpr unsigned kMaxDepth = 32;
/// The largest table of positions that is looked at.
static constexpr int64_t kMaxTable = 1 << 16;

namespace {
/// Integer scalars of linalg bodies as positions.
class IndexReader {
public:
  explicit IndexReader(Tracer &tracer) : tracer(tracer), space(tracer.getSpace()) {}

  /// `value` in the body of `op` at `loops`.
  std::optional<Index> read(Value value, linalg::LinalgOp op, ArrayRef<Index> loops,
                            unsigned depth = 0);
  std::optional<bool> getTruth(Value value, linalg::LinalgOp op, ArrayRef<Index> loops,
                               unsigned depth = 0);
  /// The values that an index lies between.
  std::optional<std::pair<int64_t, int64_t>> getRange(const Index &index);

private:
  std::optional<Index> readElement(const Element &element, unsigned depth);
  std::optional<Index> readTable(const Element &element);

  Tracer &tracer;
  IndexSpace &space;
};
} // namespace

/// The loops of an elementwise op where its result is read at `indices`.
static std::optional<SmallVector<Index>> getLoops(linalg::LinalgOp op, ArrayRef<Index> indices) {
  if (op->getNumResults() != 1 || op.getNumParallelLoops() != op.getNumLoops())
    return std::nullopt;
  auto loops = invertMap(op.getMatchingIndexingMap(op.getDpsInitOperand(0)), indices);
  if (!loops || llvm::is_contained(*loops, std::nullopt))
    return std::nullopt;
  SmallVector<Index> known;
  for (std::optional<Index> &loop : *loops)
    known.push_back(*loop);
  return known;
}

/// The digits of a mixed radix number that `table` is a sum of strided, the fastest
/// first: (extent, stride) each.
static std::optional<SmallVector<std::pair<int64_t, int64_t>>> findDigits(ArrayRef<int64_t> table) {
  SmallVector<std::pair<int64_t, int64_t>> digits;
  int64_t size = table.size(), inner = 1;
  while (inner < size) {
    // As far as every `inner`-th entry goes on by one stride.
    int64_t stride = table[inner] - table[0], extent = 2;
    while (extent * inner < size && table[extent * inner] == table[0] + extent * stride)
      ++extent;
    while (size % (extent * inner) != 0)
      --extent;
    if (stride <= 0 || extent < 2)
      return std::nullopt;
    digits.push_back({extent, stride});
    inner *= extent;
  }
  for (int64_t position = 0; position < size; ++position) {
    int64_t rest = position, value = table[0];
    for (auto [extent, stride] : digits) {
      value += rest % extent * stride;
      rest /= extent;
    }
    if (value != table[position])
      return std::nullopt;
  }
  return digits;
}

/// An element of a constant: a table of positions, such as a permutation to windows.
std::optional<Index> IndexReader::readTable(const Element &element) {
  ElementsAttr table;
  if (!matchPattern(element.source, m_Constant(&table)) || table.getNumElements() > kMaxTable ||
      table.getNumElements() == 0)
    return std::nullopt;
  SmallVector<Size> sizes;
  for (int64_t size : table.getShapedType().getShape())
    sizes.push_back(Size(size));
  std::optional<Index> linear = space.linearize(element.indices, sizes);
  if (!linear)
    return std::nullopt;
  SmallVector<int64_t> values;
  if (auto dense = dyn_cast<DenseIntElementsAttr>(table))
    for (const APInt &value : dense.getValues<APInt>())
      values.push_back(value.getSExtValue());
  else if (auto resource = dyn_cast<DenseI64ResourceElementsAttr>(table))
    if (std::optional<ArrayRef<int64_t>> array = resource.tryGetAsArrayRef())
      values.append(array->begin(), array->end());
  if (int64_t(values.size()) != table.getNumElements())
    return std::nullopt;
  auto digits = findDigits(values);
  if (!digits)
    return std::nullopt;
  SmallVector<Size> extents;
  for (auto [extent, stride] : llvm::reverse(*digits))
    extents.push_back(Size(extent));
  Index result = Index::constant(values[0]);
  if (digits->empty())
    return result;
  auto parts = space.delinearize(*linear, extents);
  if (!parts)
    return std::nullopt;
  for (auto [part, digit] : llvm::zip_equal(llvm::reverse(*parts), *digits))
    result = space.add(result, *space.scale(part, Size(digit.second)));
  return result;
}

std::optional<Index> IndexReader::readElement(const Element &element, unsigned depth) {
  Element traced = tracer.trace(element);
  APInt constant;
  if (matchPattern(traced.source, m_ConstantInt(&constant)) && constant.getSignificantBits() <= 64)
    return Index::constant(constant.getSExtValue());
  if (std::optional<Index> position = readTable(traced))
    return position;
  auto op = traced.source.getDefiningOp<linalg::LinalgOp>();
  if (!op)
    return std::nullopt;
  auto loops = getLoops(op, traced.indices);
  if (!loops)
    return std::nullopt;
  return read(op.getBlock()->getTerminator()->getOperand(0), op, *loops, depth + 1);
}

std::optional<Index> IndexReader::read(Value value, linalg::LinalgOp op, ArrayRef<Index> loops,
                                       unsigned depth) {
  if (depth > kMaxDepth || !value.getType().isIntOrIndex())
    return std::nullopt;
  APInt constant;
  if (matchPattern(value, m_ConstantInt(&constant)) && constant.getSignificantBits() <= 64)
    return Index::constant(constant.getSExtValue());
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    if (argument.getOwner() != op.getBlock())
      return std::nullopt;
    OpOperand *operand = op.getMatchingOpOperand(argument);
    if (!isa<RankedTensorType>(operand->get().getType()))
      return std::nullopt;
    auto indices = tracer.apply(op.getMatchingIndexingMap(operand), loops);
    return indices ? readElement({operand->get(), *indices}, depth + 1) : std::nullopt;
  }
  Operation *def = value.getDefiningOp();
  if (def->getBlock() != op.getBlock())
    return std::nullopt;
  auto operand = [&](unsigned i) { return read(def->getOperand(i), op, loops, depth + 1); };
  using Result = std::optional<Index>;
  // Sums of indices wrap nowhere: they are positions in tensors.
  return TypeSwitch<Operation *, Result>(def)
      .Case([&](linalg::IndexOp index) { return Result(loops[index.getDim()]); })
      .Case<arith::IndexCastOp, arith::ExtSIOp>([&](Operation *) { return operand(0); })
      .Case([&](arith::AddIOp) -> Result {
        Result a = operand(0), b = operand(1);
        return a && b ? Result(space.add(*a, *b)) : std::nullopt;
      })
      .Case([&](arith::MulIOp) -> Result {
        Result a = operand(0), b = operand(1);
        if (a && a->isConstant())
          std::swap(a, b);
        if (!a || !b || !b->isConstant() || b->offset < 0)
          return std::nullopt;
        return space.scale(*a, Size(b->offset));
      })
      .Case<arith::DivSIOp, arith::FloorDivSIOp, arith::DivUIOp, arith::RemSIOp, arith::RemUIOp>(
          [&](Operation *) -> Result {
            Result a = operand(0), b = operand(1);
            if (!a || !b || !b->isConstant() || b->offset < 1 || a->offset < 0)
              return std::nullopt;
            auto parts = space.delinearize(*a, {Size(1), Size(b->offset)});
            if (!parts)
              return std::nullopt;
            return (*parts)[isa<arith::RemSIOp, arith::RemUIOp>(def) ? 1 : 0];
          })
      .Case([&](arith::SelectOp select) -> Result {
        auto truth = getTruth(select.getCondition(), op, loops, depth + 1);
        return truth ? operand(*truth ? 1 : 2) : std::nullopt;
      })
      .Default([](Operation *) { return std::nullopt; });
}

std::optional<std::pair<int64_t, int64_t>> IndexReader::getRange(const Index &index) {
  int64_t last = index.offset;
  for (const Term &term : space.normalize(index).terms) {
    const Size &extent = space.getExtent(term.atom);
    if (!term.stride.isStatic() || !extent.isStatic())
      return std::nullopt;
    last += term.stride.getNumber() * (extent.getNumber() - 1);
  }
  return std::pair(index.offset, last);
}

std::optional<bool> IndexReader::getTruth(Value value, linalg::LinalgOp op, ArrayRef<Index> loops,
                                          unsigned depth) {
  Operation *def = value.getDefiningOp();
  if (depth > kMaxDepth || !def)
    return std::nullopt;
  APInt constant;
  if (matchPattern(value, m_ConstantInt(&constant)))
    return !constant.isZero();
  if (isa<arith::AndIOp>(def)) {
    auto a = getTruth(def->getOperand(0), op, loops, depth + 1);
    auto b = getTruth(def->getOperand(1), op, loops, depth + 1);
    return a && b ? std::optional(*a && *b) : std::nullopt;
  }
  auto compare = dyn_cast<arith::CmpIOp>(def);
  if (!compare)
    return std::nullopt;
  auto lhs = read(compare.getLhs(), op, loops, depth + 1);
  auto rhs = read(compare.getRhs(), op, loops, depth + 1);
  if (!lhs || !rhs || !rhs->isConstant())
    return std::nullopt;
  // Positions are at least their offset, whatever the sizes are.
  int64_t least = lhs->offset, bound = rhs->offset;
  auto range = getRange(*lhs);
  bool isBelow = range && range->second < bound, isAtMost = range && range->second <= bound;
  switch (compare.getPredicate()) {
  case arith::CmpIPredicate::slt:
    return least >= bound ? std::optional(false) : isBelow ? std::optional(true) : std::nullopt;
  case arith::CmpIPredicate::sge:
    return least >= bound ? std::optional(true) : isBelow ? std::optional(false) : std::nullopt;
  case arith::CmpIPredicate::sgt:
    return least > bound ? std::optional(true) : isAtMost ? std::optional(false) : std::nullopt;
  case arith::CmpIPredicate::sle:
    return least > bound ? std::optional(false) : isAtMost ? std::optional(true) : std::nullopt;
  default:
    return std::nullopt;
  }
}

std::optional<Element> elfatt::view::stepOverGather(linalg::LinalgOp op, const Element &element,
                                                    Tracer &tracer) {
  // Most ops are none, and every walk back ends at one: no work before that is known.
  if (op->getNumRegions() != 1 || op->getNumResults() != 1)
    return std::nullopt;
  Block *body = op.getBlock();
  auto extract = body->getTerminator()->getOperand(0).getDefiningOp<tensor::ExtractOp>();
  if (!extract || extract->getBlock() != body || extract.getTensor().getParentBlock() == body)
    return std::nullopt;
  auto loops = getLoops(op, element.indices);
  if (!loops)
    return std::nullopt;
  IndexReader reader(tracer);
  Element result{extract.getTensor(), {}};
  for (auto [dim, value] : llvm::enumerate(extract.getIndices())) {
    std::optional<Index> index = reader.read(value, op, *loops);
    if (!index)
      return std::nullopt;
    auto range = reader.getRange(*index);
    std::optional<int64_t> size = tracer.getSizes().getSize(result.source, dim).getStatic();
    if (!range || !size || range->first < 0 || range->second >= *size)
      return std::nullopt;
    result.indices.push_back(*index);
  }
  // What is asserted must hold, since the op goes.
  for (auto assertion : body->getOps<cf::AssertOp>())
    if (reader.getTruth(assertion.getArg(), op, *loops) != true)
      return std::nullopt;
  return result;
}
