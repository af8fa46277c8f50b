// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ElfattBranch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;
using view::Index;
using view::Size;
using view::Term;

/// Bounds the sums, parts and movements that are looked at.
static constexpr unsigned kMaxAddends = 8;
static constexpr unsigned kMaxParts = 64;
static constexpr unsigned kMaxMoves = 32;

static LogicalResult refuse(JoinRefusal &why, JoinReason reason, const Twine &detail = "") {
  why = {reason, detail.str()};
  return failure();
}

//===----------------------------------------------------------------------===//
// Joins
//===----------------------------------------------------------------------===//

/// A part that `insert` writes: all of its destination but for one dim.
static std::optional<Join::Part> matchInsertedPart(tensor::InsertSliceOp insert, unsigned &dim) {
  if (!insert.hasUnitStride())
    return std::nullopt;
  RankedTensorType type = insert.getDestType();
  std::optional<unsigned> cut;
  for (unsigned d = 0, e = type.getRank(); d < e; ++d) {
    std::optional<int64_t> offset = getConstantIntValue(insert.getMixedOffsets()[d]);
    std::optional<int64_t> size = getConstantIntValue(insert.getMixedSizes()[d]);
    if (offset == 0 && size && size == type.getDimSize(d))
      continue;
    if (cut || !offset || !size || type.isDynamicDim(d))
      return std::nullopt;
    cut = d;
  }
  if (!cut)
    return std::nullopt;
  llvm::SmallBitVector dropped = insert.getDroppedDims();
  if (dropped.count() > 1 || (dropped.any() && !dropped.test(*cut)))
    return std::nullopt;
  dim = *cut;
  return Join::Part{insert.getSource(), *getConstantIntValue(insert.getMixedOffsets()[dim]),
                    *getConstantIntValue(insert.getMixedSizes()[dim]), dropped.any()};
}

static std::optional<Join> matchInsertions(tensor::InsertSliceOp last) {
  // The end of the chain alone.
  for (OpOperand &use : last->getUses())
    if (auto next = dyn_cast<tensor::InsertSliceOp>(use.getOwner());
        next && &use == &next.getDestMutable())
      return std::nullopt;
  Join join{last.getResult(), 0, {}};
  int64_t left = 0;
  for (tensor::InsertSliceOp insert = last; insert && join.parts.size() < kMaxParts;
       insert = insert.getDest().getDefiningOp<tensor::InsertSliceOp>()) {
    unsigned dim;
    std::optional<Join::Part> part = matchInsertedPart(insert, dim);
    if (!part || (insert != last && dim != join.dim))
      return std::nullopt;
    if (insert == last)
      left = last.getDestType().getDimSize(dim);
    join.dim = dim;
    if (llvm::any_of(join.parts, [&](const Join::Part &other) {
          return part->offset < other.offset + other.size &&
                 other.offset < part->offset + part->size;
        }))
      return std::nullopt;
    join.parts.push_back(*part);
    left -= part->size;
    if (left != 0)
      continue;
    llvm::sort(join.parts,
               [](const Join::Part &a, const Join::Part &b) { return a.offset < b.offset; });
    return join;
  }
  return std::nullopt;
}

std::optional<Join> raise::matchJoin(Operation *op) {
  if (auto insert = dyn_cast<tensor::InsertSliceOp>(op))
    return matchInsertions(insert);
  auto concat = dyn_cast<tensor::ConcatOp>(op);
  if (!concat || concat.getInputs().size() > kMaxParts)
    return std::nullopt;
  Join join{concat.getResult(), unsigned(concat.getDim()), {}};
  int64_t offset = 0;
  SmallVector<Value> inputs(llvm::reverse(concat.getInputs()));
  while (!inputs.empty() && join.parts.size() < kMaxParts) {
    Value input = inputs.pop_back_val();
    // A concatenation of concatenations along the same dim.
    if (auto inner = input.getDefiningOp<tensor::ConcatOp>();
        inner && inner.getDim() == concat.getDim()) {
      inputs.append(llvm::to_vector(llvm::reverse(inner.getInputs())));
      continue;
    }
    int64_t size = cast<RankedTensorType>(input.getType()).getDimSize(join.dim);
    if (ShapedType::isDynamic(size))
      return std::nullopt;
    join.parts.push_back({input, offset, size, false});
    offset += size;
  }
  return inputs.empty() && join.parts.size() > 1 ? std::optional(join) : std::nullopt;
}

/// The attention op that `value` is moved from, by a view or not.
static Operation *findMoved(Value value) {
  for (unsigned steps = 0; steps < kMaxMoves; ++steps) {
    Operation *op = value.getDefiningOp();
    if (!op || isa<attention::LinearOp, attention::SdpaOp>(op))
      return op;
    if (auto linalg = dyn_cast<linalg::LinalgOp>(op)) {
      OpOperand *copied = view::getCopiedOperand(linalg);
      if (!copied)
        return nullptr;
      value = copied->get();
    } else if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::ExtractSliceOp,
                   tensor::ConcatOp, tensor::CastOp, tensor::PadOp>(op)) {
      value = op->getOperand(0);
    } else {
      return nullptr;
    }
  }
  return nullptr;
}

//===----------------------------------------------------------------------===//
// BranchReader
//===----------------------------------------------------------------------===//

BranchReader::BranchReader(ScalarReader &reader, const Join &join)
    : reader(reader), space(reader.getSpace()), join(join) {
  for (const Size &size : reader.getSizes().getSizes(join.value))
    atoms.push_back(space.addAtom(size));
}

