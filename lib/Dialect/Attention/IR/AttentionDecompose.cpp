// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// AggregatedOpInterface: elfatt and linear into parts that write disjoint slices
// of one destination.
#include "elfatt/Dialect/Attention/IR/Attention.h"

#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"

using namespace mlir;
using namespace elfatt::attention;

static ArrayAttr mapsAttr(OpBuilder &builder, ArrayRef<AffineMap> maps) {
  return builder.getAffineMapArrayAttr(maps);
}

namespace {
/// A range of heads or of tokens. `whole` says that it is all of them, so that
/// no slice is needed.
struct HeadOrTokenRange {
  OpFoldResult offset, size;
  bool whole;
};

/// The domain of a part: (batch..., h, tokens..., [d], e), where the tokens are
/// row dims, key dims, or both.
struct PartDomain {
  unsigned batch, tokens;
  bool hasChannels;

  unsigned firstToken() const { return batch + 1; }
  unsigned channels() const { return firstToken() + tokens; }
  unsigned values() const { return channels() + hasChannels; }
  unsigned size() const { return values() + 1; }
};

/// Builds the parts of one `attention.elfatt`.
class ElfattParts {
public:
  ElfattParts(OpBuilder &builder, ElfattOp op);
  Value build();

private:
  void addPrefixRows();
  void addLocalHeads();
  void addGlobalHeads();

  Value attendToWindow(Value query, Value key, Value value, Value out);
  Value attendToPrefixAndWindow(Value query, Value key, Value value, Value out);
  Value addLepe(Value out, AffineMap outMap, Value value, AffineMap valueMap, Value weight,
                Value bias, PartDomain domain, ArrayRef<int64_t> gridDims);

  PartDomain domain(unsigned tokens, bool hasChannels) const {
    return {batch, tokens, hasChannels};
  }
  /// `map` on a part's domain, its token dim replaced by the domain's token dims
  /// numbered `tokens`.
  AffineMap mapOn(PartDomain domain, AffineMap map, ArrayRef<unsigned> tokens) const;

  struct Slice {
    SmallVector<OpFoldResult> offsets, sizes, strides;
    bool isWhole;
  };
  /// `range` of `dim` of a tensor viewed through `map`; its extraction and its
  /// insertion.
  Slice getSlice(Value source, AffineMap map, unsigned dim, HeadOrTokenRange range);
  Value slice(Value source, AffineMap map, unsigned dim, HeadOrTokenRange range);
  Value insert(Value value, Value into, AffineMap map, unsigned dim, HeadOrTokenRange range);
  /// The token dim split into `parts`, if there are several.
  Value split(Value source, AffineMap map, ArrayRef<OpFoldResult> parts);
  SmallVector<ReassociationIndices> splitGroups(AffineMap map, unsigned parts) const;
  Value view(Value source, AffineMap map, HeadOrTokenRange heads, HeadOrTokenRange tokens,
             ArrayRef<OpFoldResult> parts = {});
  /// Lets `build` make a part in its slice of the destination and puts it back.
  void addPart(HeadOrTokenRange heads, HeadOrTokenRange tokens, ArrayRef<OpFoldResult> parts,
               function_ref<Value(Value)> build);

  SmallVector<OpFoldResult> batchAnd(std::initializer_list<OpFoldResult> sizes) const;
  Value filled(ArrayRef<OpFoldResult> sizes, double value);
  OpFoldResult compute(AffineExpr expr, ArrayRef<OpFoldResult> operands) {
    return affine::makeComposedFoldedAffineApply(builder, loc, expr, operands);
  }

  OpBuilder &builder;
  Location loc;
  ElfattOp op;
  AffineMap queryMap, keyMap, valueMap, initMap;
  unsigned batch, axes;
  SmallVector<OpFoldResult> ranges, grid;
  /// Per axis (windows, tokens of a window), as the token dim is split.
  SmallVector<OpFoldResult> windows;
  HeadOrTokenRange allHeads, globalHeads, localHeads, allTokens, prefixTokens, gridTokens;
  bool hasGrid;
  FloatType computeType;
  Value dest;
};
} // namespace

