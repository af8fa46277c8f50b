// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What becomes of a part's rows between their computation and their one store.
#ifndef ELFATT_LIB_TILE_LOWERING_ROWEPILOGUE_H
#define ELFATT_LIB_TILE_LOWERING_ROWEPILOGUE_H

#include "Elementwise/ElementwiseTerm.h"
#include "LepeTerm.h"
#include "LowerParts.h"

namespace elfatt::tile {

class RowEpilogue {
public:
  RowEpilogue(const Followers &followers, const TileContext &ctx) : ctx(ctx) {
    if (followers.lepe)
      lepe.emplace(followers.lepe, ctx);
    if (followers.elementwise) {
      elementwise.emplace(followers.elementwise, ctx);
      elementwiseOp = followers.elementwise;
    }
  }

  /// Makes the views that are needed, where the builder stands. `stageValue`: see LepeTerm.
  llvm::LogicalResult prepare(mlir::Operation *part, bool stageValue = true);
  LepeTerm *getLepe() { return lepe ? &*lepe : nullptr; }
  /// Asks for what the blocks after `block` need.
  void prefetch(const RowBlock &block);
  /// Asks for where `write` stores the rows `distance` after those of `block`.
  void prefetchOutput(const RowBlock &block, mlir::Value output, mlir::Value distance);
  /// The same for the block in the place of `block` of the next tile, once `findNext` has made
  /// its views.
  void findNext(NextTile &next);
  void prefetchNext(const RowBlock &block);
  /// Finishes `rows` [rows, columns] of the computation's type and stores them: to
  /// `output`, unless they become something else before.
  void write(const RowBlock &block, mlir::Value rows, mlir::Value output);

private:
  bool fitsRegisters(int64_t columns) const;
  void finish(const RowBlock &block, mlir::Value rows, mlir::Value output);
  void finishColumns(const RowBlock &block, mlir::Value scratch, mlir::Value output,
                     mlir::Value first, int64_t width);

  TileContext ctx;
  std::optional<LepeTerm> lepe;
  std::optional<ElementwiseTerm> elementwise;
  mlir::linalg::GenericOp elementwiseOp;
};

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_LOWERING_ROWEPILOGUE_H
