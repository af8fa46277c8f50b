// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ElfattTokens.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;
using view::Index;
using view::Size;
using view::Term;

static bool mentions(const view::IndexSpace &space, const Element &element, unsigned leaf) {
  return llvm::any_of(element.indices, [&](const Index &index) {
    return llvm::any_of(space.normalize(index).terms,
                        [&](const Term &term) { return term.atom == leaf; });
  });
}

/// `index` with its smallest stride 1; fails where that divides not all.
static std::optional<Index> toUnitStride(const Index &index, Size &unit) {
  if (index.terms.empty())
    return std::nullopt;
  unit = index.terms.back().stride;
  Index result;
  for (const Term &term : index.terms) {
    std::optional<Size> stride = term.stride.divide(unit);
    if (!stride)
      return std::nullopt;
    result.terms.push_back({term.atom, *stride});
  }
  return result;
}

//===----------------------------------------------------------------------===//
// One sequence
//===----------------------------------------------------------------------===//

LogicalResult ElfattTokens::find(const Join &join, ArrayRef<unsigned> atoms, const Branch &global,
                                 JoinRefusal &why) {
  std::optional<unsigned> first, last;
  SmallVector<Index> positions;
  for (auto [dim, root] : llvm::enumerate(atoms)) {
    positions.push_back(space.get(root));
    if (dim == join.dim)
      continue;
    for (unsigned leaf : space.getLeaves(root)) {
      if (!mentions(space, global.query, leaf) || mentions(space, global.key, leaf))
        continue;
      roots.push_back(leaf);
      first = first.value_or(dim);
      last = dim;
    }
  }
  if (!first) {
    why = {JoinReason::OtherTokens, "no dim of the result holds the tokens"};
    return failure();
  }
  SmallVector<Size> sizes = reader.getSizes().getSizes(join.value);
  auto all = *first < join.dim && join.dim < *last
                 ? std::nullopt
                 : space.linearize(ArrayRef<Index>(positions).slice(*first, *last - *first + 1),
                                   ArrayRef<Size>(sizes).slice(*first, *last - *first + 1));
  Index found;
  if (all)
    for (const Term &term : all->terms)
      if (isToken(term.atom))
        found.terms.push_back(term);
  Size unit, next(1);
  std::optional<Index> dense = toUnitStride(found, unit);
  if (dense)
    for (const Term &term : llvm::reverse(dense->terms)) {
      if (term.stride != next)
        dense.reset();
      if (!dense)
        break;
      next = next * space.getExtent(term.atom);
    }
  if (!dense) {
    why = {JoinReason::NotAView, "the tokens of the result are in no row-major order"};
    return failure();
  }
  tokens = *dense;
  atom = space.addAtom(next);
  return success();
}

std::optional<CollapsedElement> ElfattTokens::collapse(const Element &element, Branch &branch) {
  auto countsTokens = [&](const Term &term) {
    return isToken(term.atom) || llvm::is_contained(branch.keys, space.getRoot(term.atom));
  };
  std::optional<unsigned> first;
  unsigned last = 0;
  SmallVector<Index, 0> indices;
  for (auto [dim, index] : llvm::enumerate(element.indices)) {
    indices.push_back(space.normalize(index));
    if (!llvm::any_of(indices.back().terms, countsTokens))
      continue;
    first = first.value_or(dim);
    last = dim;
  }
  if (!first)
    return std::nullopt;
  SmallVector<Size> sizes = reader.getSizes().getSizes(element.source);
  auto linear = space.linearize(ArrayRef<Index>(indices).slice(*first, last - *first + 1),
                                ArrayRef<Size>(sizes).slice(*first, last - *first + 1));
  if (!linear)
    return std::nullopt;
  Index counting, merged;
  merged.offset = linear->offset;
  for (const Term &term : space.normalize(*linear).terms)
    (countsTokens(term) ? counting : merged).terms.push_back(term);
  Size unit;
  std::optional<Index> dense = toUnitStride(counting, unit);
  llvm::SmallDenseSet<unsigned> bound(branch.keys.begin(), branch.keys.end());
  auto renaming = branch.renaming;
  if (!dense || !space.matchRenamed(tokens, *dense, bound, renaming))
    return std::nullopt;
  branch.renaming = std::move(renaming);
  tokens = space.normalize(tokens);
  merged.terms.push_back({atom, unit});

  CollapsedElement result{element.source, {}, {}, {}};
  for (unsigned dim = 0; dim < indices.size(); ++dim) {
    if (dim > *first && dim <= last) {
      result.groups.back().push_back(dim);
      result.sizes.back() = result.sizes.back() * sizes[dim];
      continue;
    }
    result.groups.push_back({int64_t(dim)});
    result.sizes.push_back(sizes[dim]);
    result.indices.push_back(dim == *first ? space.normalize(merged) : indices[dim]);
  }
  return result;
}

