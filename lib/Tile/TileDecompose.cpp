// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/Passes.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"

#include "mlir/IR/PatternMatch.h"

namespace elfatt::tile {
#define GEN_PASS_DEF_TILEDECOMPOSEPASS
#include "elfatt/Tile/Passes.h.inc"

using namespace mlir;

namespace {
struct TileDecomposePass : impl::TileDecomposePassBase<TileDecomposePass> {
  void runOnOperation() override {
    SmallVector<linalg::AggregatedOpInterface> ops;
    getOperation()->walk([&](linalg::AggregatedOpInterface op) {
      if (isa<attention::ElfattOp, attention::LinearOp>(op))
        ops.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (linalg::AggregatedOpInterface op : ops) {
      rewriter.setInsertionPoint(op);
      // Nothing to compute; parts of it would be slices that cannot be taken.
      Value init = cast<DestinationStyleOpInterface>(op.getOperation()).getDpsInits()[0];
      if (llvm::is_contained(cast<ShapedType>(init.getType()).getShape(), 0)) {
        rewriter.replaceOp(op, init);
        continue;
      }
      FailureOr<SmallVector<Value>> results = op.decomposeOperation(rewriter);
      if (failed(results)) {
        op->emitOpError("cannot be decomposed into parts; expected tensors");
        return signalPassFailure();
      }
      rewriter.replaceOp(op, *results);
      ++numDecomposed;
    }
  }
};
} // namespace
} // namespace elfatt::tile
