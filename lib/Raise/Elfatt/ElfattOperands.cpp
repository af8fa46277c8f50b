// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ElfattOperands.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;
using view::Index;
using view::IndexSpace;
using view::Size;
using view::Term;

static LogicalResult refuse(JoinRefusal &why, JoinReason reason, const Twine &detail = "") {
  why = {reason, detail.str()};
  return failure();
}

const Element &ElfattRole::getElement(unsigned branch) const {
  const Branch &of = *branches[branch];
  return kind == Query ? of.query : kind == Key ? of.key : of.values;
}

FailureOr<std::optional<Size>> raise::takeMultiple(const IndexSpace &space, Index &index,
                                                   const Index &base) {
  Index terms = space.normalize(base), rest;
  rest.offset = index.offset;
  Index found;
  for (const Term &term : space.normalize(index).terms) {
    bool isOfBase = llvm::any_of(terms.terms, [&](const Term &t) { return t.atom == term.atom; });
    (isOfBase ? found : rest).terms.push_back(term);
  }
  if (found.terms.empty())
    return std::optional<Size>();
  std::optional<Size> factor = found.terms.back().stride.divide(terms.terms.back().stride);
  if (!factor || found.terms.size() != terms.terms.size())
    return failure();
  for (auto [term, unit] : llvm::zip_equal(found.terms, terms.terms))
    if (term.atom != unit.atom || term.stride != unit.stride * *factor)
      return failure();
  index = rest;
  return factor;
}

std::optional<PlacedElement> raise::place(const IndexSpace &space, const CollapsedElement &element,
                                          const Branch &branch, bool isValue, unsigned canonical) {
  PlacedElement placed{element, std::nullopt, 0};
  for (auto [dim, index] : llvm::enumerate(placed.element.indices)) {
    FailureOr<std::optional<Size>> head = takeMultiple(space, index, branch.head);
    if (failed(head))
      return std::nullopt;
    if (*head) {
      if (placed.headDim || !(*head)->isStatic())
        return std::nullopt;
      placed.headDim = dim;
      placed.headStride = (*head)->getNumber();
    }
    Index own = isValue ? branch.value : space.get(branch.channel);
    FailureOr<std::optional<Size>> stride = takeMultiple(space, index, own);
    if (failed(stride))
      return std::nullopt;
    if (*stride)
      index.terms.push_back({canonical, **stride});
    index = space.normalize(index);
  }
  // Heads that share an element.
  if (branch.heads > 1 && !placed.headDim)
    return std::nullopt;
  return placed;
}

FailureOr<ElfattOperand> raise::mergeHeads(ScalarReader &reader, const ElfattRole &role,
                                           const ElfattAtoms &atoms, JoinRefusal &why) {
  const IndexSpace &space = reader.getSpace();
  bool isValue = role.kind == ElfattRole::Value;
  SmallVector<PlacedElement, 0> placed;
  for (auto [branch, element] : llvm::zip_equal(role.branches, role.elements)) {
    if (!element.source)
      return refuse(why, JoinReason::OtherSources, "the tokens of the branches differ in order");
    auto one = place(space, element, *branch, isValue, isValue ? atoms.value : atoms.channel);
    if (!one)
      return refuse(why, JoinReason::OtherHeads);
    placed.push_back(std::move(*one));
  }
  PlacedElement &first = placed.front();
  for (const PlacedElement &other : placed) {
    if (other.element.source != first.element.source)
      return refuse(why, JoinReason::OtherSources);
    if (other.element.groups != first.element.groups)
      return refuse(why, JoinReason::OtherHeads);
    for (auto [a, b] : llvm::zip_equal(first.element.indices, other.element.indices))
      if (a.terms != b.terms)
        return refuse(why, JoinReason::OtherHeads, "the branches differ in more than their heads");
  }
  // Where every head lies: one arithmetic sequence, in one dim.
  std::optional<unsigned> headDim;
  int64_t step = 0, next = 0;
  SmallVector<int64_t> last;
  bool isFirst = true;
  for (auto [branch, one] : llvm::zip_equal(role.branches, placed))
    for (int64_t head = 0; head < branch->heads; ++head) {
      SmallVector<int64_t> position;
      for (const Index &index : one.element.indices)
        position.push_back(index.offset);
      if (one.headDim)
        position[*one.headDim] += head * one.headStride;
      std::optional<unsigned> moved;
      for (unsigned dim = 0; dim < position.size() && !isFirst; ++dim) {
        if (position[dim] == last[dim])
          continue;
        if (moved)
          return refuse(why, JoinReason::OtherHeads);
        moved = dim;
        next = position[dim] - last[dim];
      }
      if (!isFirst && (!moved || next <= 0))
        return refuse(why, JoinReason::OtherHeads);
      if (!isFirst && headDim && (headDim != moved || next != step))
        return refuse(why, JoinReason::OtherHeads);
      if (!isFirst)
        headDim = moved, step = next;
      last = position;
      isFirst = false;
    }
  CollapsedElement merged = first.element;
  if (headDim) {
    Index &index = merged.indices[*headDim];
    index.terms.push_back({atoms.head, Size(step)});
    index = space.normalize(index);
  }
  std::optional<ViewPlan> view = planView(reader, merged);
  if (!view)
    return refuse(why, JoinReason::NotAView, "an operand is no view");
  return ElfattOperand{std::move(*view), std::nullopt};
}

//===----------------------------------------------------------------------===//
// Projections
//===----------------------------------------------------------------------===//

