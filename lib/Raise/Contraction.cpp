// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Contraction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

#include <deque>

using namespace mlir;
using namespace elfatt::raise;

/// Bounds that keep the search linear in the size of the module: an attention's
/// softmax and masks are some thirty ops.
static constexpr unsigned kMaxOps = 512;
static constexpr unsigned kMaxPairs = 4;
static constexpr unsigned kMaxConstantDepth = 24;

bool elfatt::raise::isQuantizedContraction(Operation *op) {
  if (isa<linalg::QuantizedMatmulOp, linalg::QuantizedBatchMatmulOp>(op))
    return true;
  return isContraction(op) && isa<IntegerType>(getElementTypeOrSelf(op->getResult(0).getType()));
}

bool elfatt::raise::isContraction(Operation *op) {
  auto linalg = dyn_cast_or_null<linalg::LinalgOp>(op);
  return linalg && linalg.hasPureTensorSemantics() && linalg.getNumDpsInputs() == 2 &&
         linalg.getNumDpsInits() == 1 && linalg::isaContractionOpInterface(linalg);
}

bool elfatt::raise::isConstant(Value value, unsigned depth) {
  Operation *op = value.getDefiningOp();
  if (!op || depth > kMaxConstantDepth)
    return false;
  if (op->hasTrait<OpTrait::ConstantLike>() || isa<tensor::EmptyOp>(op))
    return true;
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::ExtractSliceOp, tensor::CastOp>(
          op))
    return isConstant(op->getOperand(0), depth + 1);
  auto linalg = dyn_cast<linalg::LinalgOp>(op);
  return linalg && llvm::all_of(op->getOperands(),
                                [&](Value operand) { return isConstant(operand, depth + 1); });
}

static bool hasConstantInput(linalg::LinalgOp op) {
  return isConstant(op->getOperand(0)) || isConstant(op->getOperand(1));
}

SmallVector<ContractionPair> elfatt::raise::findPairs(linalg::LinalgOp second) {
  SmallVector<ContractionPair> pairs;
  if (hasConstantInput(second))
    return pairs;
  for (unsigned operand : {0, 1}) {
    std::deque<Value> queue{second->getOperand(operand)};
    llvm::SmallPtrSet<Operation *, 32> visited;
    bool hasExp = false, hasSum = false;
    unsigned found = 0;
    while (!queue.empty() && visited.size() < kMaxOps && found < kMaxPairs) {
      Value value = queue.front();
      queue.pop_front();
      Operation *op = value.getDefiningOp();
      if (!op || !visited.insert(op).second)
        continue;
      if (isContraction(op) || isQuantizedContraction(op)) {
        auto first = cast<linalg::LinalgOp>(op);
        if (!hasConstantInput(first)) {
          pairs.push_back({first, second, operand, hasExp && hasSum});
          ++found;
        }
        continue;
      }
      if (isa<linalg::SoftmaxOp>(op)) {
        hasExp = hasSum = true;
      } else if (auto linalg = dyn_cast<linalg::LinalgOp>(op)) {
        hasSum |= linalg.getNumReductionLoops() > 0;
        hasExp |= isa<linalg::ExpOp>(op);
        for (Operation &inner : *linalg.getBlock())
          hasExp |= isa<math::ExpOp, math::Exp2Op, math::PowFOp>(inner);
      } else if (!isa<tensor::TensorDialect, arith::ArithDialect>(op->getDialect())) {
        continue;
      }
      for (Value input : op->getOperands())
        if (isa<RankedTensorType>(input.getType()))
          queue.push_back(input);
    }
  }
  // Those with an exponential between them first: they decide the report.
  SmallVector<ContractionPair> sorted;
  for (bool wanted : {true, false})
    llvm::copy_if(pairs, std::back_inserter(sorted),
                  [&](const ContractionPair &pair) { return pair.hasExponential == wanted; });
  return sorted;
}
