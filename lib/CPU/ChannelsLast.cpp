// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"

#include "llvm/ADT/TypeSwitch.h"

namespace elfatt::cpu {
#define GEN_PASS_DEF_CHANNELSLASTPASS
#include "elfatt/CPU/Passes.h.inc"

using namespace mlir;
using namespace elfatt::attention;

namespace {
/// How a view whose channels are not last is stored instead.
struct Layout {
  SmallVector<int64_t> positions;   ///< of the source that are no constants
  SmallVector<int64_t> permutation; ///< of these; the channels at the end
  SmallVector<unsigned> dims;       ///< of the domain, in the new order
};
} // namespace

/// The layout of a view with domain dim `last` at the end; none if it is there, or
/// nowhere.
static std::optional<Layout> channelsLast(AffineMap map, unsigned last) {
  Layout layout;
  SmallVector<unsigned> dims;
  for (auto [position, expr] : llvm::enumerate(map.getResults()))
    if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
      layout.positions.push_back(position);
      dims.push_back(dim.getPosition());
    }
  auto found = llvm::find(dims, last);
  if (found == dims.end() || map.getResults().back() == getAffineDimExpr(last, map.getContext()))
    return std::nullopt;
  int64_t channels = found - dims.begin();
  for (int64_t at = 0, e = dims.size(); at < e; ++at)
    if (at != channels)
      layout.permutation.push_back(at);
  layout.permutation.push_back(channels);
  for (int64_t at : layout.permutation)
    layout.dims.push_back(dims[at]);
  return layout;
}

static AffineMap mapOf(const Layout &layout, AffineMap map) {
  SmallVector<AffineExpr> exprs;
  for (unsigned dim : layout.dims)
    exprs.push_back(getAffineDimExpr(dim, map.getContext()));
  return AffineMap::get(map.getNumDims(), 0, exprs, map.getContext());
}

namespace {
/// The part of a tensor that a view sees, its constants dropped.
struct Slice {
  SmallVector<OpFoldResult> offsets, sizes, strides;
  RankedTensorType type;
};
} // namespace

static Slice sliceOf(OpBuilder &b, Location loc, Value source, AffineMap map,
                     const Layout &layout) {
  Slice slice;
  auto type = cast<RankedTensorType>(source.getType());
  slice.sizes = tensor::getMixedSizes(b, loc, source);
  slice.strides.assign(type.getRank(), b.getIndexAttr(1));
  for (auto [position, expr] : llvm::enumerate(map.getResults())) {
    auto constant = dyn_cast<AffineConstantExpr>(expr);
    slice.offsets.push_back(b.getIndexAttr(constant ? constant.getValue() : 0));
    if (constant)
      slice.sizes[position] = b.getIndexAttr(1);
  }
  SmallVector<int64_t> shape;
  for (int64_t position : layout.positions)
    shape.push_back(type.getDimSize(position));
  slice.type = RankedTensorType::get(shape, type.getElementType());
  return slice;
}

static Value emptyLike(OpBuilder &b, Location loc, Value source, const Layout &layout) {
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, source), permuted;
  for (int64_t at : layout.permutation)
    permuted.push_back(sizes[layout.positions[at]]);
  return tensor::EmptyOp::create(b, loc, permuted, getElementTypeOrSelf(source));
}

static Value readSlice(OpBuilder &b, Location loc, Value source, const Slice &slice) {
  if (slice.type == source.getType())
    return source;
  return tensor::ExtractSliceOp::create(b, loc, slice.type, source, slice.offsets, slice.sizes,
                                        slice.strides);
}

namespace {
struct ChannelsLastPass : impl::ChannelsLastPassBase<ChannelsLastPass> {
  void runOnOperation() override {
    getOperation()->walk([&](ViewOpInterface op) {
      llvm::TypeSwitch<Operation *>(op)
          .Case<SdpaOp, LinearOp>([&](auto concrete) {
            AttentionDims dims = AttentionDims::get(concrete);
            move(concrete, dims.channels, dims.values);
          })
          .Case([&](ElfattOp elfatt) {
            unsigned dims = elfatt.getIndexingMapsArray()[0].getNumDims();
            move(elfatt, dims - 2, dims - 1);
          });
    });
  }

  template <typename OpTy> void move(OpTy op, unsigned channels, unsigned values) {
    if (!cast<DestinationStyleOpInterface>(op.getOperation()).hasPureTensorSemantics())
      return;
    OpBuilder b(op);
    Location loc = op.getLoc();
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    auto input = [&](OpOperand &operand, AffineMap &map, unsigned last) {
      std::optional<Layout> layout = channelsLast(map, last);
      if (!layout)
        return;
      Value source = operand.get();
      Value part = readSlice(b, loc, source, sliceOf(b, loc, source, map, *layout));
      Value target = emptyLike(b, loc, source, *layout);
      operand.set(
          linalg::TransposeOp::create(b, loc, part, target, layout->permutation)->getResult(0));
      map = mapOf(*layout, map);
      ++numMoved;
    };
    input(op.getQueryMutable(), maps[0], channels);
    input(op.getKeyMutable(), maps[1], channels);
    input(op.getValueMutable(), maps[2], values);
    Value init = op.getInit();
    AffineMap outputMap = maps.back();
    std::optional<Layout> layout = channelsLast(outputMap, values);
    if (layout) {
      op.getInitMutable().assign(emptyLike(b, loc, init, *layout));
      op->getResult(0).setType(cast<RankedTensorType>(op.getInit().getType()));
      maps.back() = mapOf(*layout, outputMap);
    }
    op.setIndexingMapsAttr(b.getAffineMapArrayAttr(maps));
    if (!layout)
      return;
    b.setInsertionPointAfter(op);
    Slice slice = sliceOf(b, loc, init, outputMap, *layout);
    Value part = readSlice(b, loc, init, slice);
    auto back = linalg::TransposeOp::create(b, loc, op->getResult(0), part,
                                            invertPermutationVector(layout->permutation));
    Value whole = back->getResult(0);
    if (whole.getType() != init.getType())
      whole = tensor::InsertSliceOp::create(b, loc, whole, init, slice.offsets, slice.sizes,
                                            slice.strides);
    op->getResult(0).replaceAllUsesExcept(whole, back);
    ++numMoved;
  }
};
} // namespace
} // namespace elfatt::cpu
