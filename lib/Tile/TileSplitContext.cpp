// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A context of many tokens and few heads becomes partial contexts of segments of the
// tokens, workers of their own, and their merge.
#include "elfatt/Tile/Passes.h"

#include "Sizes/PartShape.h"
#include "TilingPass.h"
#include "elfatt/Tile/ContextSplit.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace elfatt::tile {
#define GEN_PASS_DEF_TILESPLITCONTEXTPASS
#include "elfatt/Tile/Passes.h.inc"

using namespace mlir;
using namespace elfatt::attention;

namespace {
/// Builds what stands for one context: its domain (dims..) with the segments' dim before
/// the token dim, and states [segments, batch.., d(, e)].
class SplitContext {
public:
  SplitContext(OpBuilder &b, ContextOp op, ContextSplit split)
      : b(b), loc(op.getLoc()), op(op), split(split), dims(AttentionDims::get(op)),
        ranges(getStaticLoopRanges(cast<ViewOpInterface>(op.getOperation()))) {}

  Value build();

private:
  using State = SmallVector<Value, 3>; ///< acc, max, sum

  void addSegments(State &state, int64_t first, int64_t count, int64_t tokens);
  Value cut(Value source, AffineMap map, int64_t firstToken, int64_t count, int64_t tokens);
  AffineMap onSegments(AffineMap map) const;
  SmallVector<unsigned> stateDims(bool withValues) const;
  /// `dim` of the context's domain, where `shift` says: in that with segments.
  unsigned shifted(unsigned dim) const { return dim < token() ? dim : dim + 1; }
  unsigned token() const { return dims.keys[0]; }

  OpBuilder &b;
  Location loc;
  ContextOp op;
  ContextSplit split;
  AttentionDims dims;
  SmallVector<int64_t> ranges;
};
} // namespace

/// The context's dims that a state has, behind the segments.
SmallVector<unsigned> SplitContext::stateDims(bool withValues) const {
  SmallVector<unsigned> result = dims.batch;
  result.push_back(dims.channels);
  if (withValues)
    result.push_back(dims.values);
  return result;
}

/// `map` of K or V: the token dim becomes (segment, token).
AffineMap SplitContext::onSegments(AffineMap map) const {
  SmallVector<AffineExpr> exprs;
  for (AffineExpr expr : map.getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (dim && dim.getPosition() == token())
      exprs.push_back(b.getAffineDimExpr(token()));
    exprs.push_back(dim ? b.getAffineDimExpr(shifted(dim.getPosition())) : expr);
  }
  return AffineMap::get(map.getNumDims() + 1, 0, exprs, b.getContext());
}

/// `count` segments of `tokens` tokens of K or V, from `firstToken` on.
Value SplitContext::cut(Value source, AffineMap map, int64_t firstToken, int64_t count,
                        int64_t tokens) {
  auto type = cast<RankedTensorType>(source.getType());
  unsigned at = *map.getResultPosition(b.getAffineDimExpr(token()));
  SmallVector<OpFoldResult> offsets(type.getRank(), b.getIndexAttr(0)),
      strides(type.getRank(), b.getIndexAttr(1)), sizes = tensor::getMixedSizes(b, loc, source);
  offsets[at] = b.getIndexAttr(firstToken);
  sizes[at] = b.getIndexAttr(count * tokens);
  if (count * tokens != ranges[token()])
    source = tensor::ExtractSliceOp::create(b, loc, source, offsets, sizes, strides);
  SmallVector<int64_t> shape(type.getShape());
  shape[at] = tokens;
  shape.insert(shape.begin() + at, count);
  sizes[at] = b.getIndexAttr(tokens);
  sizes.insert(sizes.begin() + at, b.getIndexAttr(count));
  SmallVector<ReassociationIndices> groups;
  for (int64_t dim = 0, next = 0; dim < type.getRank(); ++dim) {
    groups.push_back({next++});
    if (dim == int64_t(at))
      groups.back().push_back(next++);
  }
  return tensor::ExpandShapeOp::create(b, loc, RankedTensorType::get(shape, type.getElementType()),
                                       source, groups, sizes);
}

