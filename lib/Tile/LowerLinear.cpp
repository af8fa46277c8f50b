// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// context and apply on buffers. The context is summed over blocks of tokens with
// an online softmax per channel; apply is a row softmax and one product.
#include "PartShape.h"
#include "RowEpilogue.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include "llvm/Support/MathExtras.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

static LogicalResult checkTile(ViewOpInterface op, const AttentionDims &dims) {
  if (failed(checkUnitBatch(op)))
    return failure();
  SmallVector<int64_t> ranges = getStaticLoopRanges(op);
  if (ShapedType::isDynamic(ranges[dims.channels]) || ShapedType::isDynamic(ranges[dims.values]))
    return op->emitOpError("expected static channel and value extents");
  return success();
}

namespace {
/// C[d,e] = sum_j softmax_j(K)[j,d] V[j,e], over blocks of tokens.
class ContextLowering {
public:
  ContextLowering(ContextOp op, TileContext &ctx, Value key, Value value, Value output)
      : op(op), ctx(ctx), b(ctx.b), formulas(ctx.b, ctx.type), key(key), value(value),
        output(output) {}

  LogicalResult run();

private:
  void inPlaceBlock(Value firstToken, Value numTokens);
  void stagedBlock(Value firstToken, Value numTokens);
  Value fillScratch(ArrayRef<int64_t> shape, Value with);

  ContextOp op;
  TileContext &ctx;
  ImplicitLocOpBuilder &b;
  Formulas formulas;
  Value key, value, output; ///< [tokens, D], [tokens, E], [D, E]
  int64_t channels = 0, values = 0, tokens = 0;
  Value acc, max, sum, weights, rescale, keyScratch, valueScratch;
};
} // namespace

Value ContextLowering::fillScratch(ArrayRef<int64_t> shape, Value with) {
  Value buffer = ctx.scratch(shape, ctx.type);
  linalg::FillOp::create(b, ValueRange{with}, ValueRange{buffer});
  return buffer;
}

LogicalResult ContextLowering::run() {
  channels = typeOf(output).getDimSize(0);
  values = typeOf(output).getDimSize(1);
  tokens = ctx.params.contextTokens;
  if (ctx.params.staged) {
    channels = roundUp(channels, ctx.params.padTo);
    values = roundUp(values, ctx.params.padTo);
    keyScratch = ctx.scratch({channels, tokens}, ctx.operandType(typeOf(key).getElementType()));
    valueScratch = ctx.scratch({tokens, values}, ctx.operandType(typeOf(value).getElementType()));
  } else {
    weights = ctx.scratch({tokens, channels}, ctx.type);
    rescale = ctx.scratch({channels}, ctx.type);
  }
  acc = fillScratch({channels, values}, formulas.constant(0.0, ctx.type));
  max = fillScratch({channels},
                    formulas.constant(-std::numeric_limits<double>::infinity(), ctx.type));
  // A context of no tokens is a sum of nothing: 0 / 1.
  Value numTokens = ctx.index(memref::getMixedSize(b, b.getLoc(), key, 0));
  Value none = b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::eq, numTokens, ctx.index(0));
  sum = fillScratch({channels}, b.createOrFold<arith::UIToFPOp>(ctx.type, none));

  auto loop = scf::ForOp::create(b, ctx.index(0), numTokens, ctx.index(tokens));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    if (ctx.params.staged)
      stagedBlock(loop.getInductionVar(), numTokens);
    else
      inPlaceBlock(loop.getInductionVar(), numTokens);
  }

  // C = acc / sum, a row per channel.
  Value result = output;
  if (ctx.params.staged)
    result = typeOf(output).getElementType() == ctx.type
                 ? acc
                 : ctx.scratch({channels, values}, typeOf(output).getElementType());
  TileContext rowCtx = ctx;
  rowCtx.params.rows = ctx.params.staged ? ctx.params.rows : ctx.params.contextRows;
  forEachRowBlock(rowCtx, result, [&](const RowBlock &block) {
    OnlineState state{readRows(rowCtx, acc, block, values), Value(),
                      readPerRow(rowCtx, sum, block)};
    Value rows = formulas.finalize(state, /*emptyRowsAreZero=*/false);
    writeRows(rowCtx, formulas.narrow(rows, typeOf(result).getElementType()), result, block);
  });
  if (result != output)
    stageOut(ctx, result, output);
  return success();
}

