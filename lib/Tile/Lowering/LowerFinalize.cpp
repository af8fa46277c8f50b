// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// finalize on buffers: rows of a state that online steps have left, divided by their sums.
#include "RowEpilogue.h"
#include "Sizes/PartShape.h"

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

LogicalResult elfatt::tile::lowerFinalize(FinalizeOp op, const MachineLimits &limits,
                                          const Followers &followers) {
  auto view = cast<ViewOpInterface>(op.getOperation());
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<int64_t> ranges = getStaticLoopRanges(view);
  PartShape shape = getPartShape(op);
  unsigned values = 0;
  while (maps[1].isFunctionOfDim(values))
    ++values;
  SmallVector<unsigned> order = shape.rows;
  order.push_back(values);
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  FloatType type = getComputeType(view);
  TileParams params = getTileParams(limits, shape.extents);
  TileContext ctx{b, limits, params, type};
  Value acc = projectView(b, op.getAcc(), maps[0], order);
  Value sum = projectView(b, op.getSum(), maps[1], shape.rows);
  Value init = projectView(b, op.getInit(), maps[2], order);
  Formulas formulas(b, type);
  const int64_t columns = params.staged ? roundUp(ranges[values], params.padTo) : ranges[values];
  RowEpilogue epilogue(followers, ctx);
  if (failed(epilogue.prepare(op)))
    return failure();
  forEachRowBlock(ctx, init, [&](const RowBlock &block) {
    OnlineState state{readRows(ctx, acc, block, columns), Value(), readPerRow(ctx, sum, block)};
    Value rowsOut = formulas.finalize(state, /*emptyRowsAreZero=*/true);
    epilogue.write(block, rowsOut, init);
  });
  return success();
}
