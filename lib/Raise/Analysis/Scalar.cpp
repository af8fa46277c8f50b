// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Scalar.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;
using view::Index;
using view::Size;

/// How deep expressions are followed; attention needs about ten levels.
static constexpr unsigned kMaxDepth = 48;
static constexpr unsigned kMaxSteps = 4096;

Type Scalar::getType() const {
  if (value)
    return value.getType();
  return cast<RankedTensorType>(element.source.getType()).getElementType();
}

Scalar ScalarReader::read(Value tensor, ArrayRef<Index> indices) {
  Element start{tensor, llvm::to_vector<0>(indices)};
  return Scalar{{}, nullptr, tracer.trace(start), start};
}

const Frame *ScalarReader::addFrame(linalg::LinalgOp op, ArrayRef<Index> loops) {
  frames.push_back({op, llvm::to_vector(loops)});
  return &frames.back();
}

Scalar ScalarReader::resolve(Value value, const Frame *frame) {
  if (auto argument = dyn_cast<BlockArgument>(value);
      argument && frame && argument.getOwner() == frame->op.getBlock()) {
    OpOperand *operand = frame->op.getMatchingOpOperand(argument);
    if (!isa<RankedTensorType>(operand->get().getType()))
      return resolve(operand->get(), nullptr);
    if (auto indices = tracer.apply(frame->op.getMatchingIndexingMap(operand), frame->loops))
      return read(operand->get(), *indices);
    return Scalar{value, frame, {}, {}};
  }
  // A value from outside of the body knows no loops.
  if (frame && value.getParentBlock() != frame->op.getBlock())
    frame = nullptr;
  if (auto extract = value.getDefiningOp<tensor::ExtractOp>(); extract && !frame) {
    SmallVector<Index> indices;
    for (Value index : extract.getIndices()) {
      std::optional<int64_t> constant = getConstantIntValue(index);
      if (!constant)
        return Scalar{value, nullptr, {}, {}};
      indices.push_back(Index::constant(*constant));
    }
    return read(extract.getTensor(), indices);
  }
  return Scalar{value, frame, {}, {}};
}

const Frame *ScalarReader::getElementwiseFrame(const Element &element, Value &yielded) {
  auto result = dyn_cast<OpResult>(element.source);
  auto op = result ? dyn_cast<linalg::LinalgOp>(result.getOwner()) : linalg::LinalgOp();
  if (!op || op.getNumParallelLoops() != op.getNumLoops() || op->getNumRegions() != 1)
    return nullptr;
  OpOperand *init = op.getDpsInitOperand(result.getResultNumber());
  auto loops = view::invertMap(op.getMatchingIndexingMap(init), element.indices);
  if (!loops || llvm::is_contained(*loops, std::nullopt))
    return nullptr;
  yielded = op.getBlock()->getTerminator()->getOperand(result.getResultNumber());
  return addFrame(op, llvm::map_to_vector(*loops, [](auto &loop) { return *loop; }));
}

Scalar ScalarReader::open(Scalar scalar) {
  for (unsigned depth = 0; depth < kMaxDepth && scalar.element; ++depth) {
    Value yielded;
    const Frame *frame = getElementwiseFrame(scalar.element, yielded);
    if (!frame)
      break;
    scalar = resolve(yielded, frame);
  }
  return scalar;
}

Scalar ScalarReader::getOperand(const Scalar &scalar, unsigned index) {
  return resolve(scalar.getOp()->getOperand(index), scalar.frame);
}

