// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"

#include <cstring>

using namespace mlir;

namespace elfatt::cpu {
#define GEN_PASS_DEF_TRANSPOSEWEIGHTSPASS
#include "elfatt/CPU/Passes.h.inc"

namespace {

/// A side of the square blocks that are transposed at once: they stay in L1.
constexpr int64_t blockSize = 32;

/// to[j][i] = from[i][j] for rows x columns elements.
template <typename T> void transpose(const T *from, T *to, int64_t rows, int64_t columns) {
  for (int64_t i0 = 0; i0 < rows; i0 += blockSize)
    for (int64_t j0 = 0; j0 < columns; j0 += blockSize)
      for (int64_t i = i0; i < std::min(rows, i0 + blockSize); ++i)
        for (int64_t j = j0; j < std::min(columns, j0 + blockSize); ++j)
          to[j * rows + i] = from[i * columns + j];
}

/// The transposed bytes of a matrix; failure where the resource has not as
/// many bytes as its type says, or elements of another size.
FailureOr<AsmResourceBlob> transposeBlob(const AsmResourceBlob *blob, RankedTensorType type) {
  int64_t rows = type.getDimSize(0), columns = type.getDimSize(1);
  unsigned bits = type.getElementType().isIntOrFloat() ? type.getElementTypeBitWidth() : 0;
  if (!blob || (bits != 16 && bits != 32) ||
      static_cast<int64_t>(blob->getData().size()) != rows * columns * (bits / 8))
    return failure();
  AsmResourceBlob result = HeapAsmResourceBlob::allocate(blob->getData().size(), /*align=*/64);
  const void *from = blob->getData().data();
  void *to = result.getMutableData().data();
  if (bits == 16)
    transpose(static_cast<const uint16_t *>(from), static_cast<uint16_t *>(to), rows, columns);
  else
    transpose(static_cast<const uint32_t *>(from), static_cast<uint32_t *>(to), rows, columns);
  return result;
}

struct TransposeWeights : impl::TransposeWeightsPassBase<TransposeWeights> {
  using TransposeWeightsPassBase::TransposeWeightsPassBase;

  void runOnOperation() override {
    getOperation()->walk([&](linalg::TransposeOp op) {
      DenseResourceElementsAttr value;
      if (op->getNumResults() != 1 || op.getPermutation() != ArrayRef<int64_t>({1, 0}) ||
          !matchPattern(op.getInput(), m_Constant(&value)))
        return;
      auto blob = transposeBlob(value.getRawHandle().getBlob(),
                                cast<RankedTensorType>(op.getInput().getType()));
      if (failed(blob))
        return;
      auto type = cast<RankedTensorType>(op->getResult(0).getType());
      std::string name = (value.getRawHandle().getKey() + "_transposed").str();
      auto transposed = DenseResourceElementsAttr::get(type, name, std::move(*blob));
      OpBuilder b(op);
      op->getResult(0).replaceAllUsesWith(
          arith::ConstantOp::create(b, op.getLoc(), type, transposed));
      op->erase();
      ++numTransposed;
    });
  }
};

} // namespace
} // namespace elfatt::cpu
