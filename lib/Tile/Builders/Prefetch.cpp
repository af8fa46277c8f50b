// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Prefetch.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace elfatt::tile;

void elfatt::tile::prefetchRows(const TileContext &ctx, Value view, ValueRange indices,
                                int64_t rows, bool isWrite) {
  ImplicitLocOpBuilder &b = ctx.b;
  MemRefType type = typeOf(view);
  int64_t columns = type.getShape().back(), rank = type.getRank();
  if (ctx.params.staged || ShapedType::isDynamic(columns))
    return;
  constexpr int64_t lineBits = 64 * 8;
  const int64_t perLine = lineBits / type.getElementTypeBitWidth();
  auto loop = scf::ForOp::create(b, ctx.index(0), ctx.index(rows), ctx.index(1));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  SmallVector<Value> at(indices);
  at[rank - 2] = b.createOrFold<arith::AddIOp>(at[rank - 2], loop.getInductionVar());
  at.push_back(Value());
  for (int64_t column = 0; column < columns; column += perLine) {
    at[rank - 1] = ctx.index(column);
    memref::PrefetchOp::create(b, view, at, isWrite, /*localityHint=*/3, /*isDataCache=*/true);
  }
}

void elfatt::tile::prefetchAfter(const TileContext &ctx, Value view, const RowBlock &block,
                                 Value distance, bool isWrite) {
  SmallVector<Value> indices = indicesOf(block);
  indices.back() = ctx.b.createOrFold<arith::AddIOp>(indices.back(), distance);
  prefetchRows(ctx, view, indices, ctx.params.rows, isWrite);
}
