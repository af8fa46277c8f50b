// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Softmax attention on buffers: blocks of keys are staged in scratch, row
// blocks run the online softmax over them. One block of keys needs no state in
// memory; more of them carry it in scratch (sdpa) or in the op's buffers (online).
#include "SoftmaxTile.h"

#include "Builders/NextTile.h"
#include "Builders/Prefetch.h"
#include "KeyBlocks.h"
#include "RowEpilogue.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Matchers.h"

#include "llvm/Support/MathExtras.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

namespace {
class SoftmaxLowering {
public:
  SoftmaxLowering(Operation *op, TileContext &ctx, SoftmaxTile tile)
      : op(op), ctx(ctx), b(ctx.b), formulas(ctx.b, ctx.type, ctx.params.fusedWeights), tile(tile),
        epilogue(tile.followers, ctx) {}

  LogicalResult run();

private:
  LogicalResult stageRows();
  void stageState(int64_t rows);
  void allocate();
  LogicalResult makeState();
  void lowerKeyBlock(Value firstLine);
  void stageKeys(ArrayRef<Value> views);
  Value behindFirst(Value matrix);
  void findNextTile();
  void prefetchNext(Value view, const RowBlock &block);
  void lowerRowBlock(const RowBlock &block, Value firstKey, Value validKeys, Value valueRows);
  void finish(const RowBlock &block, const OnlineState &state);
  OnlineState load(const RowBlock &blockOfHead);
  void store(const RowBlock &blockOfHead, const OnlineState &state);

  Operation *op;
  TileContext &ctx;
  ImplicitLocOpBuilder &b;
  Formulas formulas;
  SoftmaxTile tile;
  KeyBlocks blocks;
  int64_t channels = 0, values = 0; ///< padded extents of D and E
  Value keyScratch, valueScratch;
  bool takesKeysAsRows = false;             ///< one row pays for no transposition (CPU)
  Value keyRows;                            ///< of the block, [keys, D], then
  std::optional<ScoreScratch> scoreScratch; ///< of a row block, where registers do not hold it
  Value queryPairs; ///< the query [rows.., D/2, 2] where scores are products of pairs, or null
  Value output;     ///< where rows are written: tile.output, or scratch before it
  Value scoreScale, laterScale; ///< of all scores; the same, or null when it comes first
  ScoreBase base = ScoreBase::Two;
  RowEpilogue epilogue;
  Value nextQuery, nextKey, nextValue; ///< of the window that comes next, or null
  bool sharesValue = false;            ///< LePE reads V where keys do
  /// Beside LePE, whose workers read V again: is this of rows, and of keys?
  Reuse rowReuse = Reuse::Later, keyReuse = Reuse::Later;
  SmallVector<std::pair<Value, Value>> stagedState; ///< scratch and where it goes back
};
} // namespace

/// The views of all heads; without several the one there is.
static ArrayRef<Value> ofHeads(ArrayRef<Value> views, const Value &only) {
  return views.empty() ? ArrayRef(only) : views;
}

/// With `staged`, Q is copied to scratch with its rows flattened, and O written
/// there first.
LogicalResult SoftmaxLowering::stageRows() {
  output = tile.output;
  if (!ctx.params.staged)
    return success();
  FailureOr<int64_t> bound = staticRowBound(op, tile.query);
  if (failed(bound))
    return failure();
  int64_t rows = roundUp(std::max<int64_t>(*bound, 1), ctx.params.rows);
  Type queryType = typeOf(tile.query).getElementType();
  Value queryMatrix = ctx.staging(rows, ctx.heads * channels, queryType);
  stageIn(ctx, ofHeads(tile.queries, tile.query), queryMatrix, Padding::Columns, rowReuse);
  tile.query = queryMatrix;
  // Rows of O replace those of Q where they fit: a warp has read its own by then.
  if (tile.output)
    output = typeOf(tile.output).getElementType() == queryType && values == channels
                 ? queryMatrix
                 : ctx.staging(rows, ctx.heads * values, typeOf(tile.output).getElementType());
  if (tile.acc)
    stageState(rows);
  return success();
}

