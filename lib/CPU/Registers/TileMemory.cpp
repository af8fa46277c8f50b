// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TileMemory.h"

#include "Prefetches.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;
using namespace elfatt::cpu;

/// The buffer that `view` looks into.
static Value rootOf(Value view) {
  while (auto op = view.getDefiningOp<ViewLikeOpInterface>())
    view = op.getViewSource();
  return view;
}

bool elfatt::cpu::isFresh(Value root) {
  return root.getDefiningOp() && hasEffect<MemoryEffects::Allocate>(root.getDefiningOp(), root);
}

bool elfatt::cpu::mayAlias(Value lhs, Value rhs) {
  lhs = rootOf(lhs);
  rhs = rootOf(rhs);
  return lhs == rhs || !(isFresh(lhs) || isFresh(rhs));
}

void elfatt::cpu::forEachWritten(Operation *op, function_ref<void(Value)> callback) {
  op->walk([&](Operation *nested) {
    if (nested->hasTrait<OpTrait::HasRecursiveMemoryEffects>())
      return;
    auto interface = dyn_cast<MemoryEffectOpInterface>(nested);
    if (!interface)
      return callback(Value());
    SmallVector<MemoryEffects::EffectInstance> effects;
    interface.getEffects(effects);
    for (const auto &effect : effects)
      if (isa<MemoryEffects::Write, MemoryEffects::Free>(effect.getEffect()))
        callback(effect.getValue());
  });
}

bool elfatt::cpu::writtenBetween(vector::TransferReadOp read, Operation *op) {
  if (read->getBlock() != op->getBlock())
    return true;
  bool written = false;
  for (Operation *other = read->getNextNode(); other && other != op; other = other->getNextNode())
    forEachWritten(other,
                   [&](Value memref) { written |= !memref || mayAlias(memref, read.getBase()); });
  return written;
}

bool elfatt::cpu::isTile(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  return vector && !vector.isScalable() && (vector.getRank() == 1 || vector.getRank() == 2);
}

bool elfatt::cpu::isLazy(Operation *op) {
  return isa<vector::TransferReadOp>(op) ||
         (op->getNumRegions() == 0 && op->getNumResults() == 1 && isMemoryEffectFree(op) &&
          isTile(op->getResult(0).getType()) &&
          (OpTrait::hasElementwiseMappableTraits(op) || op->hasTrait<OpTrait::ConstantLike>() ||
           isa<vector::BroadcastOp, vector::ShapeCastOp, vector::StepOp, vector::FromElementsOp,
               vector::FMAOp>(op)));
}

/// Moves `value` and what it depends on before `point`, in one block, where that is no matter of
/// memory; false if it is one.
static bool moveBefore(Value value, Operation *point) {
  Operation *def = value.getDefiningOp();
  if (!def || def->getBlock() != point->getBlock() || !point->isBeforeInBlock(def))
    return true;
  if (!isMemoryEffectFree(def) || def->getNumRegions() != 0 ||
      !llvm::all_of(def->getOperands(), [&](Value operand) { return moveBefore(operand, point); }))
    return false;
  def->moveBefore(point);
  return true;
}

vector::TransferWriteOp elfatt::cpu::findScratchWrite(vector::ContractionOp product) {
  SmallVector<Operation *> chain;
  Value value = product.getResult();
  vector::TransferWriteOp write;
  while (!write) {
    // Reductions take what panels leave, as they end.
    Operation *user = nullptr;
    for (Operation *of : value.getUsers()) {
      if (isa<vector::MultiDimReductionOp>(of) && of->getBlock() == product->getBlock())
        continue;
      if (user)
        return {};
      user = of;
    }
    if (!user || user->getBlock() != product->getBlock())
      return {};
    write = dyn_cast<vector::TransferWriteOp>(user);
    if (write)
      break;
    if (!isLazy(user) || !OpTrait::hasElementwiseMappableTraits(user))
      return {};
    chain.push_back(user);
    value = user->getResult(0);
  }
  auto isZero = [](Value index) { return isConstantIntValue(index, 0); };
  if (write.getVector() != value || write.getMask() || !isTile(value.getType()) ||
      !isFresh(write.getBase()) ||
      write.getShapedType().getShape() != write.getVectorType().getShape() ||
      !write.getPermutationMap().isIdentity() || !llvm::all_of(write.getIndices(), isZero))
    return {};
  // What the product reads in a later panel is still there.
  for (Value operand : {product.getLhs(), product.getRhs()}) {
    Operation *def = operand.getDefiningOp();
    if (auto extension = dyn_cast_or_null<arith::ExtFOp>(def))
      def = extension.getIn().getDefiningOp();
    if (auto read = dyn_cast_or_null<vector::TransferReadOp>(def);
        read && mayAlias(read.getBase(), write.getBase()))
      return {};
  }
  for (Operation *op = product->getNextNode(); op != write; op = op->getNextNode()) {
    auto read = dyn_cast<vector::TransferReadOp>(op);
    if (!isPrefetchLoop(op) && !(read && !mayAlias(read.getBase(), write.getBase())) &&
        (!isMemoryEffectFree(op) || op->getNumRegions() != 0))
      return {};
  }
  // The pieces are made before the product ends, and so must be what they are made of.
  for (Operation *op : chain)
    for (Value operand : op->getOperands())
      if (operand.getDefiningOp() != product &&
          !llvm::is_contained(chain, operand.getDefiningOp()) && !moveBefore(operand, product))
        return {};
  return write;
}
