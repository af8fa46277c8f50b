// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// context and apply on buffers. The context is summed over blocks of tokens with
// an online softmax per channel; apply is a row softmax and one product.
#include "Builders/Prefetch.h"
#include "RowEpilogue.h"
#include "Sizes/PartShape.h"

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
  SmallVector<int64_t> ranges = getStaticLoopRanges(op);
  if (ShapedType::isDynamic(ranges[dims.channels]) || ShapedType::isDynamic(ranges[dims.values]))
    return op->emitOpError("expected static channel and value extents");
  return success();
}

namespace {
/// C[d,e] = sum_j softmax_j(K)[j,d] V[j,e], over blocks of tokens.
class ContextLowering {
public:
  /// `output` is the context, or its undivided sum if there is a place for its state.
  ContextLowering(TileContext &ctx, ArrayRef<Value> keys, ArrayRef<Value> valueViews, Value output,
                  Value maxOutput = Value(), Value sumOutput = Value())
      : ctx(ctx), b(ctx.b), formulas(ctx.b, ctx.type, ctx.params.fusedWeights), keys(keys),
        valueViews(valueViews), key(keys.front()), value(valueViews.front()), output(output),
        maxOutput(maxOutput), sumOutput(sumOutput) {}

  LogicalResult run();

private:
  LogicalResult runStaged();
  void inPlaceBlock(Value firstToken, int64_t count);
  /// Tokens of one step: from row `first` on of views that hold others too where it is not known
  /// how many there are.
  struct Tokens {
    Value key, value, weights, first;
    int64_t count;
  };
  void weigh(const Tokens &tokens, Value first, int64_t width, Value valid);
  Value stageTokens(Value firstToken);
  Value noTokens();
  Value fillScratch(ArrayRef<int64_t> shape, Value with);

  TileContext &ctx;
  ImplicitLocOpBuilder &b;
  Formulas formulas;
  SmallVector<Value> keys, valueViews; ///< of all heads, as projectHeads gives them
  Value key, value, output;            ///< [tokens, D], [tokens, E], [D, E] or [heads, D, E]
  Value maxOutput, sumOutput;          ///< [D] or [heads, D] each, or null
  int64_t channels = 0, values = 0, columns = 0, tokens = 0;
  Value numTokens, acc, max, sum, weights, rescale, keyScratch, valueScratch;
};
} // namespace

Value ContextLowering::fillScratch(ArrayRef<int64_t> shape, Value with) {
  Value buffer = ctx.scratch(shape, ctx.type);
  linalg::FillOp::create(b, ValueRange{with}, ValueRange{buffer});
  return buffer;
}

LogicalResult ContextLowering::run() {
  channels = typeOf(output).getShape().end()[-2];
  values = typeOf(output).getShape().back();
  tokens = ctx.params.contextTokens;
  numTokens = ctx.index(memref::getMixedSize(b, b.getLoc(), key, 0));
  if (ctx.params.staged)
    return runStaged();
  weights = ctx.scratch({tokens, channels}, ctx.type);
  rescale = ctx.scratch({channels}, ctx.type);
  acc = fillScratch({channels, values}, formulas.constant(0.0, ctx.type));
  max = fillScratch({channels},
                    formulas.constant(-std::numeric_limits<double>::infinity(), ctx.type));
  sum = fillScratch({channels}, noTokens());

  // Where the number of tokens is known, no step has tokens to leave out.
  const int64_t extent = typeOf(key).getDimSize(0);
  const int64_t rest = ShapedType::isDynamic(extent) ? 0 : extent % tokens;
  Value end = rest == 0 ? numTokens : ctx.index(extent - rest);
  if (ShapedType::isDynamic(extent) || extent > rest) {
    auto loop = scf::ForOp::create(b, ctx.index(0), end, ctx.index(tokens));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    inPlaceBlock(loop.getInductionVar(), tokens);
  }
  if (rest != 0)
    inPlaceBlock(end, rest);

  // C = acc / sum, a row per channel.
  TileContext rowCtx = ctx;
  rowCtx.params.rows = ctx.params.contextRows;
  forEachRowBlock(rowCtx, output, [&](const RowBlock &block) {
    OnlineState state{readRows(rowCtx, acc, block, values), Value(),
                      readPerRow(rowCtx, sum, block)};
    if (maxOutput) {
      writeRows(rowCtx, state.acc, output, block);
      writePerRow(rowCtx, readPerRow(rowCtx, max, block), maxOutput, block);
      return writePerRow(rowCtx, state.sum, sumOutput, block);
    }
    Value rows = formulas.finalize(state, /*emptyRowsAreZero=*/false);
    writeRows(rowCtx, formulas.narrow(rows, typeOf(output).getElementType()), output, block);
  });
  return success();
}

