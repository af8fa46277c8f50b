// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;

namespace elfatt::cpu {
#define GEN_PASS_DEF_TILETRANSPOSITIONSPASS
#include "elfatt/CPU/Passes.h.inc"

namespace {

/// Fewer elements are not worth a loop of their own.
constexpr int64_t kFewest = 4096;

/// target[.., s, .., t] = source[.., t, .., s]: what lies side by side in one does not in the
/// other.
struct Transposition {
  linalg::LinalgOp op;
  Value source, target;
  AffineMap sourceMap, targetMap; ///< permutations of the loop dims
  unsigned sourceLast, targetLast;
  SmallVector<int64_t> extents;
};

FailureOr<Transposition> matchTransposition(linalg::LinalgOp op) {
  if (!op.hasPureBufferSemantics() || op.getNumDpsInputs() != 1 || op.getNumDpsInits() != 1 ||
      op->getParentOfType<scf::ForallOp>())
    return failure();
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  Block *body = op.getBlock();
  auto type = dyn_cast<MemRefType>(op->getOperand(0).getType());
  if (!type || type.getElementTypeBitWidth() != 32 || !maps[0].isPermutation() ||
      !maps[1].isPermutation() || !llvm::hasSingleElement(*body) ||
      body->getTerminator()->getOperand(0) != body->getArgument(0))
    return failure();
  Transposition found{op,
                      op->getOperand(0),
                      op->getOperand(1),
                      maps[0],
                      maps[1],
                      maps[0].getDimPosition(maps[0].getNumResults() - 1),
                      maps[1].getDimPosition(maps[1].getNumResults() - 1),
                      op.getStaticLoopRanges()};
  if (found.sourceLast == found.targetLast || ShapedType::isDynamicShape(found.extents) ||
      ShapedType::getNumElements(found.extents) < kFewest)
    return failure();
  return found;
}

/// `lines` of the source from `places` on, [lines, its last dim], or where the target has them,
/// [that dim, lines].
Value takeLines(OpBuilder &b, Transposition op, bool ofSource, ArrayRef<OpFoldResult> places,
                int64_t lines) {
  Value memref = ofSource ? op.source : op.target;
  AffineMap map = ofSource ? op.sourceMap : op.targetMap;
  SmallVector<OpFoldResult> offsets, sizes, strides(map.getNumResults(), b.getIndexAttr(1));
  for (unsigned position = 0; position < map.getNumResults(); ++position) {
    unsigned dim = map.getDimPosition(position);
    offsets.push_back(places[dim]);
    sizes.push_back(b.getIndexAttr(dim == op.sourceLast   ? op.extents[dim]
                                   : dim == op.targetLast ? lines
                                                          : 1));
  }
  SmallVector<int64_t> shape = {lines, op.extents[op.sourceLast]};
  if (!ofSource)
    std::swap(shape[0], shape[1]);
  MemRefType type = memref::SubViewOp::inferRankReducedResultType(
      shape, cast<MemRefType>(memref.getType()), offsets, sizes, strides);
  return memref::SubViewOp::create(b, op.op.getLoc(), type, memref, offsets, sizes, strides);
}

/// `count` lines of the source from `first` on, in parallel blocks of `lines`.
void tileLines(OpBuilder &b, Transposition op, int64_t first, int64_t count, int64_t lines) {
  if (count == 0)
    return;
  OpBuilder::InsertionGuard guard(b);
  Location loc = op.op.getLoc();
  SmallVector<OpFoldResult> places(op.extents.size(), b.getIndexAttr(0)), bounds;
  SmallVector<unsigned> dims;
  for (unsigned dim = 0; dim < op.extents.size(); ++dim)
    if (dim != op.sourceLast) {
      dims.push_back(dim);
      bounds.push_back(b.getIndexAttr(dim == op.targetLast ? count / lines : op.extents[dim]));
    }
  auto forall = scf::ForallOp::create(b, loc, bounds, ValueRange(), std::nullopt);
  b.setInsertionPointToStart(forall.getBody());
  for (auto [dim, iv] : llvm::zip_equal(dims, forall.getInductionVars()))
    places[dim] = iv;
  AffineExpr block = b.getAffineDimExpr(0);
  places[op.targetLast] =
      affine::makeComposedFoldedAffineApply(b, loc, block * lines + first, places[op.targetLast]);
  linalg::TransposeOp::create(b, loc, takeLines(b, op, true, places, lines),
                              takeLines(b, op, false, places, lines), ArrayRef<int64_t>{1, 0});
}

struct TileTranspositions : impl::TileTranspositionsPassBase<TileTranspositions> {
  using TileTranspositionsPassBase::TileTranspositionsPassBase;

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    SmallVector<Transposition> found;
    getOperation()->walk([&](linalg::LinalgOp op) {
      FailureOr<Transposition> transposition = matchTransposition(op);
      if (succeeded(transposition))
        found.push_back(*transposition);
    });
    const int64_t lanes = std::max<int64_t>(1, vectorBits / 32);
    for (const Transposition &transposition : found) {
      rewriter.setInsertionPoint(transposition.op);
      int64_t lines = transposition.extents[transposition.targetLast], rest = lines % lanes;
      tileLines(rewriter, transposition, 0, lines - rest, lanes);
      tileLines(rewriter, transposition, lines - rest, rest, rest);
      rewriter.eraseOp(transposition.op);
      ++numTiled;
    }
  }
};

} // namespace
} // namespace elfatt::cpu