ElfattParts::ElfattParts(OpBuilder &builder, ElfattOp op)
    : builder(builder), loc(op.getLoc()), op(op), dest(op.getInit()) {
  auto viewOp = cast<ViewOpInterface>(op.getOperation());
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  queryMap = maps[0], keyMap = maps[1], valueMap = maps[2], initMap = maps[3];
  batch = queryMap.getNumDims() - 4;
  axes = op.getWindow().size();
  ranges = getMixedLoopRanges(builder, viewOp);
  grid = op.getMixedGrid(builder);
  computeType = getComputeType(viewOp);

  AffineExpr a, b;
  bindSymbols(builder.getContext(), a, b);
  OpFoldResult zero = builder.getIndexAttr(0);
  OpFoldResult heads = ranges[batch], tokens = ranges[batch + 1];
  int64_t global = op.getGlobalHeads(), prefix = op.getPrefix();
  OpFoldResult numGlobal = builder.getIndexAttr(global);
  OpFoldResult numLocal = compute(a - global, {heads});
  bool allGlobal = getConstantIntValue(numLocal) == 0, allLocal = global == 0;
  allHeads = {zero, heads, true};
  globalHeads = {op.getLocalFirst() ? numLocal : zero, numGlobal, allGlobal};
  localHeads = {op.getLocalFirst() ? zero : numGlobal, numLocal, allLocal};

  // The grid's own extents tell more than the number of tokens when they are
  // static, and must be dynamic where the split of the token dim is.
  OpFoldResult onGrid = builder.getIndexAttr(1);
  for (OpFoldResult extent : grid)
    onGrid = compute(a * b, {onGrid, extent});
  if (!getConstantIntValue(onGrid) && !getConstantIntValue(tokens))
    onGrid = compute(a - prefix, {tokens});
  allTokens = {zero, tokens, true};
  prefixTokens = {zero, builder.getIndexAttr(prefix), getConstantIntValue(tokens) == prefix};
  gridTokens = {builder.getIndexAttr(prefix), onGrid, prefix == 0};
  hasGrid = getConstantIntValue(onGrid) != 0;

  for (auto [extent, window] : llvm::zip_equal(grid, op.getWindow())) {
    windows.push_back(compute(a.floorDiv(window), {extent}));
    windows.push_back(builder.getIndexAttr(window));
  }
}

Value ElfattParts::build() {
  if (op.getPrefix() > 0)
    addPrefixRows();
  if (hasGrid && getConstantIntValue(localHeads.size) != 0)
    addLocalHeads();
  if (hasGrid && op.getGlobalHeads() > 0)
    addGlobalHeads();
  return dest;
}

AffineMap ElfattParts::mapOn(PartDomain domain, AffineMap map, ArrayRef<unsigned> tokens) const {
  MLIRContext *ctx = builder.getContext();
  SmallVector<AffineExpr> results;
  for (AffineExpr expr : map.getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (!dim || dim.getPosition() <= batch)
      results.push_back(expr);
    else if (dim.getPosition() == batch + 1)
      for (unsigned token : tokens)
        results.push_back(getAffineDimExpr(domain.firstToken() + token, ctx));
    else
      results.push_back(getAffineDimExpr(
          dim.getPosition() == batch + 2 ? domain.channels() : domain.values(), ctx));
  }
  return AffineMap::get(domain.size(), 0, results, ctx);
}

Value ElfattParts::slice(Value source, AffineMap map, unsigned dim, HeadOrTokenRange range) {
  Slice slice = getSlice(source, map, dim, range);
  if (slice.isWhole)
    return source;
  return tensor::ExtractSliceOp::create(builder, loc, source, slice.offsets, slice.sizes,
                                        slice.strides);
}

Value ElfattParts::insert(Value value, Value into, AffineMap map, unsigned dim,
                          HeadOrTokenRange range) {
  Slice slice = getSlice(into, map, dim, range);
  if (slice.isWhole)
    return value;
  return tensor::InsertSliceOp::create(builder, loc, value, into, slice.offsets, slice.sizes,
                                       slice.strides);
}