/// One where there are no tokens, else zero: a context of no tokens is a sum of nothing,
/// 0 / 1.
Value ContextLowering::noTokens() {
  Value none = b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::eq, numTokens, ctx.index(0));
  return b.createOrFold<arith::UIToFPOp>(ctx.type, none);
}

/// The weights of `tokens` in `width` channels from `first` on, and these channels' state with
/// them.
void ContextLowering::weigh(const Tokens &tokens, Value first, int64_t width, Value valid) {
  Value zero = ctx.index(0);
  auto part = [&](Value view) -> Value {
    return width == channels ? view : columnsOf(ctx, view, first, width);
  };
  auto vector = VectorType::get({width}, ctx.type);
  auto read = [&](Value buffer) -> Value {
    return vector::TransferReadOp::create(b, vector, buffer, ValueRange{zero},
                                          formulas.constant(0.0, ctx.type), ArrayRef<bool>{true});
  };
  auto write = [&](Value value, Value buffer) {
    vector::TransferWriteOp::create(b, value, buffer, ValueRange{zero}, ArrayRef<bool>{true});
  };
  Value keyTile =
      formulas.widen(readTile(ctx, part(tokens.key), tokens.first, zero, tokens.count, width));
  Value maxPart = part(max), sumPart = part(sum);
  // Weights pass through memory in any case; code for those of one token serves all.
  Value inMemory = part(tokens.weights), pivots = part(rescale);
  Formulas::ContextStep step =
      formulas.contextStep(read(maxPart), read(sumPart), keyTile, valid, inMemory, pivots);
  write(step.max, maxPart);
  write(step.sum, sumPart);
  write(step.rescale, pivots);
}

/// Tokens in rows, in place: the softmax's state is per column, the products in
/// blocks of channels that fit registers.
void ContextLowering::inPlaceBlock(Value firstToken, int64_t count) {
  Value zero = ctx.index(0);
  Value valid;
  Tokens here{key, value, weights, firstToken, count};
  if (typeOf(key).isDynamicDim(0)) {
    Value positions = formulas.indices(firstToken, tokens);
    Value bound = arith::IndexCastOp::create(b, b.getI32Type(), numTokens);
    valid = arith::CmpIOp::create(b, arith::CmpIPredicate::slt, positions,
                                  formulas.splat(bound, cast<VectorType>(positions.getType())));
  } else {
    here.key = rowsOf(ctx, key, firstToken, ctx.index(count));
    here.value = rowsOf(ctx, value, firstToken, ctx.index(count));
    here.weights = rowsOf(ctx, weights, zero, ctx.index(count));
    here.first = zero;
  }
  const int64_t width = std::min(ctx.params.contextColumns, channels), rest = channels % width;
  if (width == channels) {
    weigh(here, zero, width, valid);
  } else {
    auto loop = scf::ForOp::create(b, zero, ctx.index(channels - rest), ctx.index(width));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    weigh(here, loop.getInductionVar(), width, valid);
  }
  if (rest != 0)
    weigh(here, ctx.index(channels - rest), rest, valid);

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
    Value lhs = readTile(rowCtx, here.weights, zero, block.inner, count, rowCtx.params.rows);
    Value rhs = formulas.widen(readTile(rowCtx, here.value, here.first, zero, count, values));
    writeRows(rowCtx, formulas.product(Product::TN, lhs, rhs, scaled), acc, block);
  });
}