/// The operands of `op` where its result is read at `at`.
template <typename OpTy>
LogicalResult BranchReader::readOperands(OpTy op, const Element &at, Branch &branch,
                                         JoinRefusal &why) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  auto loops = view::invertMap(maps.back(), at.indices);
  if (!loops)
    return refuse(why, JoinReason::NotAView, "the result of a branch is no view");
  auto dims = attention::AttentionDims::get(op);
  SmallVector<Index> position;
  for (auto [dim, index] : llvm::enumerate(*loops)) {
    if (index) {
      position.push_back(*index);
      continue;
    }
    // Keys and channels: the size as the operand has it.
    std::optional<Size> extent;
    for (auto [operand, map] : llvm::zip(op.getViewedOperands(), maps))
      for (auto [i, expr] : llvm::enumerate(map.getResults()))
        if (expr == getAffineDimExpr(dim, op->getContext()))
          extent = reader.getSizes().getSize(operand->get(), i);
    if (!extent)
      return refuse(why, JoinReason::NotAView, "a dim has no extent");
    unsigned atom = space.addAtom(*extent);
    if (dim == dims.channels)
      branch.channel = atom;
    else
      branch.keys.push_back(atom);
    position.push_back(space.get(atom));
  }
  branch.value = position[dims.values];
  auto read = [&](Value operand, AffineMap map, Element &element) {
    auto indices = reader.getTracer().apply(map, position);
    if (!indices)
      return false;
    element = reader.read(operand, *indices).element;
    return true;
  };
  if (!read(op.getQuery(), maps[0], branch.query) || !read(op.getKey(), maps[1], branch.key) ||
      !read(op.getValue(), maps[2], branch.values))
    return refuse(why, JoinReason::NotAView, "an operand is no view");
  return success();
}

/// The joined dim counts heads, around the values if it holds them.
LogicalResult BranchReader::splitChannels(Branch &branch, JoinRefusal &why) {
  branch.value = space.normalize(branch.value);
  Index joined = space.get(branch.joinAtom), rest;
  Size values(1);
  for (const Term &term : branch.value.terms)
    values = values * space.getExtent(term.atom);
  unsigned found = 0;
  for (const Term &term : joined.terms) {
    if (llvm::is_contained(branch.value.terms, term))
      ++found;
    else
      rest.terms.push_back(term);
  }
  if (found != 0 && found != branch.value.terms.size())
    return refuse(why, JoinReason::OtherHeads, "the joined dim holds a part of the values");
  Size count(1);
  for (const Term &term : rest.terms) {
    std::optional<Size> stride = found == 0 ? term.stride : term.stride.divide(values);
    if (!stride)
      return refuse(why, JoinReason::OtherHeads, "heads and values are interleaved");
    branch.head.terms.push_back({term.atom, *stride});
    count = count * space.getExtent(term.atom);
  }
  std::optional<int64_t> heads = count.getStatic();
  if (!heads)
    return refuse(why, JoinReason::OtherHeads, "the number of heads is not known");
  branch.heads = *heads;
  return success();
}

FailureOr<Branch> BranchReader::read(unsigned number, JoinRefusal &why, Operation *&attention) {
  const Join::Part &part = join.parts[number];
  Branch branch;
  branch.part = number;
  SmallVector<Index> indices;
  for (auto [dim, atom] : llvm::enumerate(atoms)) {
    if (dim != join.dim) {
      indices.push_back(space.get(atom));
      continue;
    }
    branch.joinAtom = space.addAtom(Size(part.size));
    if (!part.isDropped)
      indices.push_back(space.get(branch.joinAtom));
  }

  // A sum, one of whose terms is the attention.
  SmallVector<Scalar, 4> work{reader.read(part.tensor, indices)};
  Element at;
  for (unsigned steps = 0; !work.empty() && steps < kMaxAddends; ++steps) {
    Scalar closed = work.pop_back_val(), scalar = reader.open(closed);
    if (isa_and_nonnull<arith::AddFOp>(scalar.getOp())) {
      work.push_back(reader.getOperand(scalar, 0));
      work.push_back(reader.getOperand(scalar, 1));
      continue;
    }
    Operation *op = scalar.element ? scalar.element.source.getDefiningOp() : nullptr;
    if (!branch.op && isa_and_nonnull<attention::LinearOp, attention::SdpaOp>(op)) {
      branch.op = attention = op;
      at = scalar.element;
    } else {
      branch.addends.push_back(closed);
    }
  }
  if (!branch.op || !work.empty()) {
    if (branch.op || !(attention = findMoved(part.tensor)))
      return refuse(why, JoinReason::OtherPart);
    return refuse(why, JoinReason::NotAView, "a branch is rolled, or moved by no view");
  }

  if (auto sdpa = dyn_cast<attention::SdpaOp>(branch.op)) {
    branch.isLocal = true;
    if (!sdpa.getBias().empty() || sdpa.getCausal() || !sdpa.getScore().empty())
      return refuse(why, JoinReason::LocalBias);
    if (failed(readOperands(sdpa, at, branch, why)))
      return failure();
  } else if (failed(readOperands(cast<attention::LinearOp>(branch.op), at, branch, why))) {
    return failure();
  }
  for (auto *addend = branch.addends.begin(); addend != branch.addends.end(); ++addend)
    if ((branch.lepe = matchDepthwiseConv(reader, *addend))) {
      branch.lepeAddend = *addend;
      branch.addends.erase(addend);
      break;
    }
  if (failed(splitChannels(branch, why)))
    return failure();
  return branch;
}
