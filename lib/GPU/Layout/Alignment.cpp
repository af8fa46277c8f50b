// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Alignment.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;

bool elfatt::gpu::isKnownMultipleOf(OpFoldResult index, int64_t n) {
  if (n == 1)
    return true;
  if (std::optional<int64_t> constant = getConstantIntValue(index))
    return *constant % n == 0;
  auto value = cast<Value>(index);
  if (auto iv = dyn_cast<BlockArgument>(value)) {
    auto loop = dyn_cast<scf::ForOp>(iv.getOwner()->getParentOp());
    return loop && iv == loop.getInductionVar() && isKnownMultipleOf(loop.getLowerBound(), n) &&
           isKnownMultipleOf(loop.getStep(), n);
  }
  Operation *def = value.getDefiningOp();
  if (isa<arith::MulIOp>(def))
    return isKnownMultipleOf(def->getOperand(0), n) || isKnownMultipleOf(def->getOperand(1), n);
  if (isa<arith::AddIOp, arith::SubIOp, arith::RemUIOp>(def))
    return isKnownMultipleOf(def->getOperand(0), n) && isKnownMultipleOf(def->getOperand(1), n);
  if (auto apply = dyn_cast<affine::AffineApplyOp>(def))
    return apply.getAffineMap().getResult(0).isMultipleOf(n);
  return false;
}

bool elfatt::gpu::hasRowsAlignedTo(Value memref, int64_t n) {
  auto type = cast<MemRefType>(memref.getType());
  int64_t offset;
  SmallVector<int64_t> strides;
  if (type.getRank() == 0 || failed(type.getStridesAndOffset(strides, offset)) ||
      strides.back() != 1)
    return false;
  for (int64_t stride : ArrayRef(strides).drop_back())
    if (ShapedType::isDynamic(stride) || stride % n != 0)
      return false;
  if (!ShapedType::isDynamic(offset))
    return offset % n == 0;
  // A dynamic offset: each view on the way must keep rows aligned.
  if (auto subview = memref.getDefiningOp<memref::SubViewOp>()) {
    if (!hasRowsAlignedTo(subview.getSource(), n))
      return false;
    return isKnownMultipleOf(subview.getMixedOffsets().back(), n);
  }
  if (isa_and_nonnull<memref::CastOp, memref::ExpandShapeOp, memref::CollapseShapeOp,
                      memref::TransposeOp>(memref.getDefiningOp()))
    return hasRowsAlignedTo(memref.getDefiningOp()->getOperand(0), n);
  return false;
}

bool elfatt::gpu::isChunkAligned(Value memref, ArrayRef<OpFoldResult> indices, int64_t n) {
  int64_t bytes = n * cast<MemRefType>(memref.getType()).getElementTypeBitWidth() / 8;
  return bytes <= kPointerAlignment && hasRowsAlignedTo(memref, n) &&
         isKnownMultipleOf(indices.back(), n);
}