ElfattParts::Slice ElfattParts::getSlice(Value source, AffineMap map, unsigned dim,
                                         HeadOrTokenRange range) {
  unsigned at = *map.getResultPosition(builder.getAffineDimExpr(dim));
  auto type = cast<RankedTensorType>(source.getType());
  int64_t size = getConstantIntValue(range.size).value_or(ShapedType::kDynamic);
  Slice slice;
  slice.isWhole = range.whole && type.getDimSize(at) == size;
  slice.sizes = tensor::getMixedSizes(builder, loc, source);
  slice.offsets.assign(type.getRank(), builder.getIndexAttr(0));
  slice.strides.assign(type.getRank(), builder.getIndexAttr(1));
  slice.offsets[at] = range.offset;
  slice.sizes[at] = range.size;
  return slice;
}

SmallVector<ReassociationIndices> ElfattParts::splitGroups(AffineMap map, unsigned parts) const {
  unsigned tokenAt = *map.getResultPosition(builder.getAffineDimExpr(batch + 1)), next = 0;
  SmallVector<ReassociationIndices> groups;
  for (unsigned at = 0; at < map.getNumResults(); ++at) {
    ReassociationIndices &group = groups.emplace_back();
    for (unsigned part = 0; part < (at == tokenAt ? parts : 1); ++part)
      group.push_back(next++);
  }
  return groups;
}

Value ElfattParts::split(Value source, AffineMap map, ArrayRef<OpFoldResult> parts) {
  if (parts.size() < 2)
    return source;
  unsigned tokenAt = *map.getResultPosition(builder.getAffineDimExpr(batch + 1));
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, source);
  sizes.erase(sizes.begin() + tokenAt);
  sizes.insert(sizes.begin() + tokenAt, parts.begin(), parts.end());
  SmallVector<int64_t> shape;
  SmallVector<Value> dynamicSizes;
  dispatchIndexOpFoldResults(sizes, dynamicSizes, shape);
  auto type = RankedTensorType::get(shape, getElementTypeOrSelf(source));
  return tensor::ExpandShapeOp::create(builder, loc, type, source, splitGroups(map, parts.size()),
                                       sizes);
}

Value ElfattParts::view(Value source, AffineMap map, HeadOrTokenRange heads,
                        HeadOrTokenRange tokens, ArrayRef<OpFoldResult> parts) {
  return split(slice(slice(source, map, batch, heads), map, batch + 1, tokens), map, parts);
}

void ElfattParts::addPart(HeadOrTokenRange heads, HeadOrTokenRange tokens,
                          ArrayRef<OpFoldResult> parts, function_ref<Value(Value)> build) {
  // Heads are cut last: a whole tensor of dynamic extents is known to collapse
  // without a copy, a slice of its heads is not.
  Value ofTokens = slice(dest, initMap, batch + 1, tokens);
  Value whole = split(ofTokens, initMap, parts);
  AffineMap splitMap = initMap;
  if (parts.size() > 1) {
    SmallVector<unsigned> tokenDims = llvm::to_vector(llvm::seq(0u, unsigned(parts.size())));
    splitMap = mapOn({batch, unsigned(parts.size()), /*hasChannels=*/false}, initMap, tokenDims);
  }
  Value made = build(slice(whole, splitMap, batch, heads));
  made = insert(made, whole, splitMap, batch, heads);
  if (parts.size() > 1)
    made = tensor::CollapseShapeOp::create(builder, loc, ofTokens.getType(), made,
                                           splitGroups(initMap, parts.size()));
  dest = insert(made, dest, initMap, batch + 1, tokens);
}

SmallVector<OpFoldResult> ElfattParts::batchAnd(std::initializer_list<OpFoldResult> sizes) const {
  SmallVector<OpFoldResult> all(ranges.begin(), ranges.begin() + batch);
  all.append(sizes);
  return all;
}

Value ElfattParts::filled(ArrayRef<OpFoldResult> sizes, double value) {
  Value empty = tensor::EmptyOp::create(builder, loc, sizes, computeType);
  Value constant =
      arith::ConstantOp::create(builder, loc, builder.getFloatAttr(computeType, value));
  return linalg::FillOp::create(builder, loc, constant, empty).getResult(0);
}