LogicalResult ElfattTokens::checkKeys(Branch &branch, JoinRefusal &why) {
  llvm::SmallDenseSet<unsigned> seen;
  for (unsigned key : branch.keys)
    for (unsigned leaf : space.getLeaves(key)) {
      auto entry = branch.renaming.find(leaf);
      if (entry == branch.renaming.end()) {
        why = {JoinReason::OtherTokens, "a key is no token of the result"};
        return failure();
      }
      for (unsigned image : space.getLeaves(entry->second))
        seen.insert(image);
    }
  if (!branch.isLocal) {
    if (llvm::all_of(tokens.terms, [&](const Term &term) { return seen.contains(term.atom); }))
      return success();
    why = {JoinReason::OtherTokens, "the global branch does not see all tokens"};
    return failure();
  }
  // Of several local branches each has the same window.
  if (windowLeaves) {
    llvm::SmallDenseSet<unsigned> known;
    for (unsigned root : inWindow)
      for (unsigned leaf : space.getLeaves(root))
        known.insert(leaf);
    if (known != seen) {
      why = {JoinReason::NoWindows, "the local branches have different windows"};
      return failure();
    }
  }
  windowLeaves = seen;
  inWindow.assign(seen.begin(), seen.end());
  return success();
}

//===----------------------------------------------------------------------===//
// The grid
//===----------------------------------------------------------------------===//

std::optional<Size> ElfattTokens::getStride(unsigned leaf) const {
  for (const Term &term : tokens.terms)
    if (term.atom == leaf)
      return term.stride;
  return std::nullopt;
}

bool ElfattTokens::isOnTokens(const DepthwiseConv &conv, Branch &branch) {
  // It is the values that are convolved, at the token where the result is read.
  llvm::SmallDenseSet<unsigned> bound(branch.keys.begin(), branch.keys.end());
  if (conv.center.source != branch.values.source ||
      !llvm::all_of(llvm::zip_equal(conv.center.indices, branch.values.indices), [&](auto pair) {
        return space.matchRenamed(std::get<0>(pair), std::get<1>(pair), bound, branch.renaming);
      }))
    return false;
  // It covers the grid, or the window.
  size_t leaves = 0;
  for (const DepthwiseConv::Axis &axis : conv.axes) {
    Index position = space.normalize(axis.position);
    Size covered(1);
    for (const Term &term : position.terms) {
      if (!isToken(term.atom) || (branch.isLocal && !isInWindow(term.atom)))
        return false;
      covered = covered * space.getExtent(term.atom);
    }
    if (position.offset != 0 || covered != axis.extent)
      return false;
    leaves += position.terms.size();
  }
  tokens = space.normalize(tokens);
  return leaves == size_t(llvm::count_if(tokens.terms, [&](const Term &term) {
           return !branch.isLocal || isInWindow(term.atom);
         }));
}

/// How far one step along each axis of `conv` goes in the sequence of tokens, or
/// whether that is what `units` say.
bool ElfattTokens::findUnits(const DepthwiseConv &conv, bool isLocal, SmallVector<Size> &units) {
  if (units.empty()) {
    Size unit(1);
    for (const DepthwiseConv::Axis &axis : llvm::reverse(conv.axes)) {
      if (isLocal && &axis != &conv.axes.back()) {
        // A window says nothing of the grid's extent; its strides do.
        Index position = space.normalize(axis.position);
        std::optional<Size> stride =
            position.terms.empty() ? std::nullopt : getStride(position.terms.back().atom);
        std::optional<Size> step =
            stride ? stride->divide(position.terms.back().stride) : std::nullopt;
        if (!step)
          return false;
        unit = *step;
      }
      units.insert(units.begin(), unit);
      if (!isLocal)
        unit = unit * axis.extent;
    }
  }
  if (units.size() != conv.axes.size())
    return false;
  for (auto [axis, unit] : llvm::zip_equal(conv.axes, units))
    for (const Term &term : space.normalize(axis.position).terms)
      if (getStride(term.atom) != term.stride * unit)
        return false;
  return true;
}

bool ElfattTokens::endAxis() {
  std::optional<int64_t> number = inside.getStatic();
  if (!number)
    return false;
  grid.push_back(extent);
  window.push_back(*number);
  extent = inside = Size(1);
  return true;
}

bool ElfattTokens::readGrid(const DepthwiseConv *global, const DepthwiseConv *local) {
  tokens = space.normalize(tokens);
  grid.clear(), window.clear();
  extent = inside = Size(1);
  SmallVector<Size> units;
  if ((global && !findUnits(*global, false, units)) || (local && !findUnits(*local, true, units)))
    return false;
  bool seenWindow = false, hasUnits = !units.empty();
  for (const Term &term : tokens.terms) {
    bool isInside = isInWindow(term.atom);
    // Without a convolution an axis ends where a count of windows follows a
    // position inside of one.
    while (hasUnits ? grid.size() + 1 < units.size() && term.stride < units[grid.size()]
                    : seenWindow && !isInside) {
      if (!endAxis())
        return false;
      seenWindow = false;
    }
    if (hasUnits && !term.stride.divide(units[grid.size()]))
      return false;
    // A leaf that reaches over the end of its axis.
    if (hasUnits && !grid.empty() &&
        !units[grid.size() - 1].divide(term.stride * space.getExtent(term.atom)))
      return false;
    if (seenWindow && !isInside)
      return false;
    extent = extent * space.getExtent(term.atom);
    if (isInside)
      inside = inside * space.getExtent(term.atom);
    seenWindow |= isInside;
  }
  do {
    if (!endAxis())
      return false;
  } while (grid.size() < units.size());
  return true;
}