/// The op's own state, its rows flattened alike: where it lies if that is scratch, else it
/// passes through scratch.
void SoftmaxLowering::stageState(int64_t rows) {
  Value acc = flattenScratch(ctx, tile.acc, 1), max = flattenScratch(ctx, tile.max, 0),
        sum = flattenScratch(ctx, tile.sum, 0);
  if (acc && max && sum) {
    std::tie(tile.acc, tile.max, tile.sum) = std::tie(acc, max, sum);
    return;
  }
  auto through = [&](Value &view, Value matrix, Value source) {
    stageIn(ctx, source, matrix, Padding::None);
    stagedState.emplace_back(matrix, source);
    view = matrix;
  };
  through(tile.acc, ctx.scratch({rows, values}, ctx.type), tile.acc);
  // One value per row: a matrix of one column, read as a vector.
  for (Value *perRow : {&tile.max, &tile.sum}) {
    Value buffer = ctx.scratch({rows}, ctx.type), matrix;
    through(matrix, withColumn(ctx, buffer), withColumn(ctx, *perRow));
    *perRow = buffer;
  }
}

void SoftmaxLowering::allocate() {
  // Weights of more registers than there are pass through memory in any case: a loop is less code.
  const int64_t rows = ctx.params.rows, lanes = ctx.params.padTo;
  if (!ctx.params.staged && rows * (blocks.tile / lanes) > ctx.limits.vectorRegisters) {
    scoreScratch.emplace();
    scoreScratch->scores = ctx.scratch({rows, blocks.tile}, ctx.type);
    scoreScratch->columns = lanes;
    // Sums of all keys stay in registers beside exponentials where one panel holds them.
    const int64_t panel = (ctx.limits.vectorRegisters - 1) / (rows + 1);
    if (llvm::divideCeilSigned(values, lanes) > panel)
      scoreScratch->perRow = ctx.scratch({rows}, ctx.type);
  } else if (!ctx.params.staged && !queryPairs && !takesKeysAsRows) {
    blocks.dropHalfRegister(ctx);
  }
  Type keyType = ctx.operandType(typeOf(tile.key).getElementType());
  Type valueType = ctx.operandType(typeOf(tile.value).getElementType());
  if (queryPairs)
    keyScratch = ctx.scratch({channels / 2, blocks.columns, 2}, typeOf(tile.key).getElementType());
  else if (!takesKeysAsRows)
    keyScratch = ctx.params.staged ? ctx.staging(blocks.columns, ctx.heads * channels, keyType)
                                   : ctx.scratch({channels, blocks.columns}, keyType);
  if (sharesValue)
    valueScratch = epilogue.getLepe()->makeRows(blocks.columns, ctx.heads * values, valueType);
  else if (ctx.params.staged || typeOf(tile.value).getRank() > 2 || blocks.first != 0)
    valueScratch = ctx.staging(blocks.columns, ctx.heads * values, valueType);
}

