// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Queries, keys and values of all branches as one view each: of one tensor, where
// their heads stand side by side, else of one projection in place of several.
#ifndef ELFATT_LIB_RAISE_ELFATT_ELFATTOPERANDS_H
#define ELFATT_LIB_RAISE_ELFATT_ELFATTOPERANDS_H

#include "ElfattTokens.h"
#include "Projection.h"

namespace elfatt::raise {

/// The atoms of the op to be built.
struct ElfattAtoms {
  unsigned head, token, channel, value;
};

/// An operand of all branches.
struct ElfattOperand {
  ViewPlan view;
  /// Of what, where its source is yet to be built.
  std::optional<JoinedProjection> projection;
};

/// Takes the atoms of `base` out of `index`, of which they must be a multiple;
/// gives the factor, or nothing where they do not occur. Fails on anything else.
llvm::FailureOr<std::optional<view::Size>>
takeMultiple(const view::IndexSpace &space, view::Index &index, const view::Index &base);

/// What an element is in the op's atoms.
struct PlacedElement {
  CollapsedElement element;
  /// The dim where heads are counted, and by what stride; nothing for one head.
  std::optional<unsigned> headDim;
  int64_t headStride = 0;
};

/// `element` with the value (or channel) of `branch` as `canonical`, and without its
/// heads.
std::optional<PlacedElement> place(const view::IndexSpace &space, const CollapsedElement &element,
                                   const Branch &branch, bool isValue, unsigned canonical);

/// One role (queries, keys or values) of branches in the order of the op's heads.
struct ElfattRole {
  enum Kind { Query, Key, Value } kind;
  llvm::SmallVector<Branch *> branches;
  llvm::SmallVector<CollapsedElement, 0> elements;

  const view::Element &getElement(unsigned branch) const;
};

/// One view of one tensor.
llvm::FailureOr<ElfattOperand> mergeHeads(ScalarReader &reader, const ElfattRole &role,
                                          const ElfattAtoms &atoms, JoinRefusal &why);

/// One projection in place of those of the branches, all of one input.
llvm::FailureOr<ElfattOperand> joinProjections(ScalarReader &reader, ElfattTokens &tokens,
                                               const ElfattRole &role, const ElfattAtoms &atoms,
                                               JoinRefusal &why);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ELFATT_ELFATTOPERANDS_H
