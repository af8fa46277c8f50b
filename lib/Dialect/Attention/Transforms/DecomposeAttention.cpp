// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every op of the dialect as its formula, in linalg.
#include "elfatt/Dialect/Attention/Transforms/Passes.h"

#include "LinalgFormulas.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace elfatt::attention {
#define GEN_PASS_DEF_DECOMPOSEATTENTIONPASS
#include "elfatt/Dialect/Attention/Transforms/Passes.h.inc"

namespace {
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The dims of scores: (b, i, j), in the domain's order.
SmallVector<unsigned> scoreDims(const AttentionDims &dims) {
  SmallVector<unsigned> all(dims.batch);
  llvm::append_range(all, dims.rows);
  llvm::append_range(all, dims.keys);
  llvm::sort(all);
  return all;
}

/// QK[b,i,j] = sum_d Q[b,i,d] * K[b,j,d]
Term queryTimesKey(LinalgFormulas &f, const AttentionDims &dims, Value query, AffineMap queryMap,
                   Value key, AffineMap keyMap) {
  return f.contract(scoreDims(dims), f.read(query, queryMap), f.read(key, keyMap));
}

/// S[b,i,j] = scale * QK[b,i,j]
Term scaled(LinalgFormulas &f, Term product, Value scale, OpFoldResult channels) {
  Value factor =
      getOrCreateScale(f.getBuilder(), f.getBuilder().getLoc(), scale, channels, f.getType());
  return f.map(product.dims, {product}, [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
    return arith::MulFOp::create(b, v[0], factor);
  });
}

/// S + bias, or -inf where an i1 bias is false.
Value addBias(ImplicitLocOpBuilder &b, Value score, Value bias) {
  if (!bias.getType().isInteger(1))
    return arith::AddFOp::create(b, score, bias);
  Value masked = arith::ConstantOp::create(b, b.getFloatAttr(score.getType(), -kInfinity));
  return arith::SelectOp::create(b, bias, score, masked);
}

/// The score region inlined: its value for one score, its bias elements, and the
/// indices of b, i, j. The biases have been extended; the region wants them as
/// they are stored.
Value inlineScore(ImplicitLocOpBuilder &b, Block &block, ValueRange elements, ValueRange indices) {
  IRMapping mapping;
  for (auto [argument, element] : llvm::zip(block.getArguments(), elements)) {
    Value stored = element;
    if (element.getType() != argument.getType())
      stored = arith::TruncFOp::create(b, argument.getType(), element);
    mapping.map(argument, stored);
  }
  for (auto [argument, index] :
       llvm::zip_equal(block.getArguments().drop_front(elements.size()), indices))
    mapping.map(argument, index);
  for (Operation &op : block.without_terminator())
    b.clone(op, mapping);
  return mapping.lookupOrDefault(cast<YieldOp>(block.getTerminator()).getScore());
}

/// S' = score(S, bias, indices) where there is a score region, else S + bias;
/// then -inf where j > i if causal.
Term finalScores(LinalgFormulas &f, SdpaOp op, const AttentionDims &dims, Term scores) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<Term> inputs = {scores};
  for (auto [bias, map] : llvm::zip(op.getBias(), ArrayRef(maps).drop_front(3)))
    inputs.push_back(f.read(bias, map));
  bool hasRegion = !op.getScore().empty();
  if (inputs.size() == 1 && !hasRegion && !op.getCausal())
    return scores;
  return f.mapWithIndices(scores.dims, inputs, [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
    ValueRange elements = v.take_front(inputs.size());
    SmallVector<Value> indices(v.drop_front(inputs.size()));
    for (auto [index, offset] : llvm::zip(indices, op.getOffsets()))
      index = arith::AddIOp::create(b, index, offset);
    Value score = elements.front();
    if (hasRegion)
      score = inlineScore(b, op.getScore().front(), elements, indices);
    else
      for (Value bias : elements.drop_front())
        score = addBias(b, score, bias);
    if (!op.getCausal())
      return score;
    auto indexOf = [&](unsigned dim) {
      return indices[llvm::find(scores.dims, dim) - scores.dims.begin()];
    };
    Value visible = arith::CmpIOp::create(b, arith::CmpIPredicate::ule, indexOf(dims.keys.back()),
                                          indexOf(dims.rows.back()));
    return addBias(b, score, visible);
  });
}

