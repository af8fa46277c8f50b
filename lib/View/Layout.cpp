// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/View/Layout.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cassert>

using namespace elfatt::view;

/// No tensor has so many elements; what does not fit only has to stay defined.
static int64_t multiplySaturating(int64_t a, int64_t b) {
  int64_t product;
  if (!__builtin_mul_overflow(a, b, &product))
    return product;
  return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
}
static int64_t addSaturating(int64_t a, int64_t b) {
  int64_t sum;
  if (!__builtin_add_overflow(a, b, &sum))
    return sum;
  return a < 0 ? INT64_MIN : INT64_MAX;
}

//===----------------------------------------------------------------------===//
// Size
//===----------------------------------------------------------------------===//

Size Size::operator*(const Size &other) const {
  Size result(multiplySaturating(number, other.number));
  std::merge(symbols.begin(), symbols.end(), other.symbols.begin(), other.symbols.end(),
             std::back_inserter(result.symbols));
  return result;
}

std::optional<Size> Size::divide(const Size &other) const {
  if (other.number <= 0 || number % other.number != 0)
    return std::nullopt;
  if (!std::includes(symbols.begin(), symbols.end(), other.symbols.begin(), other.symbols.end()))
    return std::nullopt;
  Size result(number / other.number);
  std::set_difference(symbols.begin(), symbols.end(), other.symbols.begin(), other.symbols.end(),
                      std::back_inserter(result.symbols));
  return result;
}

bool Size::operator<(const Size &other) const {
  if (symbols.size() != other.symbols.size())
    return symbols.size() < other.symbols.size();
  if (number != other.number)
    return number < other.number;
  return symbols < other.symbols;
}

Size elfatt::view::product(llvm::ArrayRef<Size> sizes) {
  Size result;
  for (const Size &size : sizes)
    result = result * size;
  return result;
}

//===----------------------------------------------------------------------===//
// IndexSpace
//===----------------------------------------------------------------------===//

unsigned IndexSpace::addAtom(Size extent) {
  atoms.push_back({std::move(extent)});
  return atoms.size() - 1;
}

unsigned IndexSpace::getRoot(unsigned atom) const {
  while (atoms[atom].parent >= 0)
    atom = atoms[atom].parent;
  return atom;
}

bool IndexSpace::isPartOf(unsigned atom, unsigned whole) const {
  while (atom != whole && atoms[atom].parent >= 0)
    atom = atoms[atom].parent;
  return atom == whole;
}

llvm::SmallVector<unsigned> IndexSpace::getLeaves(unsigned atom) const {
  if (isSplit(atom)) {
    llvm::SmallVector<unsigned> leaves = getLeaves(atoms[atom].outer);
    llvm::append_range(leaves, getLeaves(atoms[atom].inner));
    return leaves;
  }
  if (atoms[atom].extent.isOne())
    return {};
  return {atom};
}

Index IndexSpace::get(unsigned atom) const {
  Index index;
  index.terms.push_back({atom, Size(1)});
  return normalize(index);
}

Index IndexSpace::add(const Index &a, const Index &b) const {
  Index sum = a;
  sum.terms.append(b.terms.begin(), b.terms.end());
  sum.offset = addSaturating(sum.offset, b.offset);
  return normalize(sum);
}

std::optional<Index> IndexSpace::scale(const Index &index, const Size &factor) const {
  if (index.offset != 0 && !factor.isStatic())
    return std::nullopt;
  Index result = index;
  for (Term &term : result.terms)
    term.stride = term.stride * factor;
  result.offset = multiplySaturating(result.offset, factor.getNumber());
  return result;
}

Index IndexSpace::normalize(const Index &index) const {
  Index result;
  result.offset = index.offset;
  llvm::SmallVector<Term, 8> work(index.terms.begin(), index.terms.end());
  while (!work.empty()) {
    Term term = work.pop_back_val();
    const Atom &atom = atoms[term.atom];
    if (atom.extent.isOne() || term.stride.isZero())
      continue;
    if (atom.outer >= 0) {
      work.push_back({unsigned(atom.inner), term.stride});
      work.push_back({unsigned(atom.outer), term.stride * atoms[atom.inner].extent});
      continue;
    }
    result.terms.push_back(term);
  }
  llvm::sort(result.terms, [](const Term &a, const Term &b) {
    if (a.stride != b.stride)
      return b.stride < a.stride;
    return a.atom < b.atom;
  });
  return result;
}

