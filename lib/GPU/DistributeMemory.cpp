// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reads and writes of tiles: each lane moves the elements it holds, the two
// neighbours that a quad layout gives it at once where they are aligned.
#include "Alignment.h"
#include "Distributor.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace elfatt::gpu;

/// One transfer seen by a lane.
struct Distributor::Access {
  VectorTransferOpInterface op;
  FragmentLayout layout;
  Value base, mask;
  SmallVector<Value> indices;
  /// The memref dim behind each dim of the tile; -1 if the tile repeats along it.
  SmallVector<int64_t> memrefDim;
  /// Per dim of the tile and local coordinate: the index, and where the dim may
  /// leave the buffer whether the index is inside.
  SmallVector<SmallVector<Value>> index, inside;
  /// Neighbours of the tile's last dim move together.
  bool paired = false;
};

FailureOr<Distributor::Access> Distributor::getAccess(VectorTransferOpInterface op,
                                                      const FragmentLayout &layout) {
  Access access;
  access.op = op;
  access.layout = layout;
  auto type = dyn_cast<MemRefType>(op.getShapedType());
  if (!type || isa<VectorType>(type.getElementType()))
    return op->emitOpError("expected a memref of scalars, got ") << op.getShapedType();
  access.base = get(op.getBase());
  for (Value index : op.getIndices())
    access.indices.push_back(get(index));
  for (AffineExpr expr : op.getPermutationMap().getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    access.memrefDim.push_back(dim ? dim.getPosition() : -1);
  }
  if (op.getMask()) {
    if (!op.getPermutationMap().isMinorIdentity())
      return op->emitOpError("expected a mask only where dims keep their order");
    access.mask = get(op.getMask(), layout);
  }

  access.index.resize(layout.rank());
  access.inside.resize(layout.rank());
  for (int64_t d = 0; d < layout.rank(); ++d) {
    int64_t m = access.memrefDim[d];
    if (m < 0)
      continue;
    Value start = access.indices[m];
    if (layout.getDims()[d] != LaneDim::None)
      start = arith::AddIOp::create(b, loc, start, laneOffset(layout.getDims()[d]));
    Value size;
    if (!op.isDimInBounds(d))
      size = getValueOrCreateConstantIndexOp(b, loc, memref::getMixedSize(b, loc, access.base, m));
    for (int64_t i = 0; i < layout.localSize(d); ++i) {
      int64_t offset = layout.constantOffset(d, i);
      Value index =
          offset ? arith::AddIOp::create(b, loc, start, constant(offset)).getResult() : start;
      access.index[d].push_back(index);
      if (size)
        access.inside[d].push_back(
            arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, index, size));
    }
  }

  int64_t last = layout.rank() - 1;
  SmallVector<OpFoldResult> starts = getAsOpFoldResult(op.getIndices());
  access.paired = layout.getDims()[last] == LaneDim::Quad && op.isDimInBounds(last) &&
                  !access.mask && access.memrefDim[last] == type.getRank() - 1 &&
                  isChunkAligned(op.getBase(), starts, 2);
  return access;
}

SmallVector<Value> Distributor::getIndices(const Access &access, int64_t flat) {
  SmallVector<Value> indices = access.indices;
  for (auto [d, i] : llvm::enumerate(access.layout.unflatten(flat)))
    if (access.memrefDim[d] >= 0)
      indices[access.memrefDim[d]] = access.index[d][i];
  return indices;
}

/// Whether the element may be touched; null if it always may.
Value Distributor::getCondition(const Access &access, int64_t flat) {
  Value condition;
  auto require = [&](Value inside) {
    condition = condition ? arith::AndIOp::create(b, loc, condition, inside).getResult() : inside;
  };
  for (auto [d, i] : llvm::enumerate(access.layout.unflatten(flat)))
    if (!access.inside[d].empty())
      require(access.inside[d][i]);
  if (access.mask)
    require(extract(access.mask, flat));
  return condition;
}

LogicalResult Distributor::visitRead(vector::TransferReadOp op) {
  const FragmentLayout &layout = layouts[op.getResult()];
  FailureOr<Access> access = getAccess(op, layout);
  if (failed(access))
    return failure();
  Type element = op.getVectorType().getElementType();
  Value padding = get(op.getPadding());
  int64_t width = access->paired ? 2 : 1;
  llvm::MaybeAlign align(width * element.getIntOrFloatBitWidth() / 8);
  auto load = [&](int64_t flat) -> SmallVector<Value> {
    SmallVector<Value> indices = getIndices(*access, flat);
    if (width == 1)
      return {memref::LoadOp::create(b, loc, access->base, indices)};
    Value pair = vector::LoadOp::create(b, loc, VectorType::get(width, element), access->base,
                                        indices, /*nontemporal=*/false, align);
    return {extract(pair, 0), extract(pair, 1)};
  };
  SmallVector<Value> elements;
  for (int64_t flat = 0; flat < layout.numLocal(); flat += width) {
    Value condition = getCondition(*access, flat);
    if (!condition) {
      llvm::append_range(elements, load(flat));
      continue;
    }
    SmallVector<Type> types(width, element);
    auto branch = scf::IfOp::create(b, loc, types, condition, /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(branch.thenBlock());
    scf::YieldOp::create(b, loc, load(flat));
    b.setInsertionPointToEnd(branch.elseBlock());
    scf::YieldOp::create(b, loc, SmallVector<Value>(width, padding));
    llvm::append_range(elements, branch.getResults());
  }
  define(op.getResult(), fromElements(elements, element), layout);
  return success();
}

LogicalResult Distributor::visitWrite(vector::TransferWriteOp op) {
  const FragmentLayout &layout = layouts[op.getVector()];
  FailureOr<Access> access = getAccess(op, layout);
  if (failed(access))
    return failure();
  Value value = get(op.getVector(), layout);
  Type element = op.getVectorType().getElementType();
  int64_t width = access->paired ? 2 : 1;
  llvm::MaybeAlign align(width * element.getIntOrFloatBitWidth() / 8);
  Value holder = isFirstHolder(layout);
  for (int64_t flat = 0; flat < layout.numLocal(); flat += width) {
    Value condition = getCondition(*access, flat);
    if (holder)
      condition = condition ? arith::AndIOp::create(b, loc, condition, holder).getResult() : holder;
    OpBuilder::InsertionGuard guard(b);
    if (condition) {
      auto branch = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/false);
      b.setInsertionPointToStart(branch.thenBlock());
    }
    SmallVector<Value> indices = getIndices(*access, flat);
    if (width == 1) {
      memref::StoreOp::create(b, loc, extract(value, flat), access->base, indices);
      continue;
    }
    Value pair = fromElements({extract(value, flat), extract(value, flat + 1)}, element);
    vector::StoreOp::create(b, loc, pair, access->base, indices, /*nontemporal=*/false, align);
  }
  return success();
}