/// `state` after a loop in which `next` makes the next one of it.
static OnlineState repeat(const TileContext &ctx, int64_t begin, int64_t end, int64_t step,
                          const OnlineState &state,
                          llvm::function_ref<OnlineState(const OnlineState &, Value)> next) {
  auto loop = scf::ForOp::create(ctx.b, ctx.index(begin), ctx.index(end), ctx.index(step),
                                 ValueRange{state.acc, state.max, state.sum});
  OpBuilder::InsertionGuard guard(ctx.b);
  ctx.b.setInsertionPointToStart(loop.getBody());
  ValueRange carried = loop.getRegionIterArgs(), results = loop.getResults();
  const OnlineState after = next({carried[0], carried[1], carried[2]}, loop.getInductionVar());
  scf::YieldOp::create(ctx.b, ValueRange{after.acc, after.max, after.sum});
  return {results[0], results[1], results[2]};
}

/// Tokens pass through scratch; a warp has some channels of a head for its rows, K^T for its scores
/// and a part of the tokens, over which it runs an online softmax. The parts are joined at
/// the end, in their order.
LogicalResult ContextLowering::runStaged() {
  const int64_t rows = ctx.params.contextRows, parts = ctx.params.contextWarps, heads = ctx.heads;
  const int64_t tiles = ctx.params.contextTiles;
  const int64_t channelRows = roundUp(channels, rows);
  columns = roundUp(values, ctx.params.padTo);
  const int64_t blocks = channelRows / rows;
  // Heads lie beside each other; what the last row blocks of one take of the next, or of the next
  // token, is dropped.
  const int64_t headColumns = roundUp(channels, ctx.params.padTo);
  keyScratch =
      ctx.staging(parts * tiles * tokens, heads * headColumns,
                  ctx.operandType(typeOf(key).getElementType()), channelRows - headColumns);
  valueScratch = ctx.staging(parts * tiles * tokens, heads * columns,
                             ctx.operandType(typeOf(value).getElementType()));
  // Row (part * heads + head) * channelRows + d: the state of channel d in that part of the tokens.
  const int64_t stateRows = heads * channelRows;
  max = ctx.registers({parts * stateRows}, ctx.type);
  sum = ctx.registers({parts * stateRows}, ctx.type);
  acc = ctx.registers({parts * stateRows, columns}, ctx.type);
  TileContext state = ctx;
  state.heads = 1;
  state.params.rows = rows;
  state.params.warps = parts * heads * blocks;
  auto write = [&](const TileContext &at, const RowBlock &block, const OnlineState &s, Value a,
                   Value m, Value l) {
    writeRows(at, s.acc, a, block);
    writePerRow(at, s.max, m, block);
    writePerRow(at, s.sum, l, block);
  };
  auto read = [&](const TileContext &at, const RowBlock &block, Value a, Value m, Value l) {
    return OnlineState{readRows(at, a, block, columns), readPerRow(at, m, block),
                       readPerRow(at, l, block)};
  };
  forEachRowBlock(state, acc, [&](const RowBlock &block) {
    write(state, block, formulas.noKeys(rows, columns), acc, max, sum);
  });
  auto loop = scf::ForOp::create(b, ctx.index(0), numTokens, ctx.index(parts * tiles * tokens));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value count = stageTokens(loop.getInductionVar());
    forEachRowBlock(state, acc, [&](const RowBlock &block) {
      Value channel = b.createOrFold<arith::RemUIOp>(block.inner, ctx.index(channelRows));
      Value part = b.createOrFold<arith::DivUIOp>(block.inner, ctx.index(stateRows));
      Value valueColumn = ctx.index(0);
      if (heads > 1) {
        Value head = b.createOrFold<arith::DivUIOp>(block.inner, ctx.index(channelRows));
        head = b.createOrFold<arith::RemUIOp>(head, ctx.index(heads));
        valueColumn = b.createOrFold<arith::MulIOp>(head, ctx.index(columns));
        channel = b.createOrFold<arith::AddIOp>(
            channel, b.createOrFold<arith::MulIOp>(head, ctx.index(headColumns)));
      }
      Value first = b.createOrFold<arith::MulIOp>(part, ctx.index(tiles * tokens));
      OnlineState s = read(state, block, acc, max, sum);
      auto addTile = [&](const OnlineState &before, Value row) {
        Value scores = formulas.widen(readTransposed(ctx, keyScratch, row, channel, rows, tokens));
        scores = formulas.maskColumns(scores, b.createOrFold<arith::SubIOp>(count, row));
        Value tokensOfValue = readTile(ctx, valueScratch, row, valueColumn, tokens, columns);
        return formulas.online(&before, scores, tokensOfValue, ScoreBase::E);
      };
      s = tiles == 1 ? addTile(s, first)
                     : repeat(ctx, 0, tiles * tokens, tokens, s,
                              [&](const OnlineState &before, Value row) {
                                return addTile(before, b.createOrFold<arith::AddIOp>(first, row));
                              });
      write(state, block, s, acc, max, sum);
    });
  }
  // What meets other states, here or in another launch.
  auto settle = [&](const OnlineState &s) {
    return formulas.settle(s, typeOf(valueScratch).getElementType(), ScoreBase::E);
  };
  auto finish = [&](const TileContext &at, const RowBlock &block, OnlineState joined) {
    if (maxOutput)
      return write(at, block, joined, output, maxOutput, sumOutput);
    joined.sum = arith::AddFOp::create(
        b, joined.sum, formulas.splat(noTokens(), cast<VectorType>(joined.sum.getType())));
    Value finished = formulas.finalize(joined, /*emptyRowsAreZero=*/false);
    writeRows(at, formulas.narrow(finished, typeOf(output).getElementType()), output, block);
  };
  if (parts == 1) {
    forEachRowBlock(state, acc, [&](const RowBlock &block) {
      RowBlock ofHead = block;
      if (heads > 1) {
        ofHead.outer.push_back(b.createOrFold<arith::DivUIOp>(block.inner, ctx.index(channelRows)));
        ofHead.inner = b.createOrFold<arith::RemUIOp>(block.inner, ctx.index(channelRows));
      }
      const OnlineState s = read(state, block, acc, max, sum);
      finish(state, ofHead, maxOutput ? settle(s) : s);
    });
    return success();
  }
  Value parted[3] = {ctx.fragments(parts * stateRows, columns, ctx.type),
                     ctx.scratch({parts * stateRows}, ctx.type),
                     ctx.scratch({parts * stateRows}, ctx.type)};
  forEachRowBlock(state, acc, [&](const RowBlock &block) {
    write(state, block, settle(read(state, block, acc, max, sum)), parted[0], parted[1], parted[2]);
  });
  TileContext rowCtx = ctx;
  rowCtx.heads = 1;
  // A block has registers for no more than sum them.
  rowCtx.params.warps = std::min(ctx.params.warps, state.params.warps);
  forEachRowBlock(rowCtx, output, [&](const RowBlock &block) {
    RowBlock first = block;
    first.outer.clear();
    if (heads > 1)
      first.inner = b.createOrFold<arith::AddIOp>(
          b.createOrFold<arith::MulIOp>(block.outer.front(), ctx.index(channelRows)), block.inner);
    auto get = [&](const RowBlock &at) { return read(ctx, at, parted[0], parted[1], parted[2]); };
    // In a loop: lanes have no registers to load all parts at once.
    auto addPart = [&](const OnlineState &before, Value row) {
      RowBlock other = first;
      other.inner = arith::AddIOp::create(b, first.inner, row);
      return formulas.join(before, get(other), ScoreBase::E);
    };
    finish(rowCtx, block,
           repeat(ctx, stateRows, parts * stateRows, stateRows, get(first), addPart));
  });
  return success();
}

