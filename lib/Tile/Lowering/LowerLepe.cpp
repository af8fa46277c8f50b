// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// lepe on buffers: the taps that fall on the grid are added to each row block. Where another part
// makes the rows, its lowering has the term instead (RowEpilogue).
#include "LepeTerm.h"
#include "LowerParts.h"
#include "Sizes/PartShape.h"

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

LogicalResult elfatt::tile::lowerLepe(LepeOp op, const MachineLimits &limits) {
  auto view = cast<ViewOpInterface>(op.getOperation());
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  FloatType type = getComputeType(view);
  FailureOr<PartShape> shape = getTileShape(op, limits.machine);
  if (failed(shape))
    return failure();
  TileContext ctx{b, limits, getTileParams(limits, shape->extents), type, shape->extents.heads};
  LepeTerm term(op, ctx);
  if (failed(term.prepare(/*stageValue=*/true)))
    return failure();
  Formulas formulas(b, type);
  ArrayRef<Value> targets = term.getInits();
  Value init = targets.front();
  if (ctx.params.staged) {
    FailureOr<int64_t> bound = staticRowBound(op, init);
    if (failed(bound))
      return failure();
    init = ctx.staging(roundUp(std::max<int64_t>(*bound, 1), ctx.params.rows),
                       ctx.heads * term.getColumns(), typeOf(init).getElementType());
    stageIn(ctx, targets, init, Padding::None);
  }
  forEachRowBlock(ctx, init, [&](const RowBlock &block) {
    Value rows = formulas.widen(readRows(ctx, init, block, term.getColumns()));
    rows = term.addTo(block, rows);
    writeRows(ctx, formulas.narrow(rows, typeOf(init).getElementType()), init, block);
  });
  if (init != targets.front())
    stageOut(ctx, init, targets);
  return success();
}