LogicalResult SoftmaxLowering::run() {
  MemRefType query = typeOf(tile.query), value = typeOf(tile.value);
  channels = query.getShape().back();
  values = value.getShape().back();
  if (ShapedType::isDynamic(channels) || ShapedType::isDynamic(values))
    return op->emitOpError("expected static channel and value extents");
  // One view of all heads has the columns of each.
  if (tile.queries.size() == 1)
    channels /= ctx.heads;
  if (tile.values.size() == 1)
    values /= ctx.heads;
  if (ctx.params.staged) {
    channels = roundUp(channels, ctx.params.padTo);
    values = roundUp(values, ctx.params.padTo);
  }
  FailureOr<KeyBlocks> chosen = KeyBlocks::choose(op, ctx, tile);
  if (failed(chosen))
    return failure();
  blocks = *chosen;

  sharesValue = blocks.single && epilogue.getLepe() && epilogue.getLepe()->canShareRows(op);
  if (failed(epilogue.prepare(op, /*stageValue=*/!sharesValue)))
    return failure();
  if (epilogue.getLepe())
    rowReuse = Reuse::Never;
  // A worker that has all rows of a window, at once or in turns, is the only one that reads its
  // keys.
  auto countOf = [](Value view) {
    ArrayRef<int64_t> shape = typeOf(view).getShape().drop_back();
    return ShapedType::isDynamicShape(shape) ? ShapedType::kDynamic
                                             : ShapedType::getNumElements(shape);
  };
  const int64_t numTileRows = countOf(tile.query);
  const bool hasAllRows = !ShapedType::isDynamic(numTileRows) && numTileRows == countOf(tile.key);
  if (sharesValue && (hasAllRows || op->getParentOfType<scf::ForOp>()))
    keyReuse = Reuse::Never;

  // State in memory: needed by several blocks of keys, unless the op has its own.
  bool ownState = !tile.acc && !blocks.single;
  if (tile.score && failed(tile.score->setRows(tile.query, ctx.params.staged)))
    return failure();
  if (failed(stageRows()))
    return failure();
  if (ownState && failed(makeState()))
    return failure();
  takesKeysAsRows =
      !ctx.params.staged && numTileRows == 1 && !tile.firstKey && typeOf(tile.key).getRank() == 2;
  if (!takesKeysAsRows && multipliesPairs(ctx, tile.query, tile.key))
    queryPairs = inPairs(ctx, tile.query);
  allocate();
  Value log2e = formulas.constant(std::log2(std::exp(1.0)), ctx.type);
  base = tile.score ? tile.score->getBase() : ScoreBase::Two;
  scoreScale = base == ScoreBase::E ? tile.scale : b.createOrFold<arith::MulFOp>(tile.scale, log2e);

  // A positive scale keeps the order of scores: their maximum may come before it.
  APFloat known(0.0);
  if (!tile.score && matchPattern(tile.scale, m_ConstantFloat(&known)) && !known.isNegative() &&
      known.isFiniteNonZero())
    laterScale = scoreScale;

  findNextTile();
  if (blocks.single) {
    lowerKeyBlock(ctx.index(0));
  } else {
    Value upper = ctx.index(memref::getMixedSize(b, b.getLoc(), tile.key, 0));
    if (tile.score)
      upper = tile.score->boundLines(upper);
    auto loop = scf::ForOp::create(b, ctx.index(0), upper, ctx.index(blocks.lines));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    lowerKeyBlock(loop.getInductionVar());
  }
  if (ownState)
    forEachRowBlock(ctx, tile.query, [&](const RowBlock &block) { finish(block, load(block)); });
  if (output != tile.output)
    stageOut(ctx, output, ofHeads(tile.outputs, tile.output), rowReuse);
  for (auto [matrix, view] : stagedState)
    stageOut(ctx, matrix, view);
  return success();
}

/// Buffers for acc, max and sum of all rows, of no keys yet. On the GPU each warp holds
/// those of its rows in registers, where it has one row block alone.
LogicalResult SoftmaxLowering::makeState() {
  int64_t rank = typeOf(tile.query).getRank();
  SmallVector<int64_t> shape;
  for (int64_t dim = 0; dim < rank - 1; ++dim) {
    FailureOr<int64_t> bound = staticBound(op, tile.query, dim);
    if (failed(bound))
      return failure();
    // The innermost dim is padded to whole row blocks.
    shape.push_back(dim == rank - 2 ? ctx.heads * roundUp(*bound, ctx.params.rows) : *bound);
  }
  bool inRegisters =
      ctx.params.staged && ctx.warpsOf(shape.front()) * ctx.params.rows == shape.front();
  auto buffer = [&](ArrayRef<int64_t> extents) {
    return inRegisters ? ctx.registers(extents, ctx.type) : ctx.scratch(extents, ctx.type);
  };
  tile.max = buffer(shape);
  tile.sum = buffer(shape);
  shape.push_back(values);
  tile.acc = buffer(shape);
  if (inRegisters) {
    forEachRowBlock(ctx, tile.query, [&](const RowBlock &block) {
      store(block, formulas.noKeys(ctx.params.rows, values));
    });
    return success();
  }
  auto fill = [&](double with, Value buffer) {
    Value scalar = formulas.constant(with, ctx.type);
    linalg::FillOp::create(b, ValueRange{scalar}, ValueRange{buffer});
  };
  fill(-std::numeric_limits<double>::infinity(), tile.max);
  fill(0.0, tile.sum);
  fill(0.0, tile.acc);
  return success();
}