/// Tokens in rows, in place: the softmax's state is per column, the products in
/// blocks of channels that fit registers.
void ContextLowering::inPlaceBlock(Value firstToken, Value numTokens) {
  Value zero = ctx.index(0);
  Value keyTile = formulas.widen(readTile(ctx, key, firstToken, zero, tokens, channels));
  Value valid;
  int64_t extent = typeOf(key).getDimSize(0);
  if (ShapedType::isDynamic(extent) || extent % tokens != 0) {
    Value positions = formulas.indices(firstToken, tokens);
    Value bound = arith::IndexCastOp::create(b, b.getI32Type(), numTokens);
    valid = arith::CmpIOp::create(b, arith::CmpIPredicate::slt, positions,
                                  formulas.splat(bound, cast<VectorType>(positions.getType())));
  }
  auto vector = VectorType::get({channels}, ctx.type);
  auto read = [&](Value buffer) -> Value {
    return vector::TransferReadOp::create(b, vector, buffer, ValueRange{zero},
                                          formulas.constant(0.0, ctx.type), ArrayRef<bool>{true});
  };
  Formulas::ContextStep step = formulas.contextStep(read(max), read(sum), keyTile, valid);
  vector::TransferWriteOp::create(b, step.max, max, ValueRange{zero}, ArrayRef<bool>{true});
  vector::TransferWriteOp::create(b, step.sum, sum, ValueRange{zero}, ArrayRef<bool>{true});
  writeTile(ctx, step.weights, weights, zero, zero);
  vector::TransferWriteOp::create(b, step.rescale, rescale, ValueRange{zero}, ArrayRef<bool>{true});

  // acc[d,e] = r[d] acc[d,e] + sum_j P[j,d] V[j,e]
  TileContext rowCtx = ctx;
  rowCtx.params.rows = ctx.params.contextRows;
  forEachRowBlock(rowCtx, acc, [&](const RowBlock &block) {
    // Each block asks for its share of the next tokens.
    int64_t share = llvm::divideCeil(tokens * rowCtx.params.rows, channels);
    Value next = arith::AddIOp::create(b, firstToken, ctx.index(tokens));
    Value part = arith::DivUIOp::create(b, arith::MulIOp::create(b, block.inner, ctx.index(tokens)),
                                        ctx.index(channels));
    next = arith::AddIOp::create(b, next, part);
    for (Value view : {key, value})
      prefetchRows(ctx, view, next, share);
    Value scaled =
        arith::MulFOp::create(b, formulas.alongRows(readPerRow(rowCtx, rescale, block), values),
                              readRows(rowCtx, acc, block, values));
    Value lhs = readTile(rowCtx, weights, zero, block.inner, tokens, rowCtx.params.rows);
    Value rhs = formulas.widen(readTile(rowCtx, value, firstToken, zero, tokens, values));
    writeRows(rowCtx, formulas.product(Product::TN, lhs, rhs, scaled), acc, block);
  });
}

/// Channels in rows, K transposed in scratch: an online softmax step with K^T for
/// its scores.
void ContextLowering::stagedBlock(Value firstToken, Value numTokens) {
  OpFoldResult one = b.getIndexAttr(1), zeroAttr = b.getIndexAttr(0);
  Value left = arith::SubIOp::create(b, numTokens, firstToken);
  Value count = arith::MinSIOp::create(b, left, ctx.index(tokens));
  auto block = [&](Value view) -> Value {
    OpFoldResult columns = memref::getMixedSize(b, b.getLoc(), view, 1);
    return memref::SubViewOp::create(b, view, SmallVector<OpFoldResult>{firstToken, zeroAttr},
                                     SmallVector<OpFoldResult>{count, columns},
                                     SmallVector<OpFoldResult>{one, one});
  };
  stageIn(ctx, block(key), keyScratch, /*transposed=*/true);
  stageIn(ctx, block(value), valueScratch, /*transposed=*/false);
  Value zero = ctx.index(0);
  forEachRowBlock(ctx, acc, [&](const RowBlock &rows) {
    Value scores =
        formulas.widen(readTile(ctx, keyScratch, rows.inner, zero, ctx.params.rows, tokens));
    scores = formulas.maskColumns(scores, count);
    Value tokensOfValue = readTile(ctx, valueScratch, zero, zero, tokens, values);
    OnlineState state{readRows(ctx, acc, rows, values), readPerRow(ctx, max, rows),
                      readPerRow(ctx, sum, rows)};
    state = formulas.online(&state, scores, tokensOfValue, ScoreBase::E);
    writeRows(ctx, state.acc, acc, rows);
    writePerRow(ctx, state.max, max, rows);
    writePerRow(ctx, state.sum, sum, rows);
  });
}

