// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/View/Trace.h"

#include "Buffers.h"
#include "Gather.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace elfatt::view;

//===----------------------------------------------------------------------===//
// SizeAnalysis
//===----------------------------------------------------------------------===//

/// How far sizes are followed through the IR, and how long a product may get: a size
/// that is multiplied by itself doubles it each time.
static constexpr unsigned kMaxDepth = 32;
static constexpr size_t kMaxSymbols = 16;
/// How many movements are followed.
static constexpr unsigned kMaxMovements = 1024;

Size SizeAnalysis::getSymbol(Value value, int64_t dim) {
  auto [entry, isNew] = symbols.try_emplace({value, dim}, origins.size());
  if (isNew)
    origins.push_back({value, dim});
  return resolve(Size::symbol(entry->second));
}

static bool isSymbol(const Size &size) {
  return size.getNumber() == 1 && size.getSymbols().size() == 1;
}

Size SizeAnalysis::resolve(Size size) const {
  while (isSymbol(size)) {
    auto known = equal.find(size.getSymbols()[0]);
    if (known == equal.end())
      break;
    size = known->second;
  }
  return size;
}

void SizeAnalysis::unifyLoops(linalg::LinalgOp op) {
  SmallVector<std::optional<Size>> loops(op.getNumLoops());
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<RankedTensorType>(operand.get().getType()))
      continue;
    for (auto [dim, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults())) {
      auto loop = dyn_cast<AffineDimExpr>(expr);
      if (!loop)
        continue;
      std::optional<Size> &known = loops[loop.getPosition()];
      Size size = getSize(operand.get(), dim);
      // Only what has no other name gets one, so that names lead nowhere twice.
      if (known)
        known = resolve(*known);
      if (!known || *known == size) {
        known = size;
        continue;
      }
      if (!isSymbol(size))
        std::swap(*known, size);
      // One symbol in terms of the other size, unless that is made of it.
      if (isSymbol(size) && !llvm::is_contained(known->getSymbols(), size.getSymbols()[0]))
        equal.try_emplace(size.getSymbols()[0], *known);
      // What was read before has the old names.
      valueSizes.clear();
    }
  }
}

Size SizeAnalysis::getValueSize(Value value, unsigned depth) {
  if (auto known = valueSizes.find(value); known != valueSizes.end())
    return known->second;
  Size size = readValueSize(value, depth);
  if (size.getSymbols().size() > kMaxSymbols)
    size = getSymbol(value, -1);
  return valueSizes.try_emplace(value, std::move(size)).first->second;
}

Size SizeAnalysis::readValueSize(Value value, unsigned depth) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    return Size(*constant);
  if (depth < kMaxDepth) {
    if (auto dim = value.getDefiningOp<tensor::DimOp>())
      if (std::optional<int64_t> index = dim.getConstantIndex())
        if (isa<RankedTensorType>(dim.getSource().getType()))
          return getDimSize(dim.getSource(), *index, depth + 1);
    if (auto mul = value.getDefiningOp<arith::MulIOp>())
      return getValueSize(mul.getLhs(), depth + 1) * getValueSize(mul.getRhs(), depth + 1);
    // Sizes are not negative: all divisions are the same where they are exact.
    if (Operation *div = value.getDefiningOp();
        div && isa<arith::DivSIOp, arith::DivUIOp, arith::FloorDivSIOp>(div)) {
      Size divisor = getValueSize(div->getOperand(1), depth + 1);
      std::optional<Size> quotient =
          divisor.isZero() ? std::nullopt
                           : getValueSize(div->getOperand(0), depth + 1).divide(divisor);
      if (quotient)
        return *quotient;
    }
    // What broadcasts takes the larger of two sizes.
    if (Operation *max = value.getDefiningOp(); max && isa<arith::MaxSIOp, arith::MaxUIOp>(max)) {
      Size size = getValueSize(max->getOperand(0), depth + 1);
      if (size == getValueSize(max->getOperand(1), depth + 1))
        return size;
    }
    // What takes a size of -1 for another asks whether it is negative.
    if (auto select = value.getDefiningOp<arith::SelectOp>())
      if (std::optional<bool> isNegative = readIsNegative(select.getCondition(), depth + 1))
        return getValueSize(*isNegative ? select.getTrueValue() : select.getFalseValue(),
                            depth + 1);
    if (Operation *cast = value.getDefiningOp();
        cast && isa<arith::IndexCastOp>(cast) && cast->getNumOperands() == 1)
      return getValueSize(cast->getOperand(0), depth + 1);
  }
  return getSymbol(value, -1);
}

