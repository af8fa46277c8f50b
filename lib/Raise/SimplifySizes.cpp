// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Passes.h"

#include "ViewBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace elfatt::raise {
#define GEN_PASS_DEF_SIMPLIFYSIZESPASS
#include "elfatt/Raise/Passes.h.inc"
} // namespace elfatt::raise

using namespace mlir;
using namespace elfatt;

/// `size` as a value like `op`'s; null where it is no number and no one size.
static Value buildSize(OpBuilder &builder, Operation *op, const view::Size &size,
                       const view::SizeAnalysis &sizes) {
  Type type = op->getResult(0).getType();
  Location loc = op->getLoc();
  if (std::optional<int64_t> number = size.getStatic())
    return arith::ConstantOp::create(builder, loc, builder.getIntegerAttr(type, *number));
  if (size.getSymbols().size() != 1 || size.getNumber() != 1)
    return {};
  const view::SizeAnalysis::Origin &origin = sizes.getOrigin(size.getSymbols().front());
  if (origin.value == op->getResult(0))
    return {};
  if (origin.dim < 0 && origin.value.getType() == type)
    return origin.value;
  Value value = raise::buildSymbol(builder, loc, origin);
  if (!type.isIndex())
    value = arith::IndexCastOp::create(builder, loc, type, value);
  return value;
}

namespace {
struct SimplifySizesPass : raise::impl::SimplifySizesPassBase<SimplifySizesPass> {
  void runOnOperation() override {
    view::SizeAnalysis sizes;
    SmallVector<std::pair<Operation *, view::Size>> known;
    getOperation()->walk([&](Operation *op) {
      if (isa<arith::DivSIOp, arith::DivUIOp, arith::FloorDivSIOp, arith::MaxSIOp, arith::MaxUIOp,
              arith::SelectOp>(op) &&
          isa<IndexType, IntegerType>(op->getResult(0).getType()))
        known.push_back({op, sizes.getSize(OpFoldResult(op->getResult(0)))});
    });
    for (auto &[op, size] : known) {
      OpBuilder builder(op);
      if (Value value = buildSize(builder, op, size, sizes)) {
        op->getResult(0).replaceAllUsesWith(value);
        ++numSimplified;
      }
    }
  }
};
} // namespace