LogicalResult elfatt::tile::lowerContext(ContextOp op, const MachineLimits &limits) {
  auto view = cast<ViewOpInterface>(op.getOperation());
  AttentionDims dims = AttentionDims::get(op);
  if (failed(checkTile(view, dims)))
    return failure();
  if (dims.keys.size() != 1)
    return op.emitOpError("expected one token dim, got ") << dims.keys.size();
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  FloatType type = getComputeType(view);
  SmallVector<int64_t> ranges = getStaticLoopRanges(view);
  TileContext ctx{b, limits, getTileParams(limits, getPartShape(op).extents), type};
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  Value key = projectView(b, op.getKey(), maps[0], {dims.keys[0], dims.channels});
  Value value = projectView(b, op.getValue(), maps[1], {dims.keys[0], dims.values});
  Value output = projectView(b, op.getInit(), maps[2], {dims.channels, dims.values});
  return ContextLowering(op, ctx, key, value, output).run();
}

LogicalResult elfatt::tile::lowerApply(ApplyOp op, const MachineLimits &limits,
                                       const Followers &followers) {
  auto view = cast<ViewOpInterface>(op.getOperation());
  AttentionDims dims = AttentionDims::get(op);
  if (failed(checkTile(view, dims)))
    return failure();
  if (dims.rows.empty())
    return op.emitOpError("expected at least one row dim");
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  FloatType type = getComputeType(view);
  SmallVector<int64_t> ranges = getStaticLoopRanges(view);
  TileContext ctx{b, limits, getTileParams(limits, getPartShape(op).extents), type};
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<unsigned> queryDims(dims.rows), outputDims(dims.rows);
  queryDims.push_back(dims.channels);
  outputDims.push_back(dims.values);
  Value query = projectView(b, op.getQuery(), maps[0], queryDims);
  Value context = projectView(b, op.getContext(), maps[1], {dims.channels, dims.values});
  Value target = projectView(b, op.getInit(), maps[2], outputDims);
  int64_t validChannels = ranges[dims.channels];
  int64_t channels = validChannels, values = ranges[dims.values];
  Formulas formulas(b, type);
  Value output = target;
  if (ctx.params.staged) {
    FailureOr<int64_t> bound = staticRowBound(op, query);
    if (failed(bound))
      return failure();
    int64_t rows = roundUp(std::max<int64_t>(*bound, 1), ctx.params.rows);
    channels = roundUp(channels, ctx.params.padTo);
    values = roundUp(values, ctx.params.padTo);
    Type queryType = typeOf(query).getElementType();
    Value queryMatrix = ctx.scratch({rows, channels}, queryType);
    stageIn(ctx, query, queryMatrix, /*transposed=*/false);
    query = queryMatrix;
    Value contextMatrix = ctx.scratch({channels, values}, ctx.operandType(queryType));
    stageIn(ctx, context, contextMatrix, /*transposed=*/false);
    context = contextMatrix;
    output = ctx.scratch({rows, values}, typeOf(target).getElementType());
  }
  RowEpilogue epilogue(followers, ctx);
  if (failed(epilogue.prepare(op)))
    return failure();
  Value zero = ctx.index(0);
  forEachRowBlock(ctx, query, [&](const RowBlock &block) {
    prefetchAfter(ctx, query, block, ctx.index(2 * ctx.params.rows));
    epilogue.prefetch(block);
    Value rows = readRows(ctx, query, block, channels);
    Value contextTile = readTile(ctx, context, zero, zero, channels, values);
    if (!ctx.params.staged)
      contextTile = formulas.widen(contextTile);
    Value result = formulas.apply(rows, validChannels, contextTile);
    epilogue.write(block, result, output);
  });
  if (output != target)
    stageOut(ctx, output, target);
  return success();
}
