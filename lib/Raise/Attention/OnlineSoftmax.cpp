// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "OnlineSoftmax.h"

#include "Softmax.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <deque>

using namespace mlir;
using namespace elfatt::raise;

/// What stands between two chunks: a rescaling, a sum and movements.
static constexpr unsigned kMaxOps = 64;

/// exp(X - max(M, max_r X)), with M of the chunks before.
static bool hasRunningMaximum(ScalarReader &reader, const Scalar &weight,
                              const ContractionPair &pair) {
  Scalar exponent = skipCasts(reader, reader.getOperand(skipCasts(reader, weight), 0));
  if (!isa_and_nonnull<arith::SubFOp>(exponent.getOp()))
    return false;
  Scalar shift = skipCasts(reader, reader.getOperand(exponent, 1));
  // maximumf(a, b), or select(a > b, a, b).
  Operation *op = shift.getOp();
  bool isSelect = isa_and_nonnull<arith::SelectOp>(op);
  if (!isSelect && !isa_and_nonnull<arith::MaximumFOp, arith::MaxNumFOp>(op))
    return false;
  for (unsigned side : {0, 1}) {
    auto getSide = [&](unsigned i) {
      return skipCasts(reader, reader.getOperand(shift, i + isSelect));
    };
    std::optional<Reduction> maximum = reader.matchReduction(getSide(side));
    if (maximum && maximum->isMax && reader.reaches(maximum->body, pair.first.getResult()) &&
        !reader.getConstantDouble(getSide(1 - side)))
      return true;
  }
  return false;
}

static bool isElementwise(Operation *op) {
  auto linalg = dyn_cast<linalg::LinalgOp>(op);
  return linalg && linalg.hasPureTensorSemantics() &&
         linalg.getNumParallelLoops() == linalg.getNumLoops();
}

static bool isMovement(Operation *op) {
  return isa_and_nonnull<tensor::TensorDialect>(op->getDialect());
}

/// Whether `value` is made of a product by elementwise ops and movements.
static bool isOfProduct(Value value) {
  std::deque<Value> queue{value};
  for (unsigned steps = 0; !queue.empty() && steps < kMaxOps; ++steps) {
    Operation *op = queue.front().getDefiningOp();
    queue.pop_front();
    if (!op)
      continue;
    if (matchContraction(op))
      return true;
    if (isElementwise(op) || isMovement(op))
      llvm::append_range(queue, op->getOperands());
  }
  return false;
}

/// Whether another product is added to that of `pair`, and the sum is divided.
static bool isSummedAndDivided(const ContractionPair &pair) {
  // Values, and whether something was added already.
  std::deque<std::pair<Value, bool>> queue{{pair.second.getResult(), false}};
  for (unsigned steps = 0; !queue.empty() && steps < kMaxOps; ++steps) {
    auto [value, isSum] = queue.front();
    queue.pop_front();
    for (OpOperand &use : value.getUses()) {
      Operation *user = use.getOwner();
      if (user->getNumResults() != 1 || !(isElementwise(user) || isMovement(user)))
        continue;
      bool isSumNow = isSum;
      if (auto linalg = dyn_cast<linalg::LinalgOp>(user)) {
        auto contains = [&]<typename OpTy>(OpTy *) {
          return !linalg.getBlock()->getOps<OpTy>().empty();
        };
        if (isSum && contains(static_cast<arith::DivFOp *>(nullptr)))
          return true;
        isSumNow |= contains(static_cast<arith::AddFOp *>(nullptr)) &&
                    llvm::any_of(linalg.getDpsInputs(),
                                 [&](Value other) { return other != value && isOfProduct(other); });
      }
      queue.push_back({user->getResult(0), isSumNow});
    }
  }
  return false;
}

bool elfatt::raise::isOnlineSoftmax(ScalarReader &reader, const Scalar &weight,
                                    const ContractionPair &pair) {
  return isExponential(reader, weight) &&
         (hasRunningMaximum(reader, weight, pair) || isSummedAndDivided(pair));
}