std::optional<Reduction> ScalarReader::matchReduction(const Scalar &scalar) {
  auto result = dyn_cast_or_null<OpResult>(scalar.element.source);
  auto op = result ? dyn_cast<linalg::LinalgOp>(result.getOwner()) : linalg::LinalgOp();
  if (!op || op.getNumReductionLoops() == 0 || op->getNumRegions() != 1)
    return std::nullopt;
  unsigned number = result.getResultNumber();
  OpOperand *init = op.getDpsInitOperand(number);
  auto loops = view::invertMap(op.getMatchingIndexingMap(init), scalar.element.indices);
  if (!loops)
    return std::nullopt;
  Reduction reduction;
  SmallVector<Index> positions;
  SmallVector<Size> extents = view::getLoopSizes(op, sizes);
  for (auto [dim, type] : llvm::enumerate(op.getIteratorTypesArray())) {
    if (std::optional<Index> &loop = (*loops)[dim]) {
      positions.push_back(*loop);
      continue;
    }
    if (type != utils::IteratorType::reduction)
      return std::nullopt;
    auto [entry, isNew] = boundAtoms.try_emplace({op, unsigned(dim)}, 0);
    if (isNew)
      entry->second = space.addAtom(extents[dim]);
    reduction.bound.push_back(entry->second);
    positions.push_back(space.get(entry->second));
  }
  const Frame *frame = addFrame(op, positions);
  Block *body = op.getBlock();
  Value yielded = body->getTerminator()->getOperand(number);
  Value accumulator = op.getMatchingBlockArgument(init);
  Operation *combiner = yielded.getDefiningOp();
  if (!combiner || combiner->getBlock() != body)
    return std::nullopt;
  reduction.combiner = combiner;
  reduction.init = resolve(accumulator, frame);
  Value a, b;
  if (auto select = dyn_cast<arith::SelectOp>(combiner)) {
    // select(x > y, x, y) is a maximum.
    a = select.getTrueValue(), b = select.getFalseValue();
    auto compare = select.getCondition().getDefiningOp<arith::CmpFOp>();
    if (!compare)
      return std::nullopt;
    using Predicate = arith::CmpFPredicate;
    bool greater = llvm::is_contained(
        {Predicate::OGT, Predicate::OGE, Predicate::UGT, Predicate::UGE}, compare.getPredicate());
    bool less = llvm::is_contained({Predicate::OLT, Predicate::OLE, Predicate::ULT, Predicate::ULE},
                                   compare.getPredicate());
    Value l = compare.getLhs(), r = compare.getRhs();
    reduction.isMax = (greater && l == a && r == b) || (less && l == b && r == a);
    if (!reduction.isMax)
      return std::nullopt;
  } else if (combiner->getNumOperands() == 2) {
    a = combiner->getOperand(0), b = combiner->getOperand(1);
    reduction.isMax = isa<arith::MaximumFOp, arith::MaxNumFOp>(combiner);
  } else {
    return std::nullopt;
  }
  if ((a == accumulator) == (b == accumulator))
    return std::nullopt;
  reduction.body = resolve(a == accumulator ? b : a, frame);
  return reduction;
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

std::optional<APFloat> ScalarReader::getConstant(const Scalar &closed) {
  Scalar scalar = open(closed);
  if (scalar.element) {
    ElementsAttr attr;
    if (!matchPattern(scalar.element.source, m_Constant(&attr)))
      return std::nullopt;
    if (auto dense = dyn_cast<DenseFPElementsAttr>(attr); dense && dense.isSplat())
      return dense.getSplatValue<APFloat>();
    return std::nullopt;
  }
  FloatAttr attr;
  if (matchPattern(scalar.value, m_Constant(&attr)))
    return attr.getValue();
  Operation *op = scalar.getOp();
  if (!op || !isa<arith::TruncFOp, arith::ExtFOp>(op))
    return std::nullopt;
  std::optional<APFloat> value = getConstant(getOperand(scalar, 0));
  if (!value)
    return std::nullopt;
  bool losesInfo;
  value->convert(cast<FloatType>(scalar.getType()).getFloatSemantics(),
                 APFloat::rmNearestTiesToEven, &losesInfo);
  return value;
}

std::optional<double> ScalarReader::getConstantDouble(const Scalar &scalar) {
  std::optional<APFloat> value = getConstant(scalar);
  if (!value)
    return std::nullopt;
  bool losesInfo;
  value->convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &losesInfo);
  return value->convertToDouble();
}

//===----------------------------------------------------------------------===//
// Equality
//===----------------------------------------------------------------------===//

