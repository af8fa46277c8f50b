// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ViewPlan.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;
using view::Index;
using view::IndexSpace;
using view::Size;
using view::Term;

std::optional<unsigned> Domain::find(unsigned atom) const {
  const unsigned *entry = llvm::find(atoms, atom);
  if (entry == atoms.end())
    return std::nullopt;
  return entry - atoms.begin();
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

bool ViewPlan::uses(unsigned atom) const {
  return llvm::any_of(dims, [&](ArrayRef<Factor> factors) {
    return llvm::any_of(factors, [&](const Factor &factor) { return factor.atom == atom; });
  });
}

bool ViewPlan::isOver(const Domain &domain) const {
  return llvm::all_of(dims, [&](ArrayRef<Factor> factors) {
    return llvm::all_of(factors, [&](const Factor &f) { return !f.atom || domain.find(*f.atom); });
  });
}

void ViewPlan::addUnit(unsigned atom) {
  for (auto &factors : dims)
    for (Factor &factor : factors)
      if (!factor.atom && factor.size.isOne()) {
        factor.atom = atom;
        return;
      }
  dims.back().push_back({Size(1), atom, Size(1), 0});
}

AffineMap ViewPlan::getMap(const Domain &domain, MLIRContext *context) const {
  SmallVector<AffineExpr> results;
  for (ArrayRef<Factor> factors : dims)
    for (const Factor &factor : factors)
      results.push_back(factor.atom ? getAffineDimExpr(*domain.find(*factor.atom), context)
                                    : getAffineConstantExpr(factor.digit, context));
  return AffineMap::get(domain.atoms.size(), 0, results, context);
}

/// Cuts a dim of `size` into the factors that the positions `index` are made of.
static bool planDim(const IndexSpace &space, const Index &position, const Size &size,
                    SmallVectorImpl<Factor> &factors) {
  Index index = space.normalize(position);
  // Two names for one dynamic size: movements make no slice of unknown size, so an
  // atom alone in its dim spans it.
  if (index.terms.size() == 1 && index.offset == 0 && index.terms[0].stride.isOne() &&
      !size.isStatic() && !space.getExtent(index.terms[0].atom).isStatic()) {
    const Size &extent = space.getExtent(index.terms[0].atom);
    factors.push_back({extent, index.terms[0].atom, extent, 0});
    return true;
  }
  Size inner(1); // Product of the factors so far.
  auto digit = [&](const Size &radix) -> std::optional<int64_t> {
    if (index.offset == 0)
      return 0;
    if (!inner.isStatic() || !radix.isStatic())
      return std::nullopt;
    return index.offset / inner.getNumber() % radix.getNumber();
  };
  auto addConstant = [&](const Size &radix) {
    std::optional<int64_t> value = digit(radix);
    if (!value)
      return false;
    factors.push_back({radix, std::nullopt, Size(1), *value});
    inner = inner * radix;
    return true;
  };
  for (int i = index.terms.size() - 1; i >= 0; --i) {
    const Term &term = index.terms[i];
    std::optional<Size> gap = term.stride.divide(inner);
    if (!gap || (!gap->isOne() && !addConstant(*gap)))
      return false;
    const Size &extent = space.getExtent(term.atom);
    Size bound = i > 0 ? index.terms[i - 1].stride : size;
    std::optional<Size> room = bound.divide(term.stride);
    if (!room)
      return false;
    // The atom's own extent where the rest nests around it, else all there is up
    // to the next atom, of which the atom is a slice.
    Size radix = room->divide(extent) ? extent : *room;
    std::optional<int64_t> start = digit(radix);
    if (start && *start != 0)
      start = digit(radix = *room);
    if (!start)
      return false;
    if (radix != extent && (!radix.isStatic() || !extent.isStatic() ||
                            *start + extent.getNumber() > radix.getNumber()))
      return false;
    factors.push_back({radix, term.atom, extent, *start});
    inner = inner * radix;
  }
  std::optional<Size> rest = size.divide(inner);
  if (!rest || ((!rest->isOne() || factors.empty()) && !addConstant(*rest)))
    return false;
  std::reverse(factors.begin(), factors.end());
  return true;
}

/// `plan` for positions in dims of `sizes`, of which `isDynamic` ones have a dynamic
/// type.
static std::optional<ViewPlan> planDims(ScalarReader &reader, ViewPlan plan, ArrayRef<Size> sizes,
                                        ArrayRef<Index> indices,
                                        llvm::function_ref<bool(unsigned)> isDynamic) {
  // What an encoding stores where is for others to say.
  bool isEncoded = plan.source && cast<RankedTensorType>(plan.source.getType()).getEncoding();
  if (isEncoded)
    return std::nullopt;
  for (auto [dim, index] : llvm::enumerate(indices)) {
    plan.dims.emplace_back();
    auto &factors = plan.dims.back();
    if (sizes[dim].isZero() || !planDim(reader.getSpace(), index, sizes[dim], factors))
      return std::nullopt;
    // A reshape keeps a dynamic dim dynamic.
    bool isStatic = llvm::all_of(factors, [](const Factor &f) { return f.size.isStatic(); });
    if (factors.size() > 1 && isStatic == isDynamic(dim))
      return std::nullopt;
  }
  return plan;
}

std::optional<ViewPlan> raise::planView(ScalarReader &reader, const Element &element) {
  auto type = cast<RankedTensorType>(element.source.getType());
  return planDims(reader, ViewPlan{element.source, {}, {}},
                  reader.getSizes().getSizes(element.source), element.indices,
                  [&](unsigned dim) { return type.isDynamicDim(dim); });
}

std::optional<ViewPlan> raise::planView(ScalarReader &reader, ArrayRef<Size> sizes,
                                        ArrayRef<Index> indices) {
  return planDims(reader, ViewPlan(), sizes, indices,
                  [&](unsigned dim) { return !sizes[dim].isStatic(); });
}

std::optional<ViewPlan> raise::planView(ScalarReader &reader, const CollapsedElement &element) {
  auto type = cast<RankedTensorType>(element.source.getType());
  bool isCollapsed = element.groups.size() != size_t(type.getRank());
  ViewPlan plan{element.source, {}, {}};
  if (isCollapsed)
    plan.groups = element.groups;
  return planDims(reader, plan, element.sizes, element.indices, [&](unsigned dim) {
    return llvm::any_of(element.groups[dim], [&](int64_t d) { return type.isDynamicDim(d); });
  });
}

std::optional<ViewPlan> raise::planSource(ScalarReader &reader, const Element &start,
                                          ArrayRef<unsigned> whole) {
  auto chain = reader.getTracer().traceAll(start, whole);
  for (const Element &element : llvm::reverse(chain))
    if (std::optional<ViewPlan> plan = planView(reader, element))
      return plan;
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// The result
//===----------------------------------------------------------------------===//

void OutputPlan::addUnit(unsigned atom) {
  for (auto &group : factors)
    if (group.empty()) {
      group.push_back(atom);
      return;
    }
  factors.back().push_back(atom);
}

AffineMap OutputPlan::getMap(const Domain &domain, MLIRContext *context) const {
  SmallVector<AffineExpr> results;
  for (ArrayRef<unsigned> group : factors)
    for (unsigned atom : group)
      results.push_back(getAffineDimExpr(*domain.find(atom), context));
  return AffineMap::get(domain.atoms.size(), 0, results, context);
}

/// The atoms that a whole dim of `size` is made of, outermost first.
static std::optional<SmallVector<unsigned, 4>> getDigits(const IndexSpace &space,
                                                         const Index &position, const Size &size) {
  Index index = space.normalize(position);
  SmallVector<unsigned, 4> digits;
  Size inner(1);
  if (index.offset != 0)
    return std::nullopt;
  for (const Term &term : llvm::reverse(index.terms)) {
    if (term.stride != inner)
      return std::nullopt;
    inner = inner * space.getExtent(term.atom);
    digits.insert(digits.begin(), term.atom);
  }
  if (inner != size)
    return std::nullopt;
  return digits;
}

static bool updateDigits(ScalarReader &reader, OutputPlan &plan) {
  plan.factors.clear();
  SmallVector<Size> sizes = reader.getSizes().getSizes(plan.value);
  for (auto [index, size] : llvm::zip_equal(plan.dims, sizes)) {
    auto digits = getDigits(reader.getSpace(), index, size);
    if (!digits)
      return false;
    plan.factors.push_back(*digits);
  }
  return true;
}

/// Moves `plan` over the only user of its value, if that is a movement.
static bool stepForward(ScalarReader &reader, OutputPlan &plan) {
  if (!plan.value.hasOneUse())
    return false;
  IndexSpace &space = reader.getSpace();
  OpOperand &use = *plan.value.getUses().begin();
  Operation *user = use.getOwner();
  // Into a loop it would move the attention as well.
  if (user->getBlock() != plan.value.getParentBlock())
    return false;
  SmallVector<Index> dims;
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(user)) {
    SmallVector<Size> sizes = reader.getSizes().getSizes(expand.getResult());
    for (auto [index, group] : llvm::zip(plan.dims, expand.getReassociationIndices())) {
      auto parts =
          space.delinearize(index, ArrayRef<Size>(sizes).slice(group.front(), group.size()));
      if (!parts)
        return false;
      llvm::append_range(dims, *parts);
    }
    dims.resize(sizes.size());
  } else if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(user)) {
    SmallVector<Size> sizes = reader.getSizes().getSizes(plan.value);
    for (const ReassociationIndices &group : collapse.getReassociationIndices()) {
      auto index = space.linearize(ArrayRef<Index>(plan.dims).slice(group.front(), group.size()),
                                   ArrayRef<Size>(sizes).slice(group.front(), group.size()));
      if (!index)
        return false;
      dims.push_back(*index);
    }
  } else if (auto reshape = dyn_cast<tensor::ReshapeOp>(user)) {
    if (use.get() != reshape.getSource() || !isa<RankedTensorType>(reshape.getResult().getType()))
      return false;
    auto indices = space.reshape(plan.dims, reader.getSizes().getSizes(plan.value),
                                 reader.getSizes().getSizes(reshape.getResult()));
    if (!indices)
      return false;
    dims = std::move(*indices);
  } else if (auto op = dyn_cast<linalg::LinalgOp>(user)) {
    if (op->getNumResults() != 1 || op.getNumParallelLoops() != op.getNumLoops() ||
        op.isDpsInit(&use))
      return false;
    if (view::getCopiedOperand(op) != &use) {
      // A cast at the end is where the op rounds.
      Operation *cast = op.getBlock()->getTerminator()->getOperand(0).getDefiningOp();
      if (!isa_and_nonnull<arith::TruncFOp, arith::ExtFOp>(cast) ||
          cast->getOperand(0) != op.getMatchingBlockArgument(&use))
        return false;
      plan.casts.push_back(cast);
    }
    auto loops = view::invertMap(op.getMatchingIndexingMap(&use), plan.dims);
    if (!loops || llvm::is_contained(*loops, std::nullopt))
      return false;
    SmallVector<Index> known;
    for (std::optional<Index> &loop : *loops)
      known.push_back(*loop);
    auto indices =
        reader.getTracer().apply(op.getMatchingIndexingMap(op.getDpsInitOperand(0)), known);
    if (!indices)
      return false;
    dims.assign(indices->begin(), indices->end());
  } else {
    return false;
  }
  if (cast<RankedTensorType>(user->getResult(0).getType()).getEncoding())
    return false;
  plan.value = user->getResult(0);
  plan.dims = std::move(dims);
  return updateDigits(reader, plan);
}

std::optional<OutputPlan> raise::planOutput(ScalarReader &reader, Value result,
                                            ArrayRef<Index> indices, ArrayRef<unsigned> whole,
                                            llvm::function_ref<bool(const OutputPlan &)> isWanted) {
  OutputPlan plan{result, {}, llvm::to_vector(indices), {}, {}};
  if (plan.dims.empty() || cast<RankedTensorType>(result.getType()).getEncoding() ||
      !updateDigits(reader, plan) || (isWanted && !isWanted(plan)))
    return std::nullopt;
  while (true) {
    OutputPlan next = plan;
    IndexSpace before = reader.getSpace();
    if (!stepForward(reader, next) ||
        llvm::any_of(whole, [&](unsigned atom) { return reader.getSpace().isSplit(atom); }) ||
        (isWanted && !isWanted(next))) {
      reader.getSpace() = before;
      return plan;
    }
    plan = std::move(next);
  }
}