/// O[b,i,e] = sum_j softmax_j(S')[b,i,j] * V[b,j,e]
SmallVector<Value> decompose(OpBuilder &builder, SdpaOp op) {
  LinalgFormulas f(builder, cast<ViewOpInterface>(op.getOperation()));
  AttentionDims dims = AttentionDims::get(op);
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  Term product = queryTimesKey(f, dims, op.getQuery(), maps[0], op.getKey(), maps[1]);
  Term scores = scaled(f, product, op.getScale(), f.getRanges()[dims.channels]);
  scores = finalScores(f, op, dims, scores);
  Term p = f.softmax(scores, dims.keys, op.getMaskedRows() == MaskedRows::Zero);
  return {f.writeProduct(p, f.read(op.getValue(), maps[2]), op.getInit(), maps.back())};
}

/// C[b,d,e] = sum_j softmax_j(K)[b,j,d] * V[b,j,e]
SmallVector<Value> decompose(OpBuilder &builder, ContextOp op) {
  LinalgFormulas f(builder, cast<ViewOpInterface>(op.getOperation()));
  AttentionDims dims = AttentionDims::get(op);
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  Term k = f.softmax(f.read(op.getKey(), maps[0]), dims.keys);
  return {f.writeProduct(k, f.read(op.getValue(), maps[1]), op.getInit(), maps[2])};
}

/// O[b,i,e] = sum_d softmax_d(Q)[b,i,d] * C[b,d,e]
SmallVector<Value> decompose(OpBuilder &builder, ApplyOp op) {
  LinalgFormulas f(builder, cast<ViewOpInterface>(op.getOperation()));
  AttentionDims dims = AttentionDims::get(op);
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  Term q = f.softmax(f.read(op.getQuery(), maps[0]), dims.channels);
  return {f.writeProduct(q, f.read(op.getContext(), maps[1]), op.getInit(), maps[2])};
}

/// The value's grid with a border of zeros, cut to one position around init's.
Term paddedValue(LinalgFormulas &f, LepeOp op, AffineMap valueMap) {
  ImplicitLocOpBuilder &b = f.getBuilder();
  Term value = f.read(op.getValue(), valueMap);
  SmallVector<OpFoldResult> border(value.dims.size(), b.getIndexAttr(0));
  for (auto [position, dim] : llvm::enumerate(value.dims))
    if (llvm::is_contained(op.getGridDims(), int64_t(dim)))
      border[position] = b.getIndexAttr(1);
  auto type = cast<RankedTensorType>(value.tensor.getType());
  Value zero =
      arith::ConstantOp::create(b, b.getFloatAttr(cast<FloatType>(type.getElementType()), 0.0));
  SmallVector<int64_t> shape;
  for (auto [position, extent] : llvm::enumerate(type.getShape()))
    shape.push_back(ShapedType::isDynamic(extent)
                        ? extent
                        : extent + 2 * *getConstantIntValue(border[position]));
  auto padded = tensor::PadOp::create(b, RankedTensorType::get(shape, type.getElementType()),
                                      value.tensor, border, border, zero);
  value.tensor = padded;
  if (op.getOffsets().empty())
    return value;
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, b.getLoc(), padded);
  SmallVector<OpFoldResult> offsets(sizes.size(), b.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(sizes.size(), b.getIndexAttr(1));
  for (auto [axis, dim] : llvm::enumerate(op.getGridDims())) {
    unsigned position = llvm::find(value.dims, unsigned(dim)) - value.dims.begin();
    offsets[position] = op.getOffsets()[axis];
    sizes[position] = affine::makeComposedFoldedAffineApply(
        b, b.getLoc(), b.getAffineSymbolExpr(0) + 2, {f.getRanges()[dim]});
  }
  value.tensor = tensor::ExtractSliceOp::create(b, padded, offsets, sizes, strides);
  return value;
}

/// O[b,g,e] = init[b,g,e] + bias[e] + sum_t weight[t,e] * V[b,g+t-1,e]
SmallVector<Value> decompose(OpBuilder &builder, LepeOp op) {
  LinalgFormulas f(builder, cast<ViewOpInterface>(op.getOperation()));
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  Term out = f.read(op.getInit(), maps.back());
  SmallVector<Term> start = {out};
  if (op.getBias())
    start.push_back(f.read(op.getBias(), maps[2]));
  if (op.getBias() || getElementTypeOrSelf(op.getInit()) != f.getType())
    out = f.map(out.dims, start, [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
      return v.size() == 1 ? v[0] : arith::AddFOp::create(b, v[0], v[1]).getResult();
    });
  Term sum = f.addDepthwiseConv(out, paddedValue(f, op, maps[0]), f.read(op.getWeight(), maps[1]),
                                op.getGridDims());
  return {f.write(sum, op.getInit(), maps.back())};
}

