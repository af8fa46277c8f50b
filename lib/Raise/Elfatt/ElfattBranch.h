// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The branches of an ELFATT: the parts that a tensor is joined from, each read as
// an attention op, its operands at the element of the join, and what is added.
#ifndef ELFATT_LIB_RAISE_ELFATT_ELFATTBRANCH_H
#define ELFATT_LIB_RAISE_ELFATT_ELFATTBRANCH_H

#include "Analysis/ViewPlan.h"
#include "Lepe.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Raise/Reasons.h"

namespace elfatt::raise {

/// A tensor joined from parts that lie behind each other along one dim: a
/// concatenation, or slices that are inserted until nothing else is left.
struct Join {
  mlir::Value value;
  unsigned dim = 0;
  struct Part {
    mlir::Value tensor;
    int64_t offset = 0, size = 0;
    /// The tensor does not have the dim.
    bool isDropped = false;
  };
  /// In the order of the offsets.
  llvm::SmallVector<Part> parts;
};

/// The join that `op` ends, if it ends one.
std::optional<Join> matchJoin(mlir::Operation *op);

/// One part at an element of the join.
struct Branch {
  unsigned part = 0;
  mlir::Operation *op = nullptr;
  bool isLocal = false;
  /// The atom of the joined dim, and what its positions are: heads times values.
  unsigned joinAtom = 0;
  view::Index head, value;
  int64_t heads = 1;
  /// The op's own atoms: what it sums over.
  llvm::SmallVector<unsigned> keys;
  unsigned channel = 0;
  view::Element query, key, values;
  /// What is added to the attention, beside what may be LePE.
  llvm::SmallVector<Scalar, 1> addends;
  std::optional<DepthwiseConv> lepe;
  Scalar lepeAddend;
  /// LePE is none of this op: it is added as anything else.
  void dropLepe() {
    if (lepe)
      addends.push_back(lepeAddend);
    lepe.reset();
  }
  /// From atoms of the keys to the tokens that they stand for.
  llvm::SmallDenseMap<unsigned, unsigned> renaming;
};

/// Reads the parts of one join.
class BranchReader {
public:
  BranchReader(ScalarReader &reader, const Join &join);

  /// One per dim of the join; that of the joined dim is not used.
  llvm::ArrayRef<unsigned> getAtoms() const { return atoms; }

  /// Reads part `part`. Fails where it is no attention, or no branch of an ELFATT;
  /// `attention` is what was found.
  llvm::FailureOr<Branch> read(unsigned part, JoinRefusal &why, mlir::Operation *&attention);

private:
  template <typename OpTy>
  mlir::LogicalResult readOperands(OpTy op, const view::Element &at, Branch &branch,
                                   JoinRefusal &why);
  mlir::LogicalResult splitChannels(Branch &branch, JoinRefusal &why);

  ScalarReader &reader;
  view::IndexSpace &space;
  const Join &join;
  llvm::SmallVector<unsigned> atoms;
};

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ELFATT_ELFATTBRANCH_H