std::optional<bool> SizeAnalysis::readIsNegative(Value condition, unsigned depth) {
  auto compare = condition.getDefiningOp<arith::CmpIOp>();
  if (!compare || compare.getPredicate() != arith::CmpIPredicate::slt ||
      getConstantIntValue(compare.getRhs()) != 0)
    return std::nullopt;
  Size size = getValueSize(compare.getLhs(), depth);
  // Other symbols may be any integer.
  bool areDims =
      llvm::all_of(size.getSymbols(), [&](unsigned symbol) { return getOrigin(symbol).dim >= 0; });
  return areDims && size.getNumber() >= 0 ? std::optional(false) : std::nullopt;
}

Size SizeAnalysis::getSize(OpFoldResult value) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    return Size(*constant);
  return getValueSize(cast<Value>(value), 0);
}

Size SizeAnalysis::getDimSize(Value tensor, int64_t dim, unsigned depth) {
  auto type = cast<ShapedType>(tensor.getType());
  if (dim < 0 || dim >= type.getRank())
    return getSymbol(tensor, dim);
  if (!type.isDynamicDim(dim))
    return Size(type.getDimSize(dim));
  Operation *op = tensor.getDefiningOp();
  if (!op || depth >= kMaxDepth)
    return getSymbol(tensor, dim);
  auto dynamic = [&](OpFoldResult size) {
    if (std::optional<int64_t> constant = getConstantIntValue(size))
      return Size(*constant);
    return getValueSize(cast<Value>(size), depth + 1);
  };
  return TypeSwitch<Operation *, Size>(op)
      .Case([&](tensor::EmptyOp empty) { return dynamic(empty.getMixedSizes()[dim]); })
      .Case([&](tensor::ExpandShapeOp expand) {
        // A dim that stays one is as large as it was.
        for (auto [source, group] : llvm::enumerate(expand.getReassociationIndices()))
          if (group.size() == 1 && group.front() == dim)
            return getDimSize(expand.getSrc(), source, depth + 1);
        return dynamic(expand.getMixedOutputShape()[dim]);
      })
      .Case([&](tensor::CollapseShapeOp collapse) {
        Size size;
        SmallVector<ReassociationIndices> groups = collapse.getReassociationIndices();
        for (int64_t source : groups[dim])
          size = size * getDimSize(collapse.getSrc(), source, depth + 1);
        return size;
      })
      .Case([&](tensor::ReshapeOp reshape) {
        auto shape = reshape.getShape().getDefiningOp<tensor::FromElementsOp>();
        return shape ? dynamic(shape.getElements()[dim]) : getSymbol(tensor, dim);
      })
      .Case([&](tensor::CastOp cast) {
        return isa<RankedTensorType>(cast.getSource().getType())
                   ? getDimSize(cast.getSource(), dim, depth + 1)
                   : getSymbol(tensor, dim);
      })
      .Case([&](tensor::ExtractSliceOp slice) {
        llvm::SmallBitVector dropped = slice.getDroppedDims();
        int64_t next = 0;
        for (auto [source, size] : llvm::enumerate(slice.getMixedSizes()))
          if (!dropped.test(source) && next++ == dim)
            return dynamic(size);
        return getSymbol(tensor, dim);
      })
      .Case([&](tensor::ConcatOp concat) {
        return uint64_t(dim) != concat.getDim()
                   ? getDimSize(concat.getInputs().front(), dim, depth + 1)
                   : getSymbol(tensor, dim);
      })
      .Case([&](DestinationStyleOpInterface dps) {
        OpOperand *init = dps.getTiedOpOperand(cast<OpResult>(tensor));
        return init ? getDimSize(init->get(), dim, depth + 1) : getSymbol(tensor, dim);
      })
      .Default([&](Operation *) { return getSymbol(tensor, dim); });
}

Size SizeAnalysis::getSize(Value tensor, int64_t dim) { return getDimSize(tensor, dim, 0); }

SmallVector<Size> SizeAnalysis::getSizes(Value tensor) {
  SmallVector<Size> result;
  for (int64_t dim = 0, e = cast<ShapedType>(tensor.getType()).getRank(); dim < e; ++dim)
    result.push_back(getSize(tensor, dim));
  return result;
}