/// exp(x - max), where a max of -inf (nothing seen yet) gives 0.
Term expBelow(LinalgFormulas &f, Term x, Term max) {
  return f.map(x.dims, {x, max}, [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
    Value nothing = arith::ConstantOp::create(b, b.getFloatAttr(f.getType(), -kInfinity));
    Value zero = arith::ConstantOp::create(b, b.getFloatAttr(f.getType(), 0.0));
    Value isNothing = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, v[1], nothing);
    Value exp = math::ExpOp::create(b, arith::SubFOp::create(b, v[0], v[1]));
    return arith::SelectOp::create(b, isNothing, zero, exp);
  });
}

/// factor * x + summand
Term timesPlus(LinalgFormulas &f, Term factor, Term x, Term summand) {
  return f.map(x.dims, {factor, x, summand}, [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
    return arith::AddFOp::create(b, arith::MulFOp::create(b, v[0], v[1]), v[2]);
  });
}

Term maximum(LinalgFormulas &f, Term x, Term y) {
  return f.map(x.dims, {x, y}, [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
    return arith::MaximumFOp::create(b, v[0], v[1]);
  });
}

/// m' = max(max, max_j S), r = exp(max - m'), P = exp(S - m'),
/// sum' = r * sum + sum_j P, acc' = r * acc + sum_j P * V
SmallVector<Value> decompose(OpBuilder &builder, OnlineOp op) {
  LinalgFormulas f(builder, cast<ViewOpInterface>(op.getOperation()));
  AttentionDims dims = AttentionDims::get(op);
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  Term product = queryTimesKey(f, dims, op.getQuery(), maps[0], op.getKey(), maps[1]);
  Term scores = scaled(f, product, op.getScale(), f.getRanges()[dims.channels]);
  Term acc = f.read(op.getAcc(), maps[3]), max = f.read(op.getMax(), maps[4]);
  Term sum = f.read(op.getSum(), maps[5]);

  // Reductions start from constants and are joined to what was there afterwards:
  // IREE 3.13 fails at some that go on from a tensor.
  Term newMax = maximum(f, max, f.maxWith(f.fill(max.dims, -kInfinity), scores));
  Term r = expBelow(f, max, newMax);
  Term p = expBelow(f, scores, newMax);
  Term newSum = timesPlus(f, r, sum, f.addSum(f.fill(sum.dims, 0.0), p));
  Term newAcc = timesPlus(f, r, acc, f.contract(acc.dims, p, f.read(op.getValue(), maps[2])));
  return {f.write(newAcc, op.getAcc(), maps[3]), f.write(newMax, op.getMax(), maps[4]),
          f.write(newSum, op.getSum(), maps[5])};
}

/// max = max_j K, P = exp(K - max), sum = sum_j P, acc = sum_j P * V
SmallVector<Value> decompose(OpBuilder &builder, PartialContextOp op) {
  LinalgFormulas f(builder, cast<ViewOpInterface>(op.getOperation()));
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  Term key = f.read(op.getKey(), maps[0]), value = f.read(op.getValue(), maps[1]);
  Term acc = f.read(op.getAcc(), maps[2]), state = f.read(op.getMax(), maps[3]);
  Term max = f.maxWith(f.fill(state.dims, -kInfinity), key);
  Term p = expBelow(f, key, max);
  Term sum = f.addSum(f.fill(state.dims, 0.0), p);
  return {f.write(f.contract(acc.dims, p, value), op.getAcc(), maps[2]),
          f.write(max, op.getMax(), maps[3]), f.write(sum, op.getSum(), maps[4])};
}