void SoftmaxLowering::lowerKeyBlock(Value firstLine) {
  // The block's lines of K and V; fewer at the end.
  auto linesOf = [&](Value view) -> Value {
    if (blocks.single)
      return view;
    int64_t rank = typeOf(view).getRank();
    SmallVector<OpFoldResult> offsets(rank, b.getIndexAttr(0)), strides(rank, b.getIndexAttr(1));
    SmallVector<OpFoldResult> sizes = memref::getMixedSizes(b, b.getLoc(), view);
    int64_t outer = typeOf(view).getDimSize(0);
    offsets[0] = firstLine;
    if (!ShapedType::isDynamic(outer) && outer % blocks.lines == 0) {
      sizes[0] = b.getIndexAttr(blocks.lines);
    } else {
      Value left = arith::SubIOp::create(b, ctx.index(sizes[0]), firstLine);
      sizes[0] = OpFoldResult(arith::MinSIOp::create(b, left, ctx.index(blocks.lines)).getResult());
    }
    return memref::SubViewOp::create(b, view, offsets, sizes, strides);
  };
  Value keyLines = linesOf(tile.key);
  if (takesKeysAsRows)
    keyRows = keyLines;
  else
    stageKeys(llvm::map_to_vector(ofHeads(tile.keys, tile.key), linesOf));
  SmallVector<Value> valueLines = llvm::map_to_vector(ofHeads(tile.values, tile.value), linesOf);
  Value valueRows = valueScratch;
  Value numKeys = numRows(ctx, keyLines);
  numKeys = b.createOrFold<arith::AddIOp>(numKeys, ctx.index(blocks.first));
  if (valueScratch) {
    if (blocks.first != 0)
      stageIn(ctx, tile.firstValue, valueScratch, Padding::None);
    stageIn(ctx, valueLines, behindFirst(valueScratch),
            ctx.params.staged ? Padding::Rows : Padding::None, keyReuse);
    if (!ctx.params.staged)
      valueRows = rowsOf(ctx, valueScratch, ctx.index(0), numKeys);
    if (LepeTerm *lepe = epilogue.getLepe();
        lepe && !ctx.params.staged && blocks.single && lepe->isGridOfKeys(op))
      lepe->readFrom(valueRows);
  }
  Value firstKey = b.createOrFold<arith::MulIOp>(firstLine, ctx.index(blocks.inner));
  Value validKeys = blocks.exact ? Value() : numKeys;
  if (tile.score)
    tile.score->beginKeyBlock(firstLine, keyLines, blocks.columns);
  forEachRowBlock(ctx, tile.query, [&](const RowBlock &block) {
    lowerRowBlock(block, firstKey, validKeys, valueRows);
  });
}

/// The rows of `matrix` behind those of the first keys.
Value SoftmaxLowering::behindFirst(Value matrix) {
  if (blocks.first == 0)
    return matrix;
  return rowsOf(ctx, matrix, ctx.index(blocks.first),
                ctx.index(typeOf(matrix).getDimSize(0) - blocks.first));
}

/// The GPU takes keys in rows. The CPU takes them in columns: keys pass through rows
/// of scratch where they are not the rows of a matrix already.
void SoftmaxLowering::stageKeys(ArrayRef<Value> views) {
  if (ctx.params.staged)
    return stageIn(ctx, views, keyScratch, Padding::Columns, keyReuse);
  Value lines = views.front();
  MemRefType type = typeOf(lines), target = typeOf(keyScratch);
  Value rows = lines;
  if (type.getRank() != 2 || type.getDimSize(0) != target.getDimSize(1) ||
      type.getElementType() != target.getElementType()) {
    rows = ctx.scratch({blocks.columns, channels}, target.getElementType());
    if (blocks.first != 0)
      stageIn(ctx, tile.firstKey, rows, Padding::None);
    stageIn(ctx, lines, behindFirst(rows), Padding::All);
  }
  if (queryPairs)
    linalg::TransposeOp::create(b, inPairs(ctx, rows), keyScratch, ArrayRef<int64_t>{1, 0, 2});
  else
    linalg::TransposeOp::create(b, rows, keyScratch, ArrayRef<int64_t>{1, 0});
}

/// A tile whose keys are its rows is a window, and the worker takes another one next.
void SoftmaxLowering::findNextTile() {
  ArrayRef<int64_t> rows = typeOf(tile.query).getShape().drop_back();
  if (ctx.params.staged || !blocks.single || rows != typeOf(tile.key).getShape().drop_back() ||
      ShapedType::isDynamicShape(rows))
    return;
  NextTile next(b);
  nextQuery = next.get(tile.query);
  nextKey = next.get(tile.key);
  nextValue = next.get(tile.value);
  epilogue.findNext(next);
}

/// A row block asks for the same rows of the next window: no hardware foresees them.
void SoftmaxLowering::prefetchNext(Value view, const RowBlock &block) {
  if (view)
    prefetchAfter(ctx, view, block, ctx.index(0));
}