/// Stages the tokens from `firstToken` on; returns how many there are, at most.
Value ContextLowering::stageTokens(Value firstToken) {
  Value left = arith::SubIOp::create(b, numTokens, firstToken);
  int64_t most = typeOf(keyScratch).getDimSize(0), extent = typeOf(key).getDimSize(0);
  Value count = !ShapedType::isDynamic(extent) && extent % most == 0
                    ? ctx.index(most)
                    : arith::MinSIOp::create(b, left, ctx.index(most)).getResult();
  auto tokensOf = [&](ArrayRef<Value> views) {
    return llvm::map_to_vector(views,
                               [&](Value view) { return rowsOf(ctx, view, firstToken, count); });
  };
  // The last head's row block may be wider than its columns.
  const int64_t width = ctx.heads * roundUp(channels, ctx.params.padTo);
  Value keyColumns = columnsOf(ctx, keyScratch, ctx.index(0), width);
  // K is read once, V again by LePE.
  stageIn(ctx, tokensOf(keys), keyColumns, Padding::None, Reuse::Never);
  stageIn(ctx, tokensOf(valueViews), valueScratch, Padding::Rows);
  return count;
}

static LogicalResult checkContextTile(ViewOpInterface op, const AttentionDims &dims) {
  if (failed(checkTile(op, dims)))
    return failure();
  if (dims.keys.size() != 1)
    return op->emitOpError("expected one token dim, got ") << dims.keys.size();
  return success();
}