bool ScalarReader::match(const Scalar &a, const Scalar &b,
                         const llvm::SmallDenseSet<unsigned> &bound,
                         llvm::SmallDenseMap<unsigned, unsigned> &renaming, unsigned depth) {
  if (depth == 0)
    steps = kMaxSteps;
  if (depth > kMaxDepth || steps == 0 || a.getType() != b.getType())
    return false;
  --steps;
  auto matchIndices = [&](ArrayRef<Index> x, ArrayRef<Index> y) {
    auto attempt = renaming;
    if (x.size() != y.size() || !llvm::all_of(llvm::zip(x, y), [&](auto pair) {
          return space.matchRenamed(std::get<0>(pair), std::get<1>(pair), bound, attempt);
        }))
      return false;
    renaming = attempt;
    return true;
  };
  if (a.element && b.element && a.element.source == b.element.source &&
      matchIndices(a.element.indices, b.element.indices))
    return true;
  if (std::optional<APFloat> x = getConstant(a))
    if (std::optional<APFloat> y = getConstant(b))
      return x->bitwiseIsEqual(*y);
  Scalar x = open(a), y = open(b);
  if (x.value && x.value == y.value && (!x.frame || !y.frame))
    return !x.frame && !y.frame;
  Operation *p = x.getOp(), *q = y.getOp();
  if (!p || !q) {
    // Two reductions of the same kind, over the same thing.
    std::optional<Reduction> r = matchReduction(x), s = matchReduction(y);
    if (!r || !s || r->combiner->getName() != s->combiner->getName() ||
        r->bound.size() != s->bound.size() || r->isMax != s->isMax)
      return false;
    llvm::SmallDenseSet<unsigned> inner = bound;
    inner.insert(s->bound.begin(), s->bound.end());
    return match(r->init, s->init, bound, renaming, depth + 1) &&
           match(r->body, s->body, inner, renaming, depth + 1);
  }
  if (p->getName() != q->getName() || p->getNumOperands() != q->getNumOperands() ||
      p->getAttrDictionary() != q->getAttrDictionary() || p->getNumRegions() != 0 ||
      p->getNumResults() != 1)
    return false;
  if (auto index = dyn_cast<linalg::IndexOp>(p))
    return matchIndices(x.frame->loops[index.getDim()],
                        y.frame->loops[cast<linalg::IndexOp>(q).getDim()]);
  if (p->getNumOperands() == 0)
    return p == q || isa<arith::ConstantOp>(p);
  for (unsigned i = 0, e = p->getNumOperands(); i < e; ++i)
    if (!match(getOperand(x, i), getOperand(y, i), bound, renaming, depth + 1))
      return false;
  return true;
}

bool ScalarReader::isSame(const Scalar &a, const Scalar &b) {
  llvm::SmallDenseMap<unsigned, unsigned> renaming;
  return match(a, b, {}, renaming);
}

template <typename RangeT>
static llvm::SmallDenseSet<unsigned> collectLeaves(const view::IndexSpace &space,
                                                   const RangeT &atoms) {
  llvm::SmallDenseSet<unsigned> leaves;
  for (unsigned atom : atoms)
    for (unsigned leaf : space.getLeaves(atom))
      leaves.insert(leaf);
  return leaves;
}

llvm::SmallDenseSet<unsigned>
ScalarReader::getLeaves(const llvm::SmallDenseSet<unsigned> &atoms) const {
  return collectLeaves(space, atoms);
}

llvm::SmallDenseSet<unsigned> ScalarReader::getLeaves(ArrayRef<unsigned> atoms) const {
  return collectLeaves(space, atoms);
}

bool ScalarReader::reachesFrom(const Scalar &closed, Value source, unsigned depth) {
  if (depth > kMaxDepth || steps == 0)
    return false;
  --steps;
  if (closed.element && closed.element.source == source)
    return true;
  Scalar scalar = open(closed);
  if (scalar.element && scalar.element.source == source)
    return true;
  if (std::optional<Reduction> reduction = matchReduction(scalar))
    return reachesFrom(reduction->body, source, depth + 1);
  Operation *op = scalar.getOp();
  if (!op || op->getNumRegions() != 0)
    return false;
  for (unsigned i = 0, e = op->getNumOperands(); i < e; ++i)
    if (reachesFrom(getOperand(scalar, i), source, depth + 1))
      return true;
  return false;
}

bool ScalarReader::reaches(const Scalar &scalar, Value source) {
  steps = kMaxSteps;
  return reachesFrom(scalar, source, 0);
}

Scalar raise::skipCasts(ScalarReader &reader, Scalar scalar, SmallVectorImpl<Operation *> *casts) {
  while (true) {
    scalar = reader.open(scalar);
    Operation *op = scalar.getOp();
    if (!op || !isa<arith::ExtFOp, arith::TruncFOp>(op))
      return scalar;
    if (casts)
      casts->push_back(op);
    scalar = reader.getOperand(scalar, 0);
  }
}
