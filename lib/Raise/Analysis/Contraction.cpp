// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Contraction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/SetVector.h"

#include <deque>

using namespace mlir;
using namespace elfatt::raise;

/// Bounds that keep the search linear in the size of the module: an attention's
/// softmax and masks are some thirty ops.
static constexpr unsigned kMaxOps = 512;
static constexpr unsigned kMaxPairs = 4;
static constexpr unsigned kMaxConstantOps = 256;

/// What `value` is made of in `op`'s body: the inputs, and the loops it depends on.
/// Fails where the body's accumulator is among it.
static bool collect(linalg::LinalgOp op, Value value, llvm::SmallSetVector<OpOperand *, 4> &inputs,
                    llvm::SmallBitVector &loops) {
  SmallVector<Value> stack{value};
  llvm::SmallPtrSet<Operation *, 8> visited;
  while (!stack.empty()) {
    Value next = stack.pop_back_val();
    if (auto argument = dyn_cast<BlockArgument>(next)) {
      if (argument.getOwner() != op.getBlock())
        continue;
      OpOperand *operand = op.getMatchingOpOperand(argument);
      if (op.isDpsInit(operand))
        return false;
      inputs.insert(operand);
      AffineMap map = op.getMatchingIndexingMap(operand);
      for (unsigned loop = 0, e = loops.size(); loop < e; ++loop)
        if (map.isFunctionOfDim(loop))
          loops.set(loop);
      continue;
    }
    Operation *def = next.getDefiningOp();
    if (def->getBlock() != op.getBlock() || !visited.insert(def).second)
      continue;
    if (auto index = dyn_cast<linalg::IndexOp>(def))
      loops.set(index.getDim());
    llvm::append_range(stack, def->getOperands());
  }
  return true;
}

static bool hasOnlyDimsAndConstants(AffineMap map) {
  return llvm::all_of(map.getResults(),
                      [](AffineExpr expr) { return isa<AffineDimExpr, AffineConstantExpr>(expr); });
}

/// A body that yields init + a * b, with casts that widen around the product.
template <typename AddOp, typename MulOp, typename... Widening>
static std::optional<Contraction> matchBody(linalg::LinalgOp op) {
  Block *body = op.getBlock();
  auto accumulator = body->getArguments().back();
  auto add = body->getTerminator()->getOperand(0).getDefiningOp<AddOp>();
  if (!add || add->getBlock() != body)
    return std::nullopt;
  bool isLeft = add.getLhs() == accumulator;
  if (isLeft == (add.getRhs() == accumulator))
    return std::nullopt;
  Value product = isLeft ? add.getRhs() : add.getLhs();
  while (Operation *cast = product.getDefiningOp()) {
    if (!isa<Widening...>(cast))
      break;
    product = cast->getOperand(0);
  }
  auto mul = product.getDefiningOp<MulOp>();
  if (!mul || mul->getBlock() != body || mul.getLhs() == mul.getRhs())
    return std::nullopt;
  Contraction contraction;
  contraction.op = op;
  contraction.sides[0] = mul.getLhs(), contraction.sides[1] = mul.getRhs();
  llvm::SmallSetVector<OpOperand *, 4> inputs[2];
  for (unsigned side : {0, 1}) {
    contraction.loops[side].resize(op.getNumLoops());
    if (!collect(op, contraction.sides[side], inputs[side], contraction.loops[side]) ||
        inputs[side].empty())
      return std::nullopt;
  }
  AffineMap result = contraction.getResultMap();
  for (unsigned loop = 0, e = op.getNumLoops(); loop < e; ++loop) {
    bool in0 = contraction.loops[0].test(loop), in1 = contraction.loops[1].test(loop);
    if (!result.isFunctionOfDim(loop))
      contraction.reduced.push_back(loop);
    else if (in0 && in1)
      contraction.batch.push_back(loop);
    else if (in0 || in1)
      contraction.free[in0 ? 0 : 1].push_back(loop);
    else
      return std::nullopt; // A broadcast of the result.
  }
  return contraction;
}

/// A linalg op on tensors with loops that an input has, and one result.
static linalg::LinalgOp getCandidate(Operation *op) {
  auto linalg = dyn_cast_or_null<linalg::LinalgOp>(op);
  if (!linalg || !linalg.hasPureTensorSemantics() || linalg.getNumDpsInits() != 1 ||
      op->getNumRegions() != 1 || linalg.getNumReductionLoops() == 0 ||
      linalg.getNumReductionLoops() + linalg.getNumParallelLoops() != linalg.getNumLoops() ||
      !llvm::all_of(linalg.getIndexingMapsArray(), hasOnlyDimsAndConstants))
    return {};
  return linalg;
}