/// `order`, of each of a worker's heads where it has several.
static SmallVector<unsigned> ofHeads(std::optional<unsigned> head, ArrayRef<unsigned> order) {
  SmallVector<unsigned> result(order);
  if (head)
    result.insert(result.begin(), *head);
  return result;
}

/// Of a context, or of an undivided sum where `op` has a state.
template <typename Op> static LogicalResult lowerAnyContext(Op op, const MachineLimits &limits) {
  auto view = cast<ViewOpInterface>(op.getOperation());
  AttentionDims dims = AttentionDims::get(op);
  FailureOr<PartShape> shape = getTileShape(op, limits.machine);
  if (failed(shape) || failed(checkContextTile(view, dims)))
    return failure();
  constexpr bool hasState = std::is_same_v<Op, PartialContextOp>;
  // What is made here is a context of the worker's own.
  shape->extents.ownsContext = !hasState && shape->head;
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  TileContext ctx{b, limits, getTileParams(limits, shape->extents), getComputeType(view),
                  shape->extents.heads};
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  std::optional<unsigned> head = shape->head;
  SmallVector<Value> keys =
      projectHeads(ctx, op.getKey(), maps[0], {dims.keys[0], dims.channels}, head);
  SmallVector<Value> values =
      projectHeads(ctx, op.getValue(), maps[1], {dims.keys[0], dims.values}, head);
  const SmallVector<unsigned> order = ofHeads(head, {dims.channels, dims.values});
  if constexpr (hasState) {
    Value acc = projectView(b, op.getAcc(), maps[2], order);
    Value max = projectView(b, op.getMax(), maps[3], ofHeads(head, {dims.channels}));
    Value sum = projectView(b, op.getSum(), maps[4], ofHeads(head, {dims.channels}));
    return ContextLowering(ctx, keys, values, acc, max, sum).run();
  } else {
    Value output = projectView(b, op.getInit(), maps[2], order);
    return ContextLowering(ctx, keys, values, output).run();
  }
}

LogicalResult elfatt::tile::lowerContext(ContextOp op, const MachineLimits &limits) {
  return lowerAnyContext(op, limits);
}

LogicalResult elfatt::tile::lowerPartialContext(PartialContextOp op, const MachineLimits &limits) {
  return lowerAnyContext(op, limits);
}