void SoftmaxLowering::lowerRowBlock(const RowBlock &block, Value firstKey, Value validKeys,
                                    Value valueRows) {
  Value zero = ctx.index(0);
  // The product of scores takes them along, a line at a time.
  for (Value next : {nextQuery, nextKey, nextValue})
    prefetchNext(next, block);
  epilogue.prefetchNext(block);
  if (blocks.single && output)
    epilogue.prefetchOutput(block, output, zero);
  auto asOperand = [&](Value tileValue, Value stored) {
    return formulas.narrow(tileValue, ctx.operandType(typeOf(stored).getElementType()));
  };
  Value keyColumn = block.firstColumn(ctx, channels);
  Value valueColumn = block.firstColumn(ctx, values);
  Value query = queryPairs ? readRowPairs(ctx, queryPairs, block)
                           : asOperand(readRows(ctx, tile.query, block, channels), tile.query);
  auto step = [&](Value start, const OnlineState *state) {
    Value keys =
        takesKeysAsRows
            ? asOperand(readTile(ctx, keyRows, start, zero, blocks.tile, channels), keyRows)
        : queryPairs        ? readTilePairs(ctx, keyScratch, start, blocks.tile)
        : ctx.params.staged ? readTile(ctx, keyScratch, start, keyColumn, blocks.tile, channels)
                            : readTile(ctx, keyScratch, zero, start, channels, blocks.tile);
    Value scores = queryPairs
                       ? formulas.pairedScores(query, keys)
                       : formulas.scores(query, keys, !ctx.params.staged && !takesKeysAsRows);
    if (!laterScale)
      scores = arith::MulFOp::create(
          b, scores, formulas.splat(scoreScale, cast<VectorType>(scores.getType())));
    Value key = b.createOrFold<arith::AddIOp>(firstKey, start);
    if (tile.score)
      scores = tile.score->apply(formulas, scores, block, key, start);
    if (validKeys)
      scores = formulas.maskColumns(scores, b.createOrFold<arith::SubIOp>(validKeys, start),
                                    blocks.firstMasked(tile.key, ctx.params));
    auto readValue = [&](Value first, int64_t keys) {
      if (valueRows)
        return readTile(ctx, valueRows, b.createOrFold<arith::AddIOp>(start, first), valueColumn,
                        keys, values);
      return asOperand(
          readTile(ctx, tile.value, b.createOrFold<arith::AddIOp>(key, first), zero, keys, values),
          tile.value);
    };
    Value value;
    if (scoreScratch)
      scoreScratch->readValue = readValue;
    else
      value = readValue(zero, blocks.tile);
    return formulas.online(state, scores, value, base, laterScale,
                           scoreScratch ? &*scoreScratch : nullptr);
  };
  std::optional<OnlineState> state;
  if (tile.acc)
    state = load(block);
  if (blocks.tiles == 1) {
    state = step(zero, state ? &*state : nullptr);
  } else {
    // A loop, where code for each tile would be free to wait for the end of all.
    if (!state)
      state = formulas.noKeys(ctx.params.rows, values);
    auto loop = scf::ForOp::create(b, zero, ctx.index(blocks.columns), ctx.index(blocks.tile),
                                   ValueRange{state->acc, state->max, state->sum});
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    ValueRange carried = loop.getRegionIterArgs();
    OnlineState before{carried[0], carried[1], carried[2]};
    OnlineState after = step(loop.getInductionVar(), &before);
    scf::YieldOp::create(b, ValueRange{after.acc, after.max, after.sum});
    ValueRange results = loop.getResults();
    state = OnlineState{results[0], results[1], results[2]};
  }
  if (tile.acc)
    store(block, *state);
  else
    finish(block, *state);
}

void SoftmaxLowering::finish(const RowBlock &block, const OnlineState &state) {
  Value rows = formulas.finalize(state, tile.emptyRowsAreZero);
  epilogue.write(block, rows, output);
}

OnlineState SoftmaxLowering::load(const RowBlock &blockOfHead) {
  RowBlock block = blockOfHead.amongHeads();
  return {readRows(ctx, tile.acc, block, values), readPerRow(ctx, tile.max, block),
          readPerRow(ctx, tile.sum, block)};
}

void SoftmaxLowering::store(const RowBlock &blockOfHead, const OnlineState &state) {
  RowBlock block = blockOfHead.amongHeads();
  writeRows(ctx, state.acc, tile.acc, block);
  writePerRow(ctx, state.max, tile.max, block);
  writePerRow(ctx, state.sum, tile.sum, block);
}

LogicalResult elfatt::tile::lowerSoftmax(Operation *op, TileContext &ctx, SoftmaxTile tile) {
  return SoftmaxLowering(op, ctx, std::move(tile)).run();
}
