// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Dialect/Attention/IR/Attention.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace elfatt::attention;

SmallVector<unsigned> AttentionDims::getPositionDims() const {
  SmallVector<unsigned> positions = batch;
  llvm::append_range(positions, rows);
  llvm::append_range(positions, keys);
  llvm::sort(positions);
  return positions;
}

FailureOr<AttentionDims> AttentionDims::infer(AffineMap query, AffineMap key, AffineMap value,
                                              AffineMap output, std::string *why) {
  AttentionDims dims;
  SmallVector<unsigned> channels, values;
  for (unsigned dim = 0, e = output.getNumDims(); dim < e; ++dim) {
    bool q = query.isFunctionOfDim(dim), k = key.isFunctionOfDim(dim);
    bool v = value.isFunctionOfDim(dim), o = output.isFunctionOfDim(dim);
    if (o && v && !q && !k)
      values.push_back(dim);
    else if (o && q && !k && !v)
      dims.rows.push_back(dim);
    else if (o && (k || v))
      dims.batch.push_back(dim);
    else if (!o && q && k && !v)
      channels.push_back(dim);
    else if (!o && !q && k && v)
      dims.keys.push_back(dim);
    else {
      if (why)
        *why = llvm::formatv("dim d{0} is no batch, row, key, channel or value dim", dim);
      return failure();
    }
  }
  if (channels.size() != 1 || values.size() != 1) {
    if (why)
      *why = llvm::formatv("expected one channel dim and one value dim, got {0} and {1}",
                           channels.size(), values.size());
    return failure();
  }
  dims.channels = channels.front();
  dims.values = values.front();
  return dims;
}

AttentionDims AttentionDims::get(SdpaOp op) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  return *infer(maps[0], maps[1], maps[2], maps.back());
}
AttentionDims AttentionDims::get(LinearOp op) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  return *infer(maps[0], maps[1], maps[2], maps[3]);
}
AttentionDims AttentionDims::get(OnlineOp op) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  return *infer(maps[0], maps[1], maps[2], maps[3]);
}

/// The dims of the contraction C = A * B: those of both and C (batch), of A and
/// C, of B and C, of A and B.
static AttentionDims classifyContraction(AffineMap a, AffineMap b, AffineMap c,
                                         SmallVectorImpl<unsigned> &onlyA,
                                         SmallVectorImpl<unsigned> &onlyB,
                                         SmallVectorImpl<unsigned> &reduced) {
  AttentionDims dims;
  for (unsigned dim = 0, e = c.getNumDims(); dim < e; ++dim) {
    bool inA = a.isFunctionOfDim(dim), inB = b.isFunctionOfDim(dim);
    if (!c.isFunctionOfDim(dim))
      reduced.push_back(dim);
    else if (inA && inB)
      dims.batch.push_back(dim);
    else
      (inA ? onlyA : onlyB).push_back(dim);
  }
  return dims;
}

/// Of a context with these maps of K, V and its result.
static AttentionDims contextDims(ArrayRef<AffineMap> maps) {
  // C[b,d,e] = K[b,j,d] V[b,j,e]: K alone has d, V alone has e, j is summed. A
  // context without head dims on one side has extra dims there; the last counts.
  SmallVector<unsigned> onlyK, onlyV, reduced;
  AttentionDims dims = classifyContraction(maps[0], maps[1], maps[2], onlyK, onlyV, reduced);
  dims.channels = onlyK.pop_back_val();
  dims.values = onlyV.pop_back_val();
  llvm::append_range(dims.batch, onlyK);
  llvm::append_range(dims.batch, onlyV);
  llvm::sort(dims.batch);
  dims.keys = reduced;
  return dims;
}

AttentionDims AttentionDims::get(ContextOp op) { return contextDims(op.getIndexingMapsArray()); }
AttentionDims AttentionDims::get(PartialContextOp op) {
  return contextDims(op.getIndexingMapsArray());
}

