// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/View/Layout.h"

#include "gtest/gtest.h"

using namespace elfatt::view;

namespace {

using Sizes = llvm::SmallVector<Size>;

TEST(Size, DividesOnlyWhereThatIsExactForEverySymbol) {
  Size n = Size::symbol(0), m = Size::symbol(1);
  EXPECT_EQ(*(n * Size(12)).divide(Size(4)), n * Size(3));
  EXPECT_EQ(*(n * m).divide(n), m);
  EXPECT_FALSE((n * Size(12)).divide(Size(5)));
  EXPECT_FALSE(n.divide(m));
  EXPECT_FALSE(n.divide(Size(0)));
  EXPECT_EQ(product({n, Size(3), m}), m * n * Size(3));
}

TEST(IndexSpace, CollapseThenExpandIsTheIdentity) {
  IndexSpace space;
  Index b = space.get(space.addAtom(2)), h = space.get(space.addAtom(3));
  Index flat = *space.linearize({b, h}, Sizes{2, 3});
  auto parts = space.delinearize(flat, Sizes{2, 3});
  ASSERT_TRUE(parts);
  EXPECT_TRUE(space.equal(*parts, {b, h}));
}

TEST(IndexSpace, ExpandingAnAtomSplitsIt) {
  IndexSpace space;
  unsigned c = space.addAtom(96);
  auto parts = space.delinearize(space.get(c), Sizes{3, 2, 16});
  ASSERT_TRUE(parts);
  EXPECT_EQ(space.getLeaves(c).size(), 3u);
  // What held the atom before holds its parts now.
  EXPECT_TRUE(space.equal(*space.linearize(*parts, Sizes{3, 2, 16}), space.get(c)));
  for (unsigned leaf : space.getLeaves(c))
    EXPECT_EQ(space.getRoot(leaf), c);
}

TEST(IndexSpace, TwoSpellingsOfAHeadSplitAreEqual) {
  // [B*N, H*D] -> [B, N, H, D], against [B, N, H*D] -> [B, N, H, D].
  IndexSpace space;
  Sizes sizes{2, 50, 4, 8};
  llvm::SmallVector<Index> at;
  for (const Size &size : sizes)
    at.push_back(space.get(space.addAtom(size)));
  Index rows = *space.linearize({at[0], at[1]}, Sizes{2, 50});
  Index columns = *space.linearize({at[2], at[3]}, Sizes{4, 8});
  auto outer = space.delinearize(rows, Sizes{2, 50});
  ASSERT_TRUE(outer);
  EXPECT_TRUE(space.equal(*outer, {at[0], at[1]}));
  EXPECT_TRUE(space.equal(columns, *space.linearize({at[2], at[3]}, Sizes{4, 8})));
}

TEST(IndexSpace, AnOffsetSplitsIntoDigits) {
  // 48 = 1 * 32 + 1 * 16.
  IndexSpace space;
  Index d = space.get(space.addAtom(16));
  auto parts = space.delinearize(space.add(d, Index::constant(48)), Sizes{3, 2, 16});
  ASSERT_TRUE(parts);
  EXPECT_EQ((*parts)[0].offset, 1);
  EXPECT_EQ((*parts)[1].offset, 1);
  EXPECT_TRUE(space.equal((*parts)[2], d));
}

TEST(IndexSpace, ASliceAcrossABoundaryIsNoView) {
  IndexSpace space;
  Index d = space.get(space.addAtom(16));
  EXPECT_FALSE(space.delinearize(space.add(d, Index::constant(8)), Sizes{6, 16}));
  // Nor is a split that does not divide.
  EXPECT_FALSE(space.delinearize(space.get(space.addAtom(15)), Sizes{3, 4}));
}

TEST(IndexSpace, DynamicBatchSplitsOffStaticHeads) {
  IndexSpace space;
  Size batch = Size::symbol(0);
  unsigned flat = space.addAtom(batch * Size(4));
  auto parts = space.delinearize(space.get(flat), Sizes{batch, 4});
  ASSERT_TRUE(parts);
  ASSERT_EQ(space.getLeaves(flat).size(), 2u);
  EXPECT_EQ(space.getExtent(space.getLeaves(flat)[0]), batch);
  EXPECT_EQ(space.getExtent(space.getLeaves(flat)[1]), Size(4));
}

TEST(IndexSpace, WindowsAreNestedStridesOfTheTokens) {
  // 14 x 14 tokens as (2, 7) x (2, 7).
  IndexSpace space;
  unsigned token = space.addAtom(196);
  ASSERT_TRUE(space.delinearize(space.get(token), Sizes{2, 7, 2, 7}));
  Index index = space.get(token);
  ASSERT_EQ(index.terms.size(), 4u);
  int64_t strides[] = {98, 14, 7, 1}, extents[] = {2, 7, 2, 7};
  for (unsigned i = 0; i < 4; ++i) {
    EXPECT_EQ(index.terms[i].stride, Size(strides[i]));
    EXPECT_EQ(space.getExtent(index.terms[i].atom), Size(extents[i]));
  }
}

TEST(IndexSpace, UnitAtomsDoNotOccur) {
  IndexSpace space;
  EXPECT_TRUE(space.get(space.addAtom(1)).isConstant());
  EXPECT_TRUE(space.getLeaves(space.addAtom(1)).empty());
}

TEST(IndexSpace, RenamingSplitsTheSideThatIsWhole) {
  IndexSpace space;
  unsigned j = space.addAtom(49), r = space.addAtom(49);
  ASSERT_TRUE(space.delinearize(space.get(j), Sizes{7, 7}));
  llvm::SmallDenseMap<unsigned, unsigned> renaming;
  EXPECT_TRUE(space.matchRenamed(space.get(j), space.get(r), {r}, renaming));
  EXPECT_EQ(space.getLeaves(r).size(), 2u);
  EXPECT_EQ(renaming.size(), 2u);
}

TEST(IndexSpace, RenamingIsOneToOneAndOnlyOfBoundAtoms) {
  IndexSpace space;
  unsigned i = space.addAtom(4), j = space.addAtom(4), r = space.addAtom(4);
  llvm::SmallDenseMap<unsigned, unsigned> renaming;
  EXPECT_FALSE(space.matchRenamed(space.get(i), space.get(j), {r}, renaming));
  EXPECT_TRUE(space.matchRenamed(space.get(i), space.get(r), {r}, renaming));
  EXPECT_FALSE(space.matchRenamed(space.get(j), space.get(r), {r}, renaming));
}

TEST(IndexSpace, AReshapeGoesByGroupsOfEqualProducts) {
  IndexSpace space;
  Size n = Size::symbol(0);
  unsigned head = space.addAtom(8), row = space.addAtom(n), key = space.addAtom(n);
  llvm::SmallVector<Index> at = {space.get(head), space.get(row), space.get(key)};
  // [8, n, n] as [2, 4, n, n], and back.
  auto split = space.reshape(at, {8, n, n}, {2, 4, n, n});
  ASSERT_TRUE(split);
  ASSERT_EQ(split->size(), 4u);
  EXPECT_TRUE(space.equal((*split)[2], at[1]));
  auto merged = space.reshape(*split, {2, 4, n, n}, {8, n, n});
  ASSERT_TRUE(merged);
  EXPECT_TRUE(space.equal(*merged, at));
  // Of other sizes nothing is known.
  EXPECT_FALSE(space.reshape(at, {8, n, n}, {8, Size::symbol(1), n}));
}

TEST(IndexSpace, ZeroSizesAreRefused) {
  IndexSpace space;
  EXPECT_FALSE(space.delinearize(space.get(space.addAtom(0)), Sizes{2, 0}));
}

} // namespace
