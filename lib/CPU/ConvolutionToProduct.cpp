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
  Location loc;
  Value in, filter, out;
  AffineMap inMap, filterMap, outMap;
  SmallVector<utils::IteratorType> iterators;
};

/// A convolution none of whose dims is a group.
FailureOr<Convolution> matchConvolution(linalg::LinalgOp op) {
  if (!isa<linalg::Conv2DNchwFchwOp, linalg::Conv2DNhwcHwcfOp>(op) || !op.hasPureTensorSemantics())
    return failure();
  for (Value operand : op->getOperands())
    if (!getElementTypeOrSelf(operand).isF32())
      return failure();
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  return Convolution{op.getLoc(), op->getOperand(0), op->getOperand(1), op->getOperand(2),
                     maps[0],     maps[1],           maps[2],           op.getIteratorTypesArray()};
}

/// A filter of one pixel without that pixel's dims.
void dropPixelOfFilter(OpBuilder &b, Convolution &convolution) {
  auto type = cast<RankedTensorType>(convolution.filter.getType());
  const bool channelsLast = isa<AffineDimExpr>(convolution.inMap.getResults().back());
  const int64_t first = channelsLast ? 0 : 2;
  if (type.getDimSize(first) != 1 || type.getDimSize(first + 1) != 1)
    return;
  SmallVector<ReassociationIndices> groups = {{0}, {1, 2, 3}};
  if (channelsLast)
    groups = {{0, 1, 2}, {3}};
  convolution.filter =
      tensor::CollapseShapeOp::create(b, convolution.loc, convolution.filter, groups);
  SmallVector<AffineExpr> places;
  SmallVector<utils::IteratorType> iterators;
  unsigned numDims = 0;
  for (unsigned dim = 0; dim < convolution.iterators.size(); ++dim) {
    auto position = convolution.filterMap.getResultPosition(b.getAffineDimExpr(dim));
    if (position == first || position == first + 1) {
      places.push_back(b.getAffineConstantExpr(0));
      continue;
    }
    places.push_back(b.getAffineDimExpr(numDims++));
    iterators.push_back(convolution.iterators[dim]);
  }
  convolution.iterators = iterators;
  convolution.filterMap = convolution.filterMap.dropResults({first, first + 1});
  for (AffineMap *map : {&convolution.inMap, &convolution.filterMap, &convolution.outMap})
    *map = simplifyAffineMap(map->replaceDimsAndSymbols(places, {}, numDims, 0));
}

/// Of a loop dim, which the result has or the filter.
OpFoldResult getExtent(OpBuilder &b, const Convolution &convolution, unsigned dim) {
  AffineExpr expr = b.getAffineDimExpr(dim);
  if (auto position = convolution.outMap.getResultPosition(expr))
    return tensor::getMixedSize(b, convolution.loc, convolution.out, *position);
  return tensor::getMixedSize(b, convolution.loc, convolution.filter,
                              *convolution.filterMap.getResultPosition(expr));
}

/// What one step of `dim` adds to `expr`, which is linear in it.
int64_t getStep(AffineExpr expr, unsigned dim, unsigned numDims) {
  SmallVector<AffineExpr> one(numDims, getAffineConstantExpr(0, expr.getContext()));
  one[dim] = getAffineConstantExpr(1, expr.getContext());
  return cast<AffineConstantExpr>(expr.replaceDims(one)).getValue();
}

/// The dims of patches as they lie in memory, so that what is copied lies side by side in both.
/// Where channels are last, they do. Else rows of patches do that the filter takes by its own
/// width, and of others the image's rows, which are longer.
SmallVector<unsigned> orderPatches(OpBuilder &b, const Convolution &convolution) {
  SmallVector<unsigned> whole, pixels, sums;
  AffineExpr last = convolution.inMap.getResults().back();
  int64_t step = 1;
  std::optional<int64_t> width;
  for (unsigned dim = 0; dim < convolution.iterators.size(); ++dim) {
    if (!convolution.inMap.isFunctionOfDim(dim))
      continue;
    if (convolution.iterators[dim] == utils::IteratorType::reduction) {
      sums.push_back(dim);
      if (last.isFunctionOfDim(dim))
        width = getConstantIntValue(getExtent(b, convolution, dim));
      continue;
    }
    (convolution.inMap.getResultPosition(b.getAffineDimExpr(dim)) ? whole : pixels).push_back(dim);
    if (last.isFunctionOfDim(dim))
      step = getStep(last, dim, convolution.iterators.size());
  }
  const bool sumsLast = isa<AffineDimExpr>(last) || (step > 1 && step == width);
  SmallVector<unsigned> order = whole;
  llvm::append_range(order, sumsLast ? pixels : sums);
  llvm::append_range(order, sumsLast ? sums : pixels);
  return order;
}

/// patches[..] = in[..]: every element at each place where the filter meets it.
void gatherPatches(IRRewriter &rewriter, Convolution &convolution) {
  MLIRContext *context = rewriter.getContext();
  const unsigned numDims = convolution.iterators.size();
  SmallVector<unsigned> order = orderPatches(rewriter, convolution);
  SmallVector<OpFoldResult> shape;
  SmallVector<AffineExpr> toPatch(numDims, getAffineConstantExpr(0, context)), patch;
  for (auto [i, dim] : llvm::enumerate(order)) {
    shape.push_back(getExtent(rewriter, convolution, dim));
    toPatch[dim] = getAffineDimExpr(i, context);
    patch.push_back(getAffineDimExpr(dim, context));
  }
  AffineMap source = convolution.inMap.replaceDimsAndSymbols(toPatch, {}, order.size(), 0);
  Value empty = tensor::EmptyOp::create(rewriter, convolution.loc, shape, rewriter.getF32Type());
  SmallVector<utils::IteratorType> iterators(order.size(), utils::IteratorType::parallel);
  auto gather = linalg::GenericOp::create(
      rewriter, convolution.loc, empty.getType(), convolution.in, empty,
      ArrayRef<AffineMap>{source, rewriter.getMultiDimIdentityMap(order.size())}, iterators,
      [](OpBuilder &b, Location loc, ValueRange args) {
        linalg::YieldOp::create(b, loc, args[0]);
      });
  convolution.in = gather.getResult(0);
  convolution.inMap = AffineMap::get(numDims, 0, patch, context);
}

void rewriteConvolution(IRRewriter &rewriter, linalg::LinalgOp op, Convolution convolution) {
  rewriter.setInsertionPoint(op);
  dropPixelOfFilter(rewriter, convolution);
  if (!convolution.inMap.isProjectedPermutation())
    gatherPatches(rewriter, convolution);
  auto product = linalg::GenericOp::create(
      rewriter, convolution.loc, op->getResultTypes(),
      ValueRange{convolution.in, convolution.filter}, convolution.out,
      ArrayRef<AffineMap>{convolution.inMap, convolution.filterMap, convolution.outMap},
      convolution.iterators, [](OpBuilder &b, Location loc, ValueRange args) {
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
      rewriteConvolution(rewriter, op, std::move(*convolution));
      ++numRewritten;
    });
  }
};

} // namespace
} // namespace elfatt::cpu