/// Makes `count` segments of `tokens` tokens each, the first of which is `first`.
void SplitContext::addSegments(State &state, int64_t first, int64_t count, int64_t tokens) {
  int64_t firstToken = first * split.tokens;
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  Value key = cut(op.getKey(), maps[0], firstToken, count, tokens);
  Value value = cut(op.getValue(), maps[1], firstToken, count, tokens);
  SmallVector<AffineMap> newMaps = {onSegments(maps[0]), onSegments(maps[1])};
  State slices;
  SmallVector<Type> types;
  SmallVector<SmallVector<OpFoldResult>> offsets, sizes, strides;
  for (auto [number, whole] : llvm::enumerate(state)) {
    SmallVector<unsigned> targets = {token()};
    for (unsigned dim : stateDims(/*withValues=*/number == 0))
      targets.push_back(shifted(dim));
    newMaps.push_back(
        AffineMap::getMultiDimMapWithTargets(ranges.size() + 1, targets, b.getContext()));
    offsets.emplace_back(targets.size(), b.getIndexAttr(0))[0] = b.getIndexAttr(first);
    sizes.push_back(tensor::getMixedSizes(b, loc, whole));
    sizes.back()[0] = b.getIndexAttr(count);
    strides.emplace_back(targets.size(), b.getIndexAttr(1));
    slices.push_back(tensor::ExtractSliceOp::create(b, loc, whole, offsets.back(), sizes.back(),
                                                    strides.back()));
    types.push_back(slices.back().getType());
  }
  auto partial = PartialContextOp::create(b, loc, types, key, value, slices[0], slices[1],
                                          slices[2], b.getAffineMapArrayAttr(newMaps));
  for (auto [number, whole] : llvm::enumerate(state))
    whole = tensor::InsertSliceOp::create(b, loc, partial->getResult(number), whole,
                                          offsets[number], sizes[number], strides[number]);
}

Value SplitContext::build() {
  int64_t left = ranges[token()] - split.segments * split.tokens;
  FloatType type = getComputeType(cast<ViewOpInterface>(op.getOperation()));
  State state;
  for (bool withValues : {true, false, false}) {
    SmallVector<int64_t> shape = {split.segments + (left > 0 ? 1 : 0)};
    for (unsigned dim : stateDims(withValues))
      shape.push_back(ranges[dim]);
    state.push_back(tensor::EmptyOp::create(b, loc, shape, type));
  }
  addSegments(state, 0, split.segments, split.tokens);
  if (left > 0)
    addSegments(state, split.segments, 1, left);

  // The merge's domain: (segments, batch.., d, e).
  SmallVector<unsigned> all = stateDims(/*withValues=*/true);
  unsigned rank = all.size() + 1;
  AffineMap accMap = b.getMultiDimIdentityMap(rank), perChannel = accMap.dropResult(rank - 1);
  SmallVector<AffineExpr> results;
  AffineMap initMap = op.getIndexingMapsArray()[2];
  for (AffineExpr expr : initMap.getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    results.push_back(
        dim ? b.getAffineDimExpr(1 + (llvm::find(all, dim.getPosition()) - all.begin())) : expr);
  }
  auto merge = MergeOp::create(
      b, loc, TypeRange(op.getInit().getType()), state[0], state[1], state[2], op.getInit(),
      b.getAffineMapArrayAttr(
          {accMap, perChannel, perChannel, AffineMap::get(rank, 0, results, b.getContext())}));
  return merge->getResult(0);
}

namespace {
struct TileSplitContextPass : TilingPass<impl::TileSplitContextPassBase<TileSplitContextPass>> {
  using TilingPass::TilingPass;

  void runOnOperation() override {
    MachineLimits limits = getLimits();
    SmallVector<ContextOp> ops;
    getOperation()->walk([&](ContextOp op) {
      if (cast<DestinationStyleOpInterface>(op.getOperation()).hasPureTensorSemantics())
        ops.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (ContextOp op : ops) {
      AttentionDims dims = AttentionDims::get(op);
      SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(op.getOperation()));
      if (dims.keys.size() != 1 || llvm::is_contained(ranges, ShapedType::kDynamic) ||
          llvm::is_contained(ranges, 0))
        continue;
      int64_t workers = 1;
      for (unsigned dim : dims.batch)
        workers *= ranges[dim];
      TileParams params = getTileParams(limits, getPartShape(op).extents);
      const int64_t tokens = ranges[dims.keys[0]];
      ContextSplit split = machine == Machine::CPU
                               ? getContextSplit(tokens, workers, params.contextTokens)
                               : getKernelContextSplit(limits, tokens, workers,
                                                       params.contextTokens * params.contextWarps);
      if (split.segments == 1)
        continue;
      rewriter.setInsertionPoint(op);
      rewriter.replaceOp(op, SplitContext(rewriter, op, split).build());
      ++numSplit;
    }
  }
};
} // namespace
} // namespace elfatt::tile