/// Prefix queries attend exactly to all tokens, in every head.
void ElfattParts::addPrefixRows() {
  PartDomain part = domain(/*tokens=*/2, /*hasChannels=*/true); // (b.., h, i, j, d, e)
  Value query = view(op.getQuery(), queryMap, allHeads, prefixTokens);
  addPart(allHeads, prefixTokens, {}, [&](Value out) -> Value {
    auto sdpa =
        SdpaOp::create(builder, loc, TypeRange(out.getType()), query, op.getKey(), op.getValue(),
                       /*bias=*/ValueRange{}, op.getScale(), /*offsets=*/ValueRange{}, out,
                       mapsAttr(builder, {mapOn(part, queryMap, {0}), mapOn(part, keyMap, {1}),
                                          mapOn(part, valueMap, {1}), mapOn(part, initMap, {0})}),
                       /*causal=*/false, MaskedRows::Zero);
    return sdpa->getResult(0);
  });
}

/// Token dims of a windowed part in the order of a split token dim: (windows,
/// tokens) per axis, where the domain holds all windows first, then the tokens
/// from `first`.
static SmallVector<unsigned> windowTokens(unsigned axes, unsigned first) {
  SmallVector<unsigned> tokens;
  for (unsigned axis = 0; axis < axes; ++axis)
    tokens.append({axis, first + axis});
  return tokens;
}

/// Grid queries of local heads attend to the prefix and to their window.
void ElfattParts::addLocalHeads() {
  Value query = view(op.getQuery(), queryMap, localHeads, gridTokens, windows);
  Value key = view(op.getKey(), keyMap, localHeads, gridTokens, windows);
  Value value = view(op.getValue(), valueMap, localHeads, gridTokens, windows);
  addPart(localHeads, gridTokens, windows, [&](Value out) -> Value {
    Value result = op.getPrefix() > 0 ? attendToPrefixAndWindow(query, key, value, out)
                                      : attendToWindow(query, key, value, out);
    if (!op.getLocalLepeWeight())
      return result;
    PartDomain part = domain(2 * axes, /*hasChannels=*/false);
    SmallVector<unsigned> tokens = windowTokens(axes, axes);
    SmallVector<int64_t> gridDims;
    for (unsigned axis = 0; axis < axes; ++axis)
      gridDims.push_back(part.firstToken() + axes + axis);
    return addLepe(result, mapOn(part, initMap, tokens), value, mapOn(part, valueMap, tokens),
                   op.getLocalLepeWeight(), op.getLocalLepeBias(), part, gridDims);
  });
}

Value ElfattParts::attendToWindow(Value query, Value key, Value value, Value out) {
  // (b.., h, windows.., i.., j.., d, e)
  PartDomain part = domain(3 * axes, /*hasChannels=*/true);
  SmallVector<unsigned> rows = windowTokens(axes, axes), keys = windowTokens(axes, 2 * axes);
  auto sdpa =
      SdpaOp::create(builder, loc, TypeRange(out.getType()), query, key, value,
                     /*bias=*/ValueRange{}, op.getScale(), /*offsets=*/ValueRange{}, out,
                     mapsAttr(builder, {mapOn(part, queryMap, rows), mapOn(part, keyMap, keys),
                                        mapOn(part, valueMap, keys), mapOn(part, initMap, rows)}),
                     /*causal=*/false, MaskedRows::Zero);
  return sdpa->getResult(0);
}

