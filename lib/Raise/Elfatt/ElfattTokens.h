// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The tokens of an ELFATT: one row-major sequence in the result and in every
// operand, however many dims it is spread over, and the grid of windows that the
// local branch cuts it into.
#ifndef ELFATT_LIB_RAISE_ELFATT_ELFATTTOKENS_H
#define ELFATT_LIB_RAISE_ELFATT_ELFATTTOKENS_H

#include "ElfattBranch.h"

namespace elfatt::raise {

class ElfattTokens {
public:
  explicit ElfattTokens(ScalarReader &reader) : reader(reader), space(reader.getSpace()) {}

  /// Finds the tokens in the dims of the join: what the queries of a global branch
  /// share with the result, and its keys do not.
  mlir::LogicalResult find(const Join &join, llvm::ArrayRef<unsigned> atoms, const Branch &global,
                           JoinRefusal &why);

  /// `element` at the tokens, which become one atom in one dim; fails where its
  /// tokens are others. Keys stand for tokens as `branch.renaming` says from then on.
  std::optional<CollapsedElement> collapse(const view::Element &element, Branch &branch);

  /// Checks that the keys of `branch` are tokens: all of them, or those of a window.
  mlir::LogicalResult checkKeys(Branch &branch, JoinRefusal &why);

  /// Whether a branch's convolution is over all tokens, or over those of a window.
  bool isOnTokens(const DepthwiseConv &conv, Branch &branch);

  /// Reads grid and window off the strides of the tokens, with the axes that the
  /// branches' convolutions show where they have one.
  bool readGrid(const DepthwiseConv *global, const DepthwiseConv *local);

  const view::Index &getTokens() const { return tokens; }
  bool isToken(unsigned atom) const {
    return llvm::any_of(roots, [&](unsigned root) { return space.isPartOf(atom, root); });
  }
  /// The atom that counts tokens in collapsed elements.
  unsigned getAtom() const { return atom; }

  llvm::SmallVector<view::Size> grid;
  llvm::SmallVector<int64_t> window;

private:
  bool isInWindow(unsigned atom) const {
    return llvm::any_of(inWindow, [&](unsigned root) { return space.isPartOf(atom, root); });
  }
  std::optional<view::Size> getStride(unsigned atom) const;
  bool findUnits(const DepthwiseConv &conv, bool isLocal, llvm::SmallVector<view::Size> &units);
  bool endAxis();

  ScalarReader &reader;
  view::IndexSpace &space;
  /// Of the result's atoms, those that count tokens; and their sum.
  llvm::SmallVector<unsigned> roots;
  view::Index tokens;
  unsigned atom = 0;
  /// Those that are inside of a window; the others count windows.
  std::optional<llvm::SmallDenseSet<unsigned>> windowLeaves;
  llvm::SmallVector<unsigned> inWindow;

  // The axis that readGrid is in.
  view::Size extent, inside;
};

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ELFATT_ELFATTTOKENS_H
