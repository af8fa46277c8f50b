// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/PatternMatch.h"

namespace elfatt::tile {
#define GEN_PASS_DEF_TILESWITCHTOIFPASS
#include "elfatt/Tile/Passes.h.inc"

using namespace mlir;

/// The cases from `next` on as a chain of ifs, whose values it gives.
static ValueRange buildCases(IRRewriter &rewriter, scf::IndexSwitchOp op, unsigned next) {
  Location loc = op.getLoc();
  auto moveInto = [&](Region &region, Block *block) {
    rewriter.mergeBlocks(&region.front(), block);
  };
  Value number = arith::ConstantIndexOp::create(rewriter, loc, op.getCases()[next]);
  Value isCase =
      arith::CmpIOp::create(rewriter, loc, arith::CmpIPredicate::eq, op.getArg(), number);
  auto choice = scf::IfOp::create(rewriter, loc, op.getResultTypes(), isCase,
                                  /*addThenBlock=*/true, /*addElseBlock=*/true);
  moveInto(op.getCaseRegions()[next], choice.thenBlock());
  if (next + 1 == op.getCases().size()) {
    moveInto(op.getDefaultRegion(), choice.elseBlock());
  } else {
    OpBuilder::InsertionGuard guard(rewriter);
    rewriter.setInsertionPointToEnd(choice.elseBlock());
    scf::YieldOp::create(rewriter, loc, buildCases(rewriter, op, next + 1));
  }
  return choice.getResults();
}

namespace {
struct TileSwitchToIfPass : impl::TileSwitchToIfPassBase<TileSwitchToIfPass> {
  void runOnOperation() override {
    SmallVector<scf::IndexSwitchOp> switches;
    getOperation()->walk([&](scf::IndexSwitchOp op) {
      if (llvm::any_of(op.getResultTypes(), llvm::IsaPred<TensorType>))
        switches.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (scf::IndexSwitchOp op : switches) {
      rewriter.setInsertionPoint(op);
      if (op.getCases().empty()) {
        Operation *yield = op.getDefaultBlock().getTerminator();
        SmallVector<Value> results(yield->getOperands());
        rewriter.eraseOp(yield);
        rewriter.inlineBlockBefore(&op.getDefaultBlock(), op);
        rewriter.replaceOp(op, results);
        continue;
      }
      rewriter.replaceOp(op, buildCases(rewriter, op, 0));
    }
  }
};
} // namespace
} // namespace elfatt::tile