/// Whether all atoms of `element` are parts of those that `isKnown` accepts.
static bool hasOnly(const IndexSpace &space, const Element &element,
                    llvm::function_ref<bool(unsigned)> isKnown) {
  return llvm::all_of(element.indices, [&](const Index &index) {
    return llvm::all_of(space.normalize(index).terms, [&](const Term &term) {
      return term.stride.isStatic() && isKnown(term.atom);
    });
  });
}

/// Where the first element of `weight` lies in its constant.
static int64_t getOffset(const IndexSpace &space, const Element &weight) {
  int64_t offset = 0;
  auto type = cast<RankedTensorType>(weight.source.getType());
  for (auto [index, size] : llvm::zip_equal(weight.indices, type.getShape()))
    offset = offset * size + space.normalize(index).offset;
  return offset;
}

FailureOr<ElfattOperand> raise::joinProjections(ScalarReader &reader, ElfattTokens &tokens,
                                                const ElfattRole &role, const ElfattAtoms &atoms,
                                                JoinRefusal &why) {
  IndexSpace &space = reader.getSpace();
  bool isValue = role.kind == ElfattRole::Value;
  JoinedProjection joined;
  CollapsedElement input;
  SmallVector<llvm::SmallDenseMap<unsigned, unsigned>> renamings;
  for (auto [i, branch] : llvm::enumerate(role.branches)) {
    const Element &element = role.getElement(i);
    std::optional<Projection> projection =
        matchProjection(reader, Scalar{{}, nullptr, element, element});
    if (!projection)
      return refuse(why, JoinReason::OtherSources,
                    "an operand is no projection by constant weights");
    std::optional<CollapsedElement> own = tokens.collapse(projection->input, *branch);
    if (!own)
      return refuse(why, JoinReason::OtherSources, "the projections are not of the same tokens");
    renamings.emplace_back();
    if (i == 0)
      input = *own;
    llvm::SmallDenseSet<unsigned> bound(projection->reduced.begin(), projection->reduced.end());
    if (own->source != input.source || own->groups != input.groups ||
        !llvm::all_of(llvm::zip_equal(input.indices, own->indices), [&](auto pair) {
          return space.matchRenamed(std::get<0>(pair), std::get<1>(pair), bound, renamings.back());
        }))
      return refuse(why, JoinReason::OtherSources, "the projections have different inputs");
    for (const ProjectionColumns &other : joined.columns)
      if (other.projection.weight.source == projection->weight.source &&
          getOffset(space, other.projection.weight) == getOffset(space, projection->weight))
        return refuse(why, JoinReason::OtherHeads, "the branches share heads");
    ProjectionColumns columns{*projection,
                              branch->head,
                              isValue ? branch->value : space.get(branch->channel),
                              branch->heads,
                              1,
                              {}};
    joined.columns.push_back(std::move(columns));
  }
  // All cuts are made: the atoms of the input, and those of each projection.
  const llvm::SmallVector<unsigned> &reduced = joined.columns.front().projection.reduced;
  auto isIn = [&](ArrayRef<unsigned> roots, unsigned atom) {
    return llvm::any_of(roots, [&](unsigned root) { return space.isPartOf(atom, root); });
  };
  SmallVector<Size> sizes;
  SmallVector<Index> indices;
  for (const Index &index : input.indices)
    for (const Term &term : space.normalize(index).terms) {
      if (isIn(reduced, term.atom)) {
        joined.reduced.push_back(term.atom);
        if (!space.getExtent(term.atom).isStatic())
          return refuse(why, JoinReason::OtherSources, "a projection has a dynamic size");
        continue;
      }
      joined.rows.push_back(term.atom);
      sizes.push_back(space.getExtent(term.atom));
      indices.push_back(space.get(term.atom));
    }
  std::optional<ViewPlan> view = planView(reader, input);
  if (!view)
    return refuse(why, JoinReason::NotAView, "a projection's input is no view");
  joined.input = std::move(*view);
  int64_t channels = space.getExtent(isValue ? atoms.value : atoms.channel).getNumber();
  for (auto [columns, renaming] : llvm::zip_equal(joined.columns, renamings)) {
    columns.channels = channels;
    for (unsigned atom : joined.reduced) {
      auto entry = llvm::find_if(renaming, [&](auto &e) { return e.second == atom; });
      if (entry == renaming.end())
        return refuse(why, JoinReason::OtherSources, "the projections sum over different inputs");
      columns.reduced.push_back(entry->first);
    }
    auto isColumn = [&](unsigned atom) {
      auto isOf = [&](const Index &base) {
        return llvm::any_of(space.normalize(base).terms,
                            [&](const Term &term) { return term.atom == atom; });
      };
      return isOf(columns.head) || isOf(columns.channel);
    };
    auto isReduced = [&](unsigned atom) { return llvm::is_contained(columns.reduced, atom); };
    if (!hasOnly(space, columns.projection.weight,
                 [&](unsigned atom) { return isColumn(atom) || isReduced(atom); }) ||
        (columns.projection.bias && !hasOnly(space, *columns.projection.bias, isColumn)))
      return refuse(why, JoinReason::OtherSources, "a projection differs from token to token");
  }
  Index column;
  column.terms = {{atoms.head, Size(channels)}, {isValue ? atoms.value : atoms.channel, Size(1)}};
  sizes.push_back(Size(joined.getNumColumns()));
  indices.push_back(space.normalize(column));
  std::optional<ViewPlan> result = planView(reader, sizes, indices);
  if (!result)
    return refuse(why, JoinReason::NotAView, "an operand is no view");
  return ElfattOperand{std::move(*result), std::move(joined)};
}