std::optional<Contraction> elfatt::raise::matchContraction(Operation *op) {
  linalg::LinalgOp linalg = getCandidate(op);
  return linalg ? matchBody<arith::AddFOp, arith::MulFOp, arith::ExtFOp>(linalg) : std::nullopt;
}

std::optional<Contraction> elfatt::raise::matchQuantizedContraction(Operation *op) {
  linalg::LinalgOp linalg = getCandidate(op);
  return linalg ? matchBody<arith::AddIOp, arith::MulIOp, arith::ExtSIOp, arith::ExtUIOp>(linalg)
                : std::nullopt;
}

SmallVector<Value> Contraction::getInputs(unsigned side) const {
  llvm::SmallSetVector<OpOperand *, 4> inputs;
  llvm::SmallBitVector ignored(op.getNumLoops());
  collect(op, sides[side], inputs, ignored);
  return llvm::map_to_vector(inputs, [](OpOperand *operand) { return operand->get(); });
}

bool elfatt::raise::isConstant(Value value) {
  SmallVector<Value> stack{value};
  llvm::SmallPtrSet<Operation *, 8> visited;
  while (!stack.empty()) {
    Operation *op = stack.pop_back_val().getDefiningOp();
    if (!op || visited.size() > kMaxConstantOps)
      return false;
    if (!visited.insert(op).second || op->hasTrait<OpTrait::ConstantLike>() ||
        isa<tensor::EmptyOp>(op))
      continue;
    if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::ExtractSliceOp, tensor::CastOp>(
            op)) {
      stack.push_back(op->getOperand(0));
      continue;
    }
    if (!isa<linalg::LinalgOp>(op))
      return false;
    llvm::append_range(stack, op->getOperands());
    // A gather reads tensors from outside of its body.
    llvm::SetVector<Value> outside;
    getUsedValuesDefinedAbove(op->getRegions(), outside);
    llvm::append_range(stack, outside);
  }
  return true;
}

bool Contraction::isConstantSide(unsigned side) const {
  return llvm::all_of(getInputs(side), [](Value input) { return isConstant(input); });
}

static bool isExponential(Operation &op) {
  return isa<math::ExpOp, math::Exp2Op, math::PowFOp>(op);
}

/// Either kind of contraction.
static std::optional<Contraction> matchAny(Operation *op, bool &isQuantized) {
  std::optional<Contraction> contraction = matchContraction(op);
  isQuantized = !contraction;
  return contraction ? contraction : matchQuantizedContraction(op);
}

SmallVector<ContractionPair, 0> elfatt::raise::findPairs(linalg::LinalgOp op, Queries queries) {
  SmallVector<ContractionPair, 0> pairs;
  bool isQuantized;
  std::optional<Contraction> second = matchAny(op, isQuantized);
  if (!second || second->isConstantSide(0) || second->isConstantSide(1))
    return pairs;
  bool hasFusedExp = llvm::any_of(*op.getBlock(), isExponential);
  for (unsigned side : {0, 1}) {
    SmallVector<Value> inputs = second->getInputs(side);
    std::deque<Value> queue(inputs.begin(), inputs.end());
    llvm::SmallPtrSet<Operation *, 32> visited;
    bool hasExp = hasFusedExp, hasSum = false;
    unsigned found = 0;
    while (!queue.empty() && visited.size() < kMaxOps && found < kMaxPairs) {
      Value value = queue.front();
      queue.pop_front();
      Operation *op = value.getDefiningOp();
      if (!op || !visited.insert(op).second)
        continue;
      bool isFirstQuantized;
      if (std::optional<Contraction> first = matchAny(op, isFirstQuantized)) {
        bool hasExponential = hasExp && hasSum;
        unsigned constants = first->isConstantSide(0) + first->isConstantSide(1);
        if (queries == Queries::Activations ? constants == 0 : constants == 1 && hasExponential) {
          pairs.push_back({*first, *second, side, hasExponential, isQuantized || isFirstQuantized});
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
          hasExp |= isExponential(inner);
      } else if (!isa_and_nonnull<tensor::TensorDialect, arith::ArithDialect>(op->getDialect())) {
        continue;
      }
      for (Value input : op->getOperands())
        if (isa<RankedTensorType>(input.getType()))
          queue.push_back(input);
    }
  }
  // Those with an exponential between them first: they decide the report.
  SmallVector<ContractionPair, 0> sorted;
  for (bool wanted : {true, false})
    llvm::copy_if(pairs, std::back_inserter(sorted),
                  [&](const ContractionPair &pair) { return pair.hasExponential == wanted; });
  return sorted;
}