/// One softmax over two segments of keys that are not neighbours in memory.
Value ElfattParts::attendToPrefixAndWindow(Value query, Value key, Value value, Value out) {
  // State: (b.., h, windows.., i..[, e]).
  SmallVector<OpFoldResult> sizes = batchAnd({localHeads.size});
  for (unsigned axis = 0; axis < axes; ++axis)
    sizes.push_back(windows[2 * axis]);
  for (unsigned axis = 0; axis < axes; ++axis)
    sizes.push_back(windows[2 * axis + 1]);
  Value max = filled(sizes, -std::numeric_limits<double>::infinity());
  Value sum = filled(sizes, 0.0);
  sizes.push_back(ranges[batch + 3]);
  Value acc = filled(sizes, 0.0);
  SmallVector<unsigned> rows = windowTokens(axes, axes);
  auto stateMap = [&](PartDomain part, bool withValues) {
    SmallVector<unsigned> dims = llvm::to_vector(llvm::seq(0u, part.firstToken() + 2 * axes));
    if (withValues)
      dims.push_back(part.values());
    return AffineMap::getMultiDimMapWithTargets(part.size(), dims, builder.getContext());
  };
  auto step = [&](Value segmentKey, Value segmentValue, PartDomain part, ArrayRef<unsigned> keys) {
    auto online =
        OnlineOp::create(builder, loc, TypeRange{acc.getType(), max.getType(), sum.getType()},
                         query, segmentKey, segmentValue, op.getScale(), acc, max, sum,
                         mapsAttr(builder, {mapOn(part, queryMap, rows), mapOn(part, keyMap, keys),
                                            mapOn(part, valueMap, keys), stateMap(part, true),
                                            stateMap(part, false), stateMap(part, false)}));
    acc = online->getResult(0), max = online->getResult(1), sum = online->getResult(2);
  };
  step(view(op.getKey(), keyMap, localHeads, prefixTokens),
       view(op.getValue(), valueMap, localHeads, prefixTokens),
       domain(2 * axes + 1, /*hasChannels=*/true), {2 * axes});
  step(key, value, domain(3 * axes, /*hasChannels=*/true), windowTokens(axes, 2 * axes));

  PartDomain part = domain(2 * axes, /*hasChannels=*/false);
  auto finalize = FinalizeOp::create(
      builder, loc, TypeRange(out.getType()), acc, sum, out,
      mapsAttr(builder, {stateMap(part, true), stateMap(part, false), mapOn(part, initMap, rows)}));
  return finalize->getResult(0);
}

/// Grid queries of global heads attend to all tokens through the context.
void ElfattParts::addGlobalHeads() {
  PartDomain contextPart = domain(/*tokens=*/1, /*hasChannels=*/true); // (b.., h, j, d, e)
  Value empty = tensor::EmptyOp::create(
      builder, loc, batchAnd({globalHeads.size, ranges[batch + 2], ranges[batch + 3]}),
      computeType);
  auto contextMap = [&](PartDomain part) {
    SmallVector<unsigned> dims = llvm::to_vector(llvm::seq(0u, part.firstToken()));
    dims.append({part.channels(), part.values()});
    return AffineMap::getMultiDimMapWithTargets(part.size(), dims, builder.getContext());
  };
  auto context = ContextOp::create(
      builder, loc, TypeRange(empty.getType()), view(op.getKey(), keyMap, globalHeads, allTokens),
      view(op.getValue(), valueMap, globalHeads, allTokens), empty,
      mapsAttr(builder, {mapOn(contextPart, keyMap, {0}), mapOn(contextPart, valueMap, {0}),
                         contextMap(contextPart)}));

  // With LePE the rows are laid out on the grid, so that both parts tile alike.
  bool hasLepe = bool(op.getGlobalLepeWeight());
  ArrayRef<OpFoldResult> parts = hasLepe ? ArrayRef(grid) : ArrayRef<OpFoldResult>();
  SmallVector<unsigned> rows = llvm::to_vector(llvm::seq(0u, hasLepe ? axes : 1));
  Value query = view(op.getQuery(), queryMap, globalHeads, gridTokens, parts);
  addPart(globalHeads, gridTokens, parts, [&](Value out) -> Value {
    PartDomain applyPart = domain(rows.size(), /*hasChannels=*/true);
    auto apply =
        ApplyOp::create(builder, loc, TypeRange(out.getType()), query, context->getResult(0), out,
                        mapsAttr(builder, {mapOn(applyPart, queryMap, rows), contextMap(applyPart),
                                           mapOn(applyPart, initMap, rows)}));
    if (!hasLepe)
      return apply->getResult(0);
    PartDomain part = domain(axes, /*hasChannels=*/false);
    SmallVector<int64_t> gridDims;
    for (unsigned axis = 0; axis < axes; ++axis)
      gridDims.push_back(part.firstToken() + axis);
    return addLepe(apply->getResult(0), mapOn(part, initMap, rows),
                   view(op.getValue(), valueMap, globalHeads, gridTokens, parts),
                   mapOn(part, valueMap, rows), op.getGlobalLepeWeight(), op.getGlobalLepeBias(),
                   part, gridDims);
  });
}