bool IndexSpace::equal(const Index &a, const Index &b) const {
  Index x = normalize(a), y = normalize(b);
  return x.offset == y.offset && x.terms == y.terms;
}

bool IndexSpace::equal(llvm::ArrayRef<Index> a, llvm::ArrayRef<Index> b) const {
  return a.size() == b.size() && llvm::all_of(llvm::zip_equal(a, b), [&](auto pair) {
           return equal(std::get<0>(pair), std::get<1>(pair));
         });
}

bool IndexSpace::split(unsigned atom, const Size &inner) {
  assert(!isSplit(atom) && "expected a whole atom");
  std::optional<Size> outer = atoms[atom].extent.divide(inner);
  if (!outer)
    return false;
  if (outer->isOne() || inner.isOne())
    return true;
  if (atoms[atom].staysWhole)
    return false;
  int first = atoms.size();
  atoms.push_back({*outer, int(atom)});
  atoms.push_back({inner, int(atom)});
  atoms[atom].outer = first;
  atoms[atom].inner = first + 1;
  return true;
}

std::optional<Index> IndexSpace::linearize(llvm::ArrayRef<Index> indices,
                                           llvm::ArrayRef<Size> sizes) const {
  assert(indices.size() == sizes.size());
  Index result;
  Size stride;
  for (int dim = indices.size() - 1; dim >= 0; --dim) {
    std::optional<Index> scaled = scale(indices[dim], stride);
    if (!scaled)
      return std::nullopt;
    result = add(result, *scaled);
    stride = stride * sizes[dim];
  }
  return result;
}

std::optional<llvm::SmallVector<Index>> IndexSpace::delinearize(const Index &index,
                                                                llvm::ArrayRef<Size> sizes) {
  llvm::SmallVector<Index> result(sizes.size());
  Index rest = normalize(index);
  for (int dim = sizes.size() - 1; dim > 0; --dim) {
    Index quotient;
    if (!divide(rest, sizes[dim], quotient, result[dim]))
      return std::nullopt;
    rest = quotient;
  }
  if (!sizes.empty())
    result[0] = rest;
  // A cut made for an inner dim reaches the indices that came before it.
  for (Index &part : result)
    part = normalize(part);
  return result;
}

std::optional<llvm::SmallVector<Index>> IndexSpace::reshape(llvm::ArrayRef<Index> indices,
                                                            llvm::ArrayRef<Size> from,
                                                            llvm::ArrayRef<Size> to) {
  auto isZero = [](const Size &size) { return size.isZero(); };
  if (llvm::any_of(from, isZero) || llvm::any_of(to, isZero))
    return std::nullopt;
  llvm::SmallVector<Index> result;
  size_t i = 0, j = 0;
  while (i < from.size() || j < to.size()) {
    size_t firstFrom = i, firstTo = j;
    Size a, b;
    if (i < from.size())
      a = from[i++];
    if (j < to.size())
      b = to[j++];
    while (a != b) {
      if (i < from.size() && b.divide(a))
        a = a * from[i++];
      else if (j < to.size() && a.divide(b))
        b = b * to[j++];
      else
        return std::nullopt;
    }
    auto index =
        linearize(indices.slice(firstFrom, i - firstFrom), from.slice(firstFrom, i - firstFrom));
    auto parts = index ? delinearize(*index, to.slice(firstTo, j - firstTo)) : std::nullopt;
    if (!parts)
      return std::nullopt;
    result.append(*parts);
  }
  for (Index &part : result)
    part = normalize(part);
  return result;
}