//===----------------------------------------------------------------------===//
// Maps
//===----------------------------------------------------------------------===//

/// `expr` at `loops`.
static std::optional<Index> applyExpr(AffineExpr expr, ArrayRef<Index> loops,
                                      const IndexSpace &space) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return loops[dim.getPosition()];
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return Index::constant(constant.getValue());
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return std::nullopt;
  std::optional<Index> lhs = applyExpr(binary.getLHS(), loops, space);
  std::optional<Index> rhs = applyExpr(binary.getRHS(), loops, space);
  if (!lhs || !rhs)
    return std::nullopt;
  if (expr.getKind() == AffineExprKind::Add)
    return space.add(*lhs, *rhs);
  if (expr.getKind() == AffineExprKind::Mul && rhs->isConstant())
    return space.scale(*lhs, Size(rhs->offset));
  return std::nullopt;
}

std::optional<SmallVector<Index, 0>> Tracer::apply(AffineMap map, ArrayRef<Index> loops) const {
  SmallVector<Index, 0> result;
  for (AffineExpr expr : map.getResults()) {
    std::optional<Index> index = applyExpr(expr, loops, space);
    if (!index)
      return std::nullopt;
    result.push_back(*index);
  }
  return result;
}

std::optional<SmallVector<std::optional<Index>>> elfatt::view::invertMap(AffineMap map,
                                                                         ArrayRef<Index> indices) {
  SmallVector<std::optional<Index>> loops(map.getNumDims());
  for (auto [expr, index] : llvm::zip_equal(map.getResults(), indices)) {
    if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
      if (loops[dim.getPosition()])
        return std::nullopt; // A diagonal.
      loops[dim.getPosition()] = index;
    } else if (!isa<AffineConstantExpr>(expr)) {
      return std::nullopt;
    }
  }
  return loops;
}

SmallVector<Size> elfatt::view::getLoopSizes(linalg::LinalgOp op, SizeAnalysis &sizes) {
  SmallVector<Size> result(op.getNumLoops(), Size(1));
  for (OpOperand &operand : op->getOpOperands()) {
    auto type = dyn_cast<RankedTensorType>(operand.get().getType());
    if (!type)
      continue;
    for (auto [dim, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults()))
      if (auto loop = dyn_cast<AffineDimExpr>(expr)) {
        Size &known = result[loop.getPosition()];
        Size size = sizes.getSize(operand.get(), dim);
        // A static size says more than a symbol.
        if (known.isOne() || (size.isStatic() && !known.isStatic()))
          known = size;
      }
  }
  return result;
}

OpOperand *elfatt::view::getCopiedOperand(linalg::LinalgOp op) {
  if (op->getNumResults() != 1 || op.getNumParallelLoops() != op.getNumLoops())
    return nullptr;
  Block *body = op.getBlock();
  auto yielded = dyn_cast<BlockArgument>(body->getTerminator()->getOperand(0));
  if (!yielded || yielded.getOwner() != body)
    return nullptr;
  OpOperand *operand = op.getMatchingOpOperand(yielded);
  if (!operand || op.isDpsInit(operand) || !isa<RankedTensorType>(operand->get().getType()))
    return nullptr;
  return operand;
}

//===----------------------------------------------------------------------===//
// Tracer
//===----------------------------------------------------------------------===//

static std::optional<Element> stepOverCopy(linalg::LinalgOp op, const Element &element,
                                           Tracer &tracer) {
  OpOperand *operand = getCopiedOperand(op);
  if (!operand)
    return std::nullopt;
  auto loops = invertMap(op.getMatchingIndexingMap(op.getDpsInitOperand(0)), element.indices);
  if (!loops || llvm::is_contained(*loops, std::nullopt))
    return std::nullopt;
  SmallVector<Index> known;
  for (std::optional<Index> &loop : *loops)
    known.push_back(*loop);
  auto indices = tracer.apply(op.getMatchingIndexingMap(operand), known);
  if (!indices)
    return std::nullopt;
  return Element{operand->get(), *indices};
}