AttentionDims AttentionDims::get(MergeOp op) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  AttentionDims dims;
  dims.channels = cast<AffineDimExpr>(maps[1].getResults().back()).getPosition();
  for (unsigned dim = 0, e = maps[0].getNumDims(); dim < e; ++dim) {
    if (!maps[3].isFunctionOfDim(dim))
      dims.keys.push_back(dim);
    else if (!maps[1].isFunctionOfDim(dim))
      dims.values = dim;
    else if (dim != dims.channels)
      dims.batch.push_back(dim);
  }
  return dims;
}

AttentionDims AttentionDims::get(ApplyOp op) {
  // O[b,i,e] = Q[b,i,d] C[b,d,e]: Q alone has i, C alone has e, d is summed.
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<unsigned> onlyQ, onlyC, reduced;
  AttentionDims dims = classifyContraction(maps[0], maps[1], maps[2], onlyQ, onlyC, reduced);
  dims.rows = onlyQ;
  dims.values = onlyC.pop_back_val();
  llvm::append_range(dims.batch, onlyC);
  llvm::sort(dims.batch);
  dims.channels = reduced.front();
  return dims;
}

/// Calls `visit(operand, position, dim)` for the first place that gives the
/// extent of each domain dim. Destinations and untiled operands come last in
/// trust: an operand that keeps a dim whole does not tell the tile's extent.
static void visitExtents(ViewOpInterface op,
                         function_ref<void(OpOperand &, unsigned, unsigned)> visit) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<OpOperand *> operands = op.getViewedOperands();
  llvm::SmallDenseSet<unsigned> seen;
  for (auto [operand, map] : llvm::zip_equal(operands, maps)) {
    // Leading dims that the map does not give (LePE's taps) are skipped.
    unsigned rank = cast<ShapedType>(operand->get().getType()).getRank();
    unsigned skipped = rank - map.getNumResults();
    for (auto [position, expr] : llvm::enumerate(map.getResults()))
      if (auto dim = dyn_cast<AffineDimExpr>(expr))
        if (op.isOperandTiled(*operand, dim.getPosition()) && seen.insert(dim.getPosition()).second)
          visit(*operand, skipped + position, dim.getPosition());
  }
}

SmallVector<int64_t> elfatt::attention::getStaticLoopRanges(ViewOpInterface op) {
  SmallVector<int64_t> ranges(op.getIndexingMapsArray()[0].getNumDims(), ShapedType::kDynamic);
  // A static extent anywhere is better than a dynamic one in the first place.
  for (auto [operand, map] : llvm::zip_equal(op.getViewedOperands(), op.getIndexingMapsArray())) {
    auto type = cast<ShapedType>(operand->get().getType());
    unsigned skipped = type.getRank() - map.getNumResults();
    for (auto [position, expr] : llvm::enumerate(map.getResults()))
      if (auto dim = dyn_cast<AffineDimExpr>(expr))
        if (op.isOperandTiled(*operand, dim.getPosition()) &&
            !type.isDynamicDim(skipped + position))
          ranges[dim.getPosition()] = type.getDimSize(skipped + position);
  }
  return ranges;
}

SmallVector<OpFoldResult> elfatt::attention::getMixedLoopRanges(OpBuilder &builder,
                                                                ViewOpInterface op) {
  SmallVector<int64_t> known = getStaticLoopRanges(op);
  SmallVector<OpFoldResult> ranges(known.size());
  visitExtents(op, [&](OpOperand &operand, unsigned position, unsigned dim) {
    if (!ShapedType::isDynamic(known[dim])) {
      ranges[dim] = builder.getIndexAttr(known[dim]);
      return;
    }
    Location loc = op->getLoc();
    ranges[dim] = isa<TensorType>(operand.get().getType())
                      ? tensor::getMixedSize(builder, loc, operand.get(), position)
                      : memref::getMixedSize(builder, loc, operand.get(), position);
  });
  return ranges;
}
