// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace elfatt::cpu {
#define GEN_PASS_DEF_EXPANDMATHPASS
#include "elfatt/CPU/Passes.h.inc"

namespace {

struct ExpandMath : impl::ExpandMathPassBase<ExpandMath> {
  using ExpandMathPassBase::ExpandMathPassBase;

  void runOnOperation() override {
    // Those whose polynomial keeps f32's accuracy to a few units in the last
    // place, and that models call on large tensors.
    auto serves = [](StringRef name) {
      return llvm::is_contained({math::ErfOp::getOperationName(), math::ExpOp::getOperationName(),
                                 math::TanhOp::getOperationName(), math::LogOp::getOperationName(),
                                 math::Log1pOp::getOperationName(),
                                 math::ExpM1Op::getOperationName()},
                                name);
    };
    RewritePatternSet patterns(&getContext());
    populateMathPolynomialApproximationPatterns(patterns, serves);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
} // namespace elfatt::cpu
