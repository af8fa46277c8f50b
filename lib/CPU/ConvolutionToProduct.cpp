// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace elfatt::cpu {
#define GEN_PASS_DEF_CONVOLUTIONTOPRODUCTPASS
#include "elfatt/CPU/Passes.h.inc"

namespace {

template <typename ConvOp>
bool rewrite(IRRewriter &rewriter, ConvOp op) {
  auto type = dyn_cast<RankedTensorType>(op.getDpsInits()[0].getType());
  if (!type || !type.getElementType().isF32())
    return false;
  rewriter.setInsertionPoint(op);
  return succeeded(linalg::rewriteInIm2Col(rewriter, op));
}

struct ConvolutionToProduct : impl::ConvolutionToProductPassBase<ConvolutionToProduct> {
  using ConvolutionToProductPassBase::ConvolutionToProductPassBase;

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    getOperation()->walk([&](Operation *op) {
      if (auto nchw = dyn_cast<linalg::Conv2DNchwFchwOp>(op))
        numRewritten += rewrite(rewriter, nchw);
      else if (auto nhwc = dyn_cast<linalg::Conv2DNhwcHwcfOp>(op))
        numRewritten += rewrite(rewriter, nhwc);
    });
  }
};

} // namespace
} // namespace elfatt::cpu
