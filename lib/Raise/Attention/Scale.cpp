// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Scale.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace elfatt::raise;
namespace view = elfatt::view;

bool elfatt::raise::takeFactor(ScalarReader &reader, const Scalar &factor, bool isDivisor,
                               Scale &scale) {
  if (std::optional<double> constant = reader.getConstantDouble(factor)) {
    if (isDivisor && *constant == 0.0)
      return false;
    scale.constant = isDivisor ? scale.constant / *constant : scale.constant * *constant;
    return true;
  }
  // A cast of a scalar is computed again beside the op.
  SmallVector<Operation *> casts;
  Scalar scalar = factor;
  if (!scalar.element)
    scalar = skipCasts(reader, factor, &casts);
  if (scalar.element) {
    for (const view::Index &index : scalar.element.indices)
      if (!reader.getSpace().normalize(index).isConstant())
        return false;
    scale.factors.push_back({scalar.element, {}, isDivisor});
    return true;
  }
  if (scalar.frame || !scalar.value)
    return false;
  scale.factors.push_back({{}, scalar.value, isDivisor});
  return true;
}

Scalar elfatt::raise::peelScale(ScalarReader &reader, Scalar scalar, Scale &scale,
                                SmallVectorImpl<Operation *> &casts) {
  // The innermost element on the way, and what is outside of it.
  std::optional<Scalar> last;
  Scale lastScale;
  size_t lastCasts = 0;
  while (true) {
    if (scalar.element) {
      last = scalar;
      lastScale = scale;
      lastCasts = casts.size();
    }
    Scalar opened = reader.open(scalar);
    Operation *op = opened.getOp();
    // Widening is exact, so the op can do it; rounding is what the source means.
    if (isa_and_nonnull<arith::ExtFOp>(op)) {
      casts.push_back(op);
      scalar = reader.getOperand(opened, 0);
      continue;
    }
    if (isa_and_nonnull<arith::MulFOp, arith::DivFOp>(op)) {
      bool isDivisor = isa<arith::DivFOp>(op);
      if (takeFactor(reader, reader.getOperand(opened, 1), isDivisor, scale)) {
        scalar = reader.getOperand(opened, 0);
        continue;
      }
      if (!isDivisor && takeFactor(reader, reader.getOperand(opened, 0), false, scale)) {
        scalar = reader.getOperand(opened, 1);
        continue;
      }
    }
    if (!last)
      return opened;
    scale = std::move(lastScale);
    casts.truncate(lastCasts);
    return *last;
  }
}
