// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/Passes.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Tile/TileParams.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace elfatt::tile {
#define GEN_PASS_DEF_TILECLEANBUFFERSPASS
#include "elfatt/Tile/Passes.h.inc"

using namespace mlir;
using namespace elfatt::attention;

/// Whether `copy` moves a buffer onto itself: its source is its target reshaped and
/// reshaped back. Bufferization writes such a copy for every insert_slice and its
/// own folder does not look through reshapes (MLIR 22.1).
static bool isSelfCopy(memref::CopyOp copy) {
  if (copy.getSource().getType() != copy.getTarget().getType())
    return false;
  Value source = copy.getSource();
  while (source != copy.getTarget()) {
    Operation *def = source.getDefiningOp();
    if (!isa_and_nonnull<memref::ExpandShapeOp, memref::CollapseShapeOp>(def))
      return false;
    source = def->getOperand(0);
  }
  return true;
}

/// Moves `value`, a view of moved memory, and the views of it to `space`.
static void setMemorySpace(Value value, Attribute space) {
  auto type = cast<MemRefType>(value.getType());
  value.setType(MemRefType::get(type.getShape(), type.getElementType(), type.getLayout(), space));
  for (Operation *user : value.getUsers())
    if (isa<memref::SubViewOp, memref::ExpandShapeOp, memref::CollapseShapeOp, memref::TransposeOp,
            memref::CastOp>(user))
      setMemorySpace(user->getResult(0), space);
}

/// The same type with rows as far apart as warps want them that write and read what they hold of
/// a context; null for other memory.
static MemRefType getPaddedType(memref::AllocOp alloc) {
  auto type = alloc.getType();
  if (type.getRank() < 2 || !type.getElementType().isF32() || !type.getLayout().isIdentity() ||
      !llvm::all_of(alloc->getUsers(), llvm::IsaPred<ContextOp, MergeOp, ApplyOp>))
    return {};
  SmallVector<int64_t> shape(type.getShape());
  shape.back() = fragmentPitch(shape.back());
  return MemRefType::get(shape, type.getElementType());
}

namespace {
struct TileCleanBuffersPass : impl::TileCleanBuffersPassBase<TileCleanBuffersPass> {
  using TileCleanBuffersPassBase::TileCleanBuffersPassBase;

  void runOnOperation() override {
    getOperation()->walk([&](memref::CopyOp copy) {
      if (isSelfCopy(copy)) {
        copy.erase();
        ++numCopiesErased;
      }
    });
    IRRewriter rewriter(&getContext());
    getOperation()->walk([&](memref::AllocOp alloc) {
      if (!alloc->getParentOfType<scf::ForallOp>() || !alloc.getType().hasStaticShape())
        return;
      rewriter.setInsertionPoint(alloc);
      MemRefType padded = machine == Machine::GPU ? getPaddedType(alloc) : MemRefType();
      auto scratch =
          memref::AllocaOp::create(rewriter, alloc.getLoc(), padded ? padded : alloc.getType(),
                                   rewriter.getI64IntegerAttr(64));
      Value whole = scratch;
      if (padded && padded != alloc.getType()) {
        SmallVector<OpFoldResult> zeros(padded.getRank(), rewriter.getIndexAttr(0));
        SmallVector<OpFoldResult> ones(padded.getRank(), rewriter.getIndexAttr(1));
        whole = memref::SubViewOp::create(
            rewriter, alloc.getLoc(), scratch, zeros,
            getAsIndexOpFoldResult(&getContext(), alloc.getType().getShape()), ones);
      }
      rewriter.replaceOp(alloc, whole);
      if (machine == Machine::GPU)
        setMemorySpace(scratch,
                       gpu::AddressSpaceAttr::get(&getContext(), gpu::AddressSpace::Workgroup));
      ++numScratch;
    });
  }
};
} // namespace
} // namespace elfatt::tile