LogicalResult elfatt::tile::lowerApply(ApplyOp op, const MachineLimits &limits,
                                       const Followers &followers, bool makesContext) {
  auto view = cast<ViewOpInterface>(op.getOperation());
  AttentionDims dims = AttentionDims::get(op);
  FailureOr<PartShape> shape = getTileShape(op, limits.machine);
  if (failed(shape) || failed(checkTile(view, dims)))
    return failure();
  shape->extents.hasProcessor = shape->head && !makesContext;
  if (dims.rows.empty())
    return op.emitOpError("expected at least one row dim");
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  FloatType type = getComputeType(view);
  SmallVector<int64_t> ranges = getStaticLoopRanges(view);
  TileContext ctx{b, limits, getTileParams(limits, shape->extents), type, shape->extents.heads};
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<unsigned> queryDims(dims.rows), outputDims(dims.rows);
  queryDims.push_back(dims.channels);
  outputDims.push_back(dims.values);
  SmallVector<Value> queries = projectHeads(ctx, op.getQuery(), maps[0], queryDims, shape->head);
  SmallVector<Value> wholes =
      projectHeads(ctx, op.getContext(), maps[1], {dims.channels, dims.values}, shape->head);
  SmallVector<Value> targets = projectHeads(ctx, op.getInit(), maps[2], outputDims, shape->head);
  Value query = queries.front(), context = wholes.front(), target = targets.front();
  if (failed(fitRows(op, ctx, query)))
    return failure();
  int64_t validChannels = ranges[dims.channels];
  int64_t channels = validChannels, values = ranges[dims.values];
  Formulas formulas(b, type, ctx.params.fusedWeights);
  Value output = target;
  SmallVector<Value> contexts = {context};
  // Rows around a tile are read for it, and for the next.
  const Reuse reuse = followers.lepe ? Reuse::Never : Reuse::Later;
  if (ctx.params.staged) {
    FailureOr<int64_t> bound = staticRowBound(op, query);
    if (failed(bound))
      return failure();
    int64_t rows = roundUp(std::max<int64_t>(*bound, 1), ctx.params.rows);
    channels = roundUp(channels, ctx.params.padTo);
    values = roundUp(values, ctx.params.padTo);
    Type queryType = typeOf(query).getElementType();
    Type operandType = ctx.operandType(queryType);
    ContextForm form = getContextForm(limits, shape->extents);
    if (typeOf(context).getElementTypeBitWidth() <= operandType.getIntOrFloatBitWidth())
      form = ContextForm::Rounded;
    // A wide one is copied from where warps of a context wrote it.
    contexts[0] = form == ContextForm::Wide
                      ? ctx.fragments(channels, ctx.heads * values, type)
                      : ctx.staging(channels, ctx.heads * values, operandType);
    stageIn(ctx, wholes, contexts[0], Padding::Rows);
    if (form == ContextForm::WithRemainder) {
      contexts.push_back(ctx.staging(channels, ctx.heads * values, operandType));
      stageRemainder(ctx, wholes, contexts[1]);
    }
    // After the context, which has its scratch no longer.
    Value queryMatrix = ctx.fragments(rows, ctx.heads * channels, queryType);
    stageIn(ctx, queries, queryMatrix, Padding::None, reuse);
    query = queryMatrix;
    // Rows of O replace those of Q where they fit: a warp has read its own by then.
    Type outputType = typeOf(target).getElementType();
    output = outputType == queryType && channels == values
                 ? queryMatrix
                 : ctx.fragments(rows, ctx.heads * values, outputType);
  }
  RowEpilogue epilogue(followers, ctx);
  if (failed(epilogue.prepare(op)))
    return failure();
  Value zero = ctx.index(0);
  forEachRowBlock(ctx, query, [&](const RowBlock &block) {
    prefetchAfter(ctx, query, block, ctx.index(2 * ctx.params.rows));
    epilogue.prefetch(block);
    epilogue.prefetchOutput(block, output, ctx.index(ctx.params.rows));
    Value rows = readRows(ctx, query, block, channels);
    SmallVector<Value> tiles = llvm::map_to_vector(contexts, [&](Value part) {
      Value tile = readTile(ctx, part, zero, block.firstColumn(ctx, values), channels, values);
      return ctx.params.staged ? tile : formulas.widen(tile);
    });
    Value result = formulas.apply(rows, validChannels, tiles);
    epilogue.write(block, result, output);
  });
  if (output != target)
    stageOut(ctx, output, targets, reuse);
  return success();
}
