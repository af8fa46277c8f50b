// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The lowering of each part, in the file of its name: LowerSdpa.cpp has sdpa, online and two steps
// of it, LowerLinear.cpp contexts and what applies them.
#ifndef ELFATT_LIB_TILE_LOWERING_LOWERPARTS_H
#define ELFATT_LIB_TILE_LOWERING_LOWERPARTS_H

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Tile/TileParams.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace elfatt::tile {

/// Ops that work on a part's rows before they are written; each may be null. First
/// LePE is added, then the elementwise op computed, which reads the part's destination.
struct Followers {
  attention::LepeOp lepe;
  mlir::linalg::GenericOp elementwise;
};

/// Lowers one part on buffers to the tile level; the op stays in place. An error
/// at the op says what is not served.
llvm::LogicalResult lowerSdpa(attention::SdpaOp op, const MachineLimits &limits,
                              const Followers &followers);
llvm::LogicalResult lowerOnline(attention::OnlineOp op, const MachineLimits &limits);
/// Two steps of an online softmax of the same rows, and what they end in. What fills their
/// state is not needed where they are one softmax.
struct TwoSteps {
  attention::OnlineOp first, second;
  attention::FinalizeOp finalize;
  llvm::SmallVector<mlir::Operation *> fills;
};
/// The steps that end in `op`, if one block of keys can hold the keys of both (CPU).
std::optional<TwoSteps> matchTwoSteps(attention::FinalizeOp op, const MachineLimits &limits);
llvm::LogicalResult lowerTwoSteps(TwoSteps steps, const MachineLimits &limits,
                                  const Followers &followers);
llvm::LogicalResult lowerFinalize(attention::FinalizeOp op, const MachineLimits &limits,
                                  const Followers &followers);
llvm::LogicalResult lowerContext(attention::ContextOp op, const MachineLimits &limits);
llvm::LogicalResult lowerPartialContext(attention::PartialContextOp op,
                                        const MachineLimits &limits);
llvm::LogicalResult lowerMerge(attention::MergeOp op, const MachineLimits &limits);
/// `makesContext`: the worker sums the context too, beside workers of other parts.
llvm::LogicalResult lowerApply(attention::ApplyOp op, const MachineLimits &limits,
                               const Followers &followers, bool makesContext);
llvm::LogicalResult lowerLepe(attention::LepeOp op, const MachineLimits &limits);

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_LOWERING_LOWERPARTS_H
