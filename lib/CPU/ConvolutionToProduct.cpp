// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace elfatt::cpu {
#define GEN_PASS_DEF_CONVOLUTIONTOPRODUCTPASS
#include "elfatt/CPU/Passes.h.inc"

namespace {

/// out[b, f, y, x] += sum over c, i, j of
///     in[b, c, y * sy + i * dy, x * sx + j * dx] * filter[f, c, i, j]
/// with the dims of in, filter and out in any order: their maps say which.
struct Convolution {
  linalg::LinalgOp op;
  /// Loop dims: those of the patches, parallel ones first, then c, i, j.
  SmallVector<unsigned> patchDims;
};

/// A convolution none of whose dims is a group.
FailureOr<Convolution> matchConvolution(linalg::LinalgOp op) {
  if (!isa<linalg::Conv2DNchwFchwOp, linalg::Conv2DNhwcHwcfOp>(op) || !op.hasPureTensorSemantics())
    return failure();
  for (Value operand : op->getOperands())
    if (!getElementTypeOrSelf(operand).isF32())
      return failure();
  Convolution convolution{op, {}};
  AffineMap in = op.getIndexingMapsArray()[0];
  for (auto kind : {utils::IteratorType::parallel, utils::IteratorType::reduction})
    for (auto [dim, type] : llvm::enumerate(op.getIteratorTypesArray()))
      if (type == kind && in.isFunctionOfDim(dim))
        convolution.patchDims.push_back(dim);
  return convolution;
}

/// Of a loop dim, which the result has or the filter.
OpFoldResult getExtent(OpBuilder &b, linalg::LinalgOp op, unsigned dim) {
  AffineExpr expr = b.getAffineDimExpr(dim);
  for (unsigned operand : {2, 1})
    if (auto position = op.getIndexingMapsArray()[operand].getResultPosition(expr))
      return tensor::getMixedSize(b, op.getLoc(), op->getOperand(operand), *position);
  llvm_unreachable("a patch's dim is of the result or the filter");
}

/// patches[..] = in[..]: every element at each place where the filter meets it.
Value gatherPatches(IRRewriter &rewriter, const Convolution &convolution) {
  linalg::LinalgOp op = convolution.op;
  MLIRContext *context = rewriter.getContext();
  AffineMap in = op.getIndexingMapsArray()[0];
  unsigned rank = convolution.patchDims.size();
  SmallVector<OpFoldResult> shape;
  SmallVector<AffineExpr> toPatch(in.getNumDims(), getAffineConstantExpr(0, context));
  for (auto [i, dim] : llvm::enumerate(convolution.patchDims)) {
    shape.push_back(getExtent(rewriter, op, dim));
    toPatch[dim] = getAffineDimExpr(i, context);
  }
  AffineMap source = in.replaceDimsAndSymbols(toPatch, {}, rank, 0);
  Value empty = tensor::EmptyOp::create(rewriter, op.getLoc(), shape, rewriter.getF32Type());
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  auto gather =
      linalg::GenericOp::create(rewriter, op.getLoc(), empty.getType(), op.getDpsInputs()[0], empty,
                                ArrayRef<AffineMap>{source, rewriter.getMultiDimIdentityMap(rank)},
                                iterators, [](OpBuilder &b, Location loc, ValueRange args) {
                                  linalg::YieldOp::create(b, loc, args[0]);
                                });
  return gather.getResult(0);
}

void rewriteConvolution(IRRewriter &rewriter, const Convolution &convolution) {
  linalg::LinalgOp op = convolution.op;
  rewriter.setInsertionPoint(op);
  Value patches = gatherPatches(rewriter, convolution);
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<AffineExpr> patchDims;
  for (unsigned dim : convolution.patchDims)
    patchDims.push_back(rewriter.getAffineDimExpr(dim));
  maps[0] = AffineMap::get(maps[0].getNumDims(), 0, patchDims, rewriter.getContext());
  auto product = linalg::GenericOp::create(
      rewriter, op.getLoc(), op->getResultTypes(), ValueRange{patches, op.getDpsInputs()[1]},
      op.getDpsInits(), maps, op.getIteratorTypesArray(),
      [](OpBuilder &b, Location loc, ValueRange args) {
        Value product = arith::MulFOp::create(b, loc, args[0], args[1]);
        linalg::YieldOp::create(b, loc,
                                arith::AddFOp::create(b, loc, args[2], product).getResult());
      });
  rewriter.replaceOp(op, product);
}

struct ConvolutionToProduct : impl::ConvolutionToProductPassBase<ConvolutionToProduct> {
  using ConvolutionToProductPassBase::ConvolutionToProductPassBase;

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    getOperation()->walk([&](linalg::LinalgOp op) {
      FailureOr<Convolution> convolution = matchConvolution(op);
      if (failed(convolution))
        return;
      rewriteConvolution(rewriter, *convolution);
      ++numRewritten;
    });
  }
};

} // namespace
} // namespace elfatt::cpu