/// m = max_s max, r = exp(max - m), C = sum_s r * acc / sum_s r * sum
SmallVector<Value> decompose(OpBuilder &builder, MergeOp op) {
  LinalgFormulas f(builder, cast<ViewOpInterface>(op.getOperation()));
  AttentionDims dims = AttentionDims::get(op);
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  Term acc = f.read(op.getAcc(), maps[0]), max = f.read(op.getMax(), maps[1]);
  Term out = f.read(op.getInit(), maps[3]);
  SmallVector<unsigned> perChannel = dims.batch;
  perChannel.push_back(dims.channels);
  Term r = expBelow(f, max, f.maxWith(f.fill(perChannel, -kInfinity), max));
  Term sum = f.contract(perChannel, r, f.read(op.getSum(), maps[2]));
  Term merged = f.contract(out.dims, r, acc);
  Term divided = f.map(out.dims, {merged, sum}, [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
    return arith::DivFOp::create(b, v[0], v[1]);
  });
  return {f.write(divided, op.getInit(), maps[3])};
}

/// O[b,i,e] = acc[b,i,e] / sum[b,i], and 0 where sum is 0.
SmallVector<Value> decompose(OpBuilder &builder, FinalizeOp op) {
  LinalgFormulas f(builder, cast<ViewOpInterface>(op.getOperation()));
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  Term acc = f.read(op.getAcc(), maps[0]), sum = f.read(op.getSum(), maps[1]);
  Term out = f.map(acc.dims, {acc, sum}, [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
    Value zero = arith::ConstantOp::create(b, b.getFloatAttr(f.getType(), 0.0));
    Value isEmpty = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, v[1], zero);
    return arith::SelectOp::create(b, isEmpty, zero, arith::DivFOp::create(b, v[0], v[1]));
  });
  return {f.write(out, op.getInit(), maps[2])};
}

bool isOnTensors(Operation *op) {
  auto dps = dyn_cast<DestinationStyleOpInterface>(op);
  return isa<ViewOpInterface>(op) && dps.hasPureTensorSemantics();
}

/// Whether no tile holds `op`: D, E or the size of a line of keys (all key dims but the outermost)
/// is known at run time alone, or a context has tokens of several dims.
bool isUntileable(Operation *op) {
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(op));
  auto isUnknown = [&](unsigned dim) { return ShapedType::isDynamic(ranges[dim]); };
  auto hasUnknownRows = [&](const AttentionDims &dims) {
    return isUnknown(dims.channels) || isUnknown(dims.values);
  };
  return llvm::TypeSwitch<Operation *, bool>(op)
      .Case([&](SdpaOp sdpa) {
        AttentionDims dims = AttentionDims::get(sdpa);
        return hasUnknownRows(dims) ||
               (!dims.keys.empty() && llvm::any_of(ArrayRef(dims.keys).drop_front(), isUnknown));
      })
      .Case<LinearOp, ContextOp>([&](auto op) {
        AttentionDims dims = AttentionDims::get(op);
        return hasUnknownRows(dims) || dims.keys.size() != 1;
      })
      .Case([&](ApplyOp apply) { return hasUnknownRows(AttentionDims::get(apply)); })
      .Default(false);
}

struct DecomposeAttentionPass : impl::DecomposeAttentionPassBase<DecomposeAttentionPass> {
  using DecomposeAttentionPassBase::DecomposeAttentionPassBase;

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    // Whole ops into parts first, then every part into its formula.
    for (linalg::AggregatedOpInterface op : collect<linalg::AggregatedOpInterface>()) {
      FailureOr<SmallVector<Value>> results = op.decomposeOperation(rewriter);
      if (failed(results))
        return signalPassFailure();
      rewriter.replaceOp(op, *results);
      ++numDecomposed;
    }
    for (ViewOpInterface op : collect<ViewOpInterface>()) {
      rewriter.setInsertionPoint(op);
      SmallVector<Value> results =
          llvm::TypeSwitch<Operation *, SmallVector<Value>>(op)
              .Case<SdpaOp, ContextOp, PartialContextOp, MergeOp, ApplyOp, LepeOp, OnlineOp,
                    FinalizeOp>([&](auto part) { return decompose(rewriter, part); });
      rewriter.replaceOp(op, results);
      ++numDecomposed;
    }
  }

private:
  /// Ops of this dialect on tensors that have `Interface`.
  template <typename Interface> SmallVector<Interface> collect() {
    SmallVector<Interface> ops;
    getOperation()->walk([&](Interface op) {
      if (isOnTensors(op) && (!untileable || isUntileable(op)))
        ops.push_back(op);
    });
    return ops;
  }
};
} // namespace
} // namespace elfatt::attention