static std::optional<Element> stepOverSlice(tensor::ExtractSliceOp op, const Element &element,
                                            IndexSpace &space, SizeAnalysis &sizes) {
  llvm::SmallBitVector dropped = op.getDroppedDims();
  Element result{op.getSource(), {}};
  unsigned next = 0;
  for (unsigned dim = 0, e = op.getSourceType().getRank(); dim < e; ++dim) {
    std::optional<int64_t> offset = getConstantIntValue(op.getMixedOffsets()[dim]);
    std::optional<int64_t> stride = getConstantIntValue(op.getMixedStrides()[dim]);
    // Unless its size is static or all of the dim, nobody could tell a part of a
    // dim from the whole.
    if (!offset || !stride || *offset < 0 || *stride < 1 ||
        (!getConstantIntValue(op.getMixedSizes()[dim]) &&
         sizes.getSize(op.getMixedSizes()[dim]) != sizes.getSize(op.getSource(), dim)))
      return std::nullopt;
    Index index = dropped.test(dim) ? Index() : element.indices[next++];
    Index scaled = *space.scale(index, Size(*stride));
    result.indices.push_back(space.add(scaled, Index::constant(*offset)));
  }
  return result;
}

unsigned Tracer::getPosition(Value value) {
  auto [entry, isNew] = positions.try_emplace(value, 0);
  if (isNew) {
    entry->second = space.addAtom(sizes.getSize(value));
    space.keepWhole(entry->second);
  }
  return entry->second;
}

std::optional<Element> Tracer::stepBack(const Element &element) {
  Operation *op = element.source.getDefiningOp();
  if (!op)
    return std::nullopt;
  if (isa<MemRefType>(element.source.getType()))
    return stepOverBuffer(element, *this);
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    SmallVector<Size> outer = sizes.getSizes(expand.getResult());
    Element result{expand.getSrc(), {}};
    for (const ReassociationIndices &group : expand.getReassociationIndices()) {
      ArrayRef<Index> indices(element.indices);
      auto index = space.linearize(indices.slice(group.front(), group.size()),
                                   ArrayRef<Size>(outer).slice(group.front(), group.size()));
      if (!index)
        return std::nullopt;
      result.indices.push_back(*index);
    }
    return result;
  }
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    SmallVector<Size> outer = sizes.getSizes(collapse.getSrc());
    Element result{collapse.getSrc(), {}};
    for (auto [index, group] : llvm::zip(element.indices, collapse.getReassociationIndices())) {
      auto parts =
          space.delinearize(index, ArrayRef<Size>(outer).slice(group.front(), group.size()));
      if (!parts)
        return std::nullopt;
      llvm::append_range(result.indices, *parts);
    }
    // A source of dims of size 1 collapses to rank 0 without groups.
    result.indices.resize(outer.size());
    return result;
  }
  if (auto reshape = dyn_cast<tensor::ReshapeOp>(op)) {
    if (!isa<RankedTensorType>(reshape.getSource().getType()))
      return std::nullopt;
    auto indices = space.reshape(element.indices, sizes.getSizes(reshape.getResult()),
                                 sizes.getSizes(reshape.getSource()));
    if (!indices)
      return std::nullopt;
    return Element{reshape.getSource(), llvm::to_vector<0>(*indices)};
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op))
    return stepOverSlice(slice, element, space, sizes);
  if (auto cast = dyn_cast<tensor::CastOp>(op)) {
    if (!isa<RankedTensorType>(cast.getSource().getType()))
      return std::nullopt;
    return Element{cast.getSource(), element.indices};
  }
  if (auto linalg = dyn_cast<linalg::LinalgOp>(op)) {
    if (std::optional<Element> copied = stepOverCopy(linalg, element, *this))
      return copied;
    return stepOverGather(linalg, element, *this);
  }
  return std::nullopt;
}

Element Tracer::trace(Element element) {
  for (unsigned steps = 0; steps < kMaxMovements; ++steps) {
    std::optional<Element> earlier = stepBack(element);
    if (!earlier)
      break;
    element = std::move(*earlier);
  }
  return element;
}

SmallVector<Element, 0> Tracer::traceAll(Element element, ArrayRef<unsigned> whole) {
  SmallVector<Element, 0> result{std::move(element)};
  while (result.size() <= kMaxMovements) {
    IndexSpace before = space;
    std::optional<Element> earlier = stepBack(result.back());
    if (!earlier)
      break;
    if (llvm::any_of(whole, [&](unsigned atom) { return space.isSplit(atom); })) {
      space = before;
      break;
    }
    result.push_back(std::move(*earlier));
  }
  return result;
}
