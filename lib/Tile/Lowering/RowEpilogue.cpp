// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RowEpilogue.h"

#include "Builders/Prefetch.h"
#include "Sizes/PartShape.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace elfatt::attention;
using namespace elfatt::tile;

/// Dims of `op`'s domain that the rows and columns of `part` run along, which writes
/// `rows`, an operand of `op`.
static SmallVector<unsigned> getOrder(linalg::GenericOp op, OpOperand *rows, Operation *part) {
  AffineMap written = cast<ViewOpInterface>(part).getIndexingMapsArray().back();
  AffineMap read = op.getMatchingIndexingMap(rows);
  SmallVector<unsigned> order;
  for (unsigned dim : getPartShape(part).rows)
    order.push_back(
        read.getDimPosition(*written.getResultPosition(getAffineDimExpr(dim, op.getContext()))));
  order.push_back(read.getDimPosition(read.getNumResults() - 1));
  return order;
}

LogicalResult RowEpilogue::prepare(Operation *part, bool stageValue) {
  if (lepe && failed(lepe->prepare(stageValue)))
    return failure();
  if (!elementwise)
    return success();
  Value made = cast<DestinationStyleOpInterface>(part).getDpsInits()[0];
  OpOperand *rows = findRowsOperand(elementwiseOp, made, ctx.limits.machine);
  assert(rows && "only ops that read the part's rows join it");
  return elementwise->prepare(getOrder(elementwiseOp, rows, part), rows);
}

void RowEpilogue::prefetch(const RowBlock &block) {
  if (lepe)
    lepe->prefetch(block);
  if (elementwise)
    elementwise->prefetch(block, ctx.index(2 * ctx.params.rows));
}

void RowEpilogue::prefetchOutput(const RowBlock &block, Value output, Value distance) {
  prefetchAfter(ctx, elementwise ? elementwise->getOutput() : output, block, distance,
                /*isWrite=*/true);
}

void RowEpilogue::findNext(NextTile &next) {
  if (elementwise)
    elementwise->findNext(next);
}

void RowEpilogue::prefetchNext(const RowBlock &block) {
  if (elementwise)
    elementwise->prefetchNext(block);
}

bool RowEpilogue::fitsRegisters(int64_t columns) const {
  return ctx.params.rows * llvm::divideCeilSigned(columns, ctx.params.padTo) <=
         ctx.limits.vectorRegisters;
}

/// Rows of more registers than there are pass through scratch where something joins them: panels of
/// their product are stored as they end, and finished some columns at a time, by the same code.
void RowEpilogue::write(const RowBlock &block, Value rows, Value output) {
  const int64_t columns = cast<VectorType>(rows.getType()).getDimSize(1);
  if (ctx.params.staged || fitsRegisters(columns) || (!lepe && !elementwise))
    return finish(block, rows, output);
  ImplicitLocOpBuilder &b = ctx.b;
  Value scratch = ctx.scratch({ctx.params.rows, columns}, ctx.type), zero = ctx.index(0);
  writeTile(ctx, rows, scratch, zero, zero);
  const int64_t width = ctx.params.padTo, rest = columns % width;
  if (columns > width) {
    auto loop = scf::ForOp::create(b, zero, ctx.index(columns - rest), ctx.index(width));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    finishColumns(block, scratch, output, loop.getInductionVar(), width);
  }
  if (rest != 0)
    finishColumns(block, scratch, output, ctx.index(columns - rest), rest);
}

void RowEpilogue::finishColumns(const RowBlock &block, Value scratch, Value output, Value first,
                                int64_t width) {
  RowEpilogue part = *this;
  if (lepe)
    part.lepe.emplace(lepe->ofColumns(first, width));
  if (elementwise)
    part.elementwise.emplace(elementwise->ofColumns(first, width));
  else
    output = columnsOf(ctx, output, first, width);
  Value zero = ctx.index(0), made = columnsOf(ctx, scratch, first, width);
  part.finish(block, readTile(ctx, made, zero, zero, ctx.params.rows, width), output);
}

void RowEpilogue::finish(const RowBlock &block, Value rows, Value output) {
  Formulas formulas(ctx.b, ctx.type);
  if (lepe)
    rows = lepe->addTo(block, rows);
  if (!elementwise) {
    rows = formulas.narrow(rows, typeOf(output).getElementType());
    return writeRows(ctx, rows, output, block);
  }
  // Rounded as the part's result is, whether it is stored or not.
  rows = formulas.narrow(rows, elementwise->getRowsType());
  writeRows(ctx, elementwise->apply(block, rows), elementwise->getOutput(), block);
}