Value ElfattParts::addLepe(Value out, AffineMap outMap, Value value, AffineMap valueMap,
                           Value weight, Value bias, PartDomain part, ArrayRef<int64_t> gridDims) {
  AffineMap weightMap = AffineMap::getMultiDimMapWithTargets(
      part.size(), {part.batch, part.values()}, builder.getContext());
  SmallVector<AffineMap> maps = {valueMap, weightMap};
  if (bias)
    maps.push_back(weightMap);
  maps.push_back(outMap);
  auto lepe = LepeOp::create(builder, loc, TypeRange(out.getType()), value, weight, bias,
                             /*offsets=*/ValueRange{}, out, mapsAttr(builder, maps),
                             builder.getDenseI64ArrayAttr(gridDims));
  return lepe->getResult(0);
}

FailureOr<SmallVector<Value>> ElfattOp::decomposeOperation(OpBuilder &builder) {
  if (!cast<DestinationStyleOpInterface>(getOperation()).hasPureTensorSemantics())
    return emitOpError("expected tensors, got buffers, which do not decompose");
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(*this);
  return SmallVector<Value>{ElfattParts(builder, *this).build()};
}

/// O = apply(Q, context(K, V)), each on the dims that it has of the domain, in
/// the order (batch, rows or keys, d, e).
FailureOr<SmallVector<Value>> LinearOp::decomposeOperation(OpBuilder &builder) {
  if (!cast<DestinationStyleOpInterface>(getOperation()).hasPureTensorSemantics())
    return emitOpError("expected tensors, got buffers, which do not decompose");
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(*this);
  auto viewOp = cast<ViewOpInterface>(getOperation());
  SmallVector<AffineMap> maps = getIndexingMapsArray();
  AttentionDims dims = AttentionDims::get(*this);
  SmallVector<OpFoldResult> ranges = getMixedLoopRanges(builder, viewOp), sizes;
  SmallVector<unsigned> contextDims = dims.batch;
  contextDims.append({dims.channels, dims.values});
  for (unsigned dim : contextDims)
    sizes.push_back(ranges[dim]);

  // `map` on the domain that has the dims (batch, `tokens`, d, e) of this one.
  auto mapOn = [&](ArrayRef<unsigned> tokens, AffineMap map) {
    SmallVector<unsigned> order = dims.batch;
    llvm::append_range(order, tokens);
    order.append({dims.channels, dims.values});
    SmallVector<AffineExpr> newDims(map.getNumDims());
    for (auto [position, dim] : llvm::enumerate(order))
      newDims[dim] = builder.getAffineDimExpr(position);
    for (AffineExpr &expr : newDims)
      if (!expr)
        expr = builder.getAffineConstantExpr(0);
    return map.replaceDimsAndSymbols(newDims, {}, order.size(), 0);
  };
  AffineMap contextMap =
      AffineMap::getMultiDimMapWithTargets(maps[0].getNumDims(), contextDims, builder.getContext());
  Value empty = tensor::EmptyOp::create(builder, getLoc(), sizes, getComputeType(viewOp));
  auto context =
      ContextOp::create(builder, getLoc(), TypeRange(empty.getType()), getKey(), getValue(), empty,
                        mapsAttr(builder, {mapOn(dims.keys, maps[1]), mapOn(dims.keys, maps[2]),
                                           mapOn(dims.keys, contextMap)}));
  auto apply =
      ApplyOp::create(builder, getLoc(), TypeRange(getInit().getType()), getQuery(),
                      context->getResult(0), getInit(),
                      mapsAttr(builder, {mapOn(dims.rows, maps[0]), mapOn(dims.rows, contextMap),
                                         mapOn(dims.rows, maps[3])}));
  return SmallVector<Value>{apply->getResult(0)};
}