bool IndexSpace::isBelow(const Index &index, const Size &size) const {
  // Where all is static: the largest value. Otherwise a mixed radix number whose
  // digits fit one into the next.
  int64_t largest = index.offset;
  bool isStatic = size.isStatic();
  for (const Term &term : index.terms) {
    Size reach = term.stride * getExtent(term.atom);
    isStatic &= reach.isStatic();
    largest = addSaturating(largest, reach.getNumber() - term.stride.getNumber());
  }
  if (isStatic)
    return largest < size.getNumber();
  if (index.offset != 0)
    return index.terms.empty() && index.offset < size.getNumber();
  Size bound = size;
  for (const Term &term : index.terms) {
    if (!bound.divide(term.stride * getExtent(term.atom)))
      return false;
    bound = term.stride;
  }
  return true;
}

bool IndexSpace::divide(const Index &index, const Size &size, Index &quotient, Index &remainder) {
  quotient = remainder = Index();
  if (size.getNumber() <= 0 || index.offset < 0)
    return false;
  if (index.offset != 0 && !size.isStatic()) {
    // A number below every factor of the size stays in the remainder.
    if (index.offset >= size.getNumber())
      return false;
    remainder.offset = index.offset;
  } else {
    quotient.offset = index.offset / size.getNumber();
    remainder.offset = index.offset % size.getNumber();
  }
  for (const Term &term : normalize(index).terms) {
    if (isSplit(term.atom)) // It occurs twice, and the other occurrence was cut.
      return divide(normalize(index), size, quotient, remainder);
    if (std::optional<Size> stride = term.stride.divide(size)) {
      quotient.terms.push_back({term.atom, *stride});
      continue;
    }
    Size reach = term.stride * getExtent(term.atom);
    std::optional<Size> inner = size.divide(term.stride);
    if (size.divide(reach) || !inner || !getExtent(term.atom).divide(*inner)) {
      // It stays whole in the remainder; the bound below says if that is right.
      remainder.terms.push_back(term);
      continue;
    }
    if (!split(term.atom, *inner))
      return false;
    quotient.terms.push_back({unsigned(atoms[term.atom].outer), Size(1)});
    remainder.terms.push_back({unsigned(atoms[term.atom].inner), term.stride});
  }
  quotient = normalize(quotient);
  remainder = normalize(remainder);
  return isBelow(remainder, size);
}

bool IndexSpace::refine(llvm::SmallDenseMap<unsigned, unsigned> &renaming) {
  for (bool changed = true; changed;) {
    changed = false;
    for (auto [from, to] : renaming) {
      if (!isSplit(from) && !isSplit(to))
        continue;
      Size inner = atoms[atoms[isSplit(from) ? from : to].inner].extent;
      for (unsigned atom : {from, to})
        if (!isSplit(atom) && !split(atom, inner))
          return false;
      unsigned a = from, b = to; // The iterator ends with the erasure.
      if (atoms[atoms[a].inner].extent != atoms[atoms[b].inner].extent)
        return false;
      renaming.erase(a);
      renaming[atoms[a].outer] = atoms[b].outer;
      renaming[atoms[a].inner] = atoms[b].inner;
      changed = true;
      break;
    }
  }
  return true;
}

bool IndexSpace::matchRenamed(const Index &a, const Index &b,
                              const llvm::SmallDenseSet<unsigned> &bound,
                              llvm::SmallDenseMap<unsigned, unsigned> &renaming) {
  if (!refine(renaming))
    return false;
  Index x = normalize(a), y = normalize(b);
  if (x.offset != y.offset)
    return false;
  for (auto [left, right] : llvm::zip(llvm::reverse(x.terms), llvm::reverse(y.terms))) {
    if (left.stride != right.stride)
      return false;
    const Size &m = getExtent(left.atom), &n = getExtent(right.atom);
    if (m != n) {
      // One of the two was cut where the other was not.
      bool cut = m < n ? split(right.atom, m) : split(left.atom, n);
      return cut && matchRenamed(x, y, bound, renaming);
    }
    auto known = renaming.find(right.atom);
    if (known != renaming.end()) {
      if (known->second != left.atom)
        return false;
    } else if (bound.contains(getRoot(right.atom))) {
      if (llvm::any_of(renaming, [&](auto &entry) { return entry.second == left.atom; }))
        return false;
      renaming[right.atom] = left.atom;
    } else if (left.atom != right.atom) {
      return false;
    }
  }
  return x.terms.size() == y.terms.size();
}
