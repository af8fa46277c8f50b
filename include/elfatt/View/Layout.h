// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The layout algebra: which element of a tensor an iteration point touches, as
// sums of strided atoms. Pure values: no IR, nothing printed.
//
// An *atom* is a loop variable with an extent. The position in one tensor dim is
// an `Index`, offset + sum of stride * atom; the position in a tensor is one
// Index per dim. A reshape turns indices into indices: collapsing dims is
// `linearize`, expanding one is `delinearize`. Where a split cuts an atom in two
// the atom becomes (outer, inner) everywhere at once: an IndexSpace owns the
// atoms, and `normalize` rewrites an Index in the atoms that are left. So head
// splits, packed projections and windows are all nested strides, a broadcast is
// an atom that does not occur, and two spellings of one movement give equal
// indices. Compare the layouts of CuTe (NVIDIA CUTLASS).
#ifndef ELFATT_VIEW_LAYOUT_H
#define ELFATT_VIEW_LAYOUT_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SmallVector.h"

#include <cstdint>
#include <optional>

namespace elfatt::view {

/// A size or stride: a number times symbols, each an unknown size >= 1.
class Size {
public:
  Size(int64_t number = 1) : number(number) {}
  static Size symbol(unsigned id) {
    Size size;
    size.symbols.push_back(id);
    return size;
  }

  bool isStatic() const { return symbols.empty(); }
  bool isOne() const { return isStatic() && number == 1; }
  bool isZero() const { return number == 0; }
  int64_t getNumber() const { return number; }
  /// Sorted, with repetitions.
  llvm::ArrayRef<unsigned> getSymbols() const { return symbols; }
  std::optional<int64_t> getStatic() const {
    return isStatic() ? std::optional<int64_t>(number) : std::nullopt;
  }

  Size operator*(const Size &other) const;
  /// this / other where that is exact whatever the symbols are.
  std::optional<Size> divide(const Size &other) const;
  bool operator==(const Size &other) const {
    return number == other.number && symbols == other.symbols;
  }
  bool operator!=(const Size &other) const { return !(*this == other); }
  /// A total order that puts a multiple behind what divides it.
  bool operator<(const Size &other) const;

private:
  int64_t number;
  llvm::SmallVector<unsigned, 0> symbols;
};

Size product(llvm::ArrayRef<Size> sizes);

struct Term {
  unsigned atom;
  Size stride;
  bool operator==(const Term &other) const { return atom == other.atom && stride == other.stride; }
};

/// offset + sum of stride * atom.
struct Index {
  llvm::SmallVector<Term, 2> terms;
  int64_t offset = 0;

  static Index constant(int64_t value) {
    Index index;
    index.offset = value;
    return index;
  }
  bool isConstant() const { return terms.empty(); }
};

/// The atoms of one problem and the algebra on indices over them.
class IndexSpace {
public:
  unsigned addAtom(Size extent);
  unsigned getNumAtoms() const { return atoms.size(); }
  const Size &getExtent(unsigned atom) const { return atoms[atom].extent; }
  /// The atom that was added of which `atom` is a part.
  unsigned getRoot(unsigned atom) const;
  /// Whether `atom` is `whole` or a part of it.
  bool isPartOf(unsigned atom, unsigned whole) const;
  bool isSplit(unsigned atom) const { return atoms[atom].outer >= 0; }
  /// The parts of `atom`, outermost first; `atom` itself when it is whole. Parts
  /// of extent 1 are left out.
  llvm::SmallVector<unsigned> getLeaves(unsigned atom) const;

  Index get(unsigned atom) const;
  Index add(const Index &a, const Index &b) const;
  /// Fails where a constant offset meets an unknown factor.
  std::optional<Index> scale(const Index &index, const Size &factor) const;

  /// `index` over atoms that are whole and have an extent other than 1, the
  /// largest stride first.
  Index normalize(const Index &index) const;
  bool equal(const Index &a, const Index &b) const;
  bool equal(llvm::ArrayRef<Index> a, llvm::ArrayRef<Index> b) const;

  /// Cuts a whole atom into (outer, inner) with the given inner extent. Fails
  /// where that does not divide the extent, or where the atom is to stay whole.
  bool split(unsigned atom, const Size &inner);
  /// From now on no cut divides `atom`.
  void keepWhole(unsigned atom) { atoms[atom].staysWhole = true; }

  /// Whether `b` is `a` with atoms renamed: an atom of `b` whose root is in
  /// `bound` may stand for another of `a`, one to one, as `renaming` (from `b` to
  /// `a`) says from then on. Splits atoms where only their cuts differ.
  bool matchRenamed(const Index &a, const Index &b, const llvm::SmallDenseSet<unsigned> &bound,
                    llvm::SmallDenseMap<unsigned, unsigned> &renaming);

  /// The position in the dim that dims of these sizes collapse to (row major).
  std::optional<Index> linearize(llvm::ArrayRef<Index> indices, llvm::ArrayRef<Size> sizes) const;
  /// The positions in the dims that one dim expands to. Splits atoms as needed.
  /// Fails where the positions are no sums of strided atoms.
  std::optional<llvm::SmallVector<Index>> delinearize(const Index &index,
                                                      llvm::ArrayRef<Size> sizes);
  /// The positions in dims of sizes `to` of the element at `indices` in dims of sizes
  /// `from`, of the same tensor in row-major order. Goes by groups of dims with equal
  /// products; fails where sizes that are not known leave no groups.
  std::optional<llvm::SmallVector<Index>>
  reshape(llvm::ArrayRef<Index> indices, llvm::ArrayRef<Size> from, llvm::ArrayRef<Size> to);

private:
  struct Atom {
    Size extent;
    int parent = -1, outer = -1, inner = -1;
    bool staysWhole = false;
  };
  /// index = quotient * size + remainder, with 0 <= remainder < size.
  bool divide(const Index &index, const Size &size, Index &quotient, Index &remainder);
  bool isBelow(const Index &index, const Size &size) const;
  /// Brings `renaming` to whole atoms.
  bool refine(llvm::SmallDenseMap<unsigned, unsigned> &renaming);

  llvm::SmallVector<Atom, 16> atoms;
};

} // namespace elfatt::view

#endif // ELFATT_VIEW_LAYOUT_H
