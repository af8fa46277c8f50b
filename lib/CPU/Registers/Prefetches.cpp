// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Prefetches.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace elfatt::cpu;

bool elfatt::cpu::isPrefetchLoop(Operation *op) {
  auto loop = dyn_cast<scf::ForOp>(op);
  return loop && loop.getNumResults() == 0 && loop.getStaticTripCount() &&
         isConstantIntValue(loop.getLowerBound(), 0) && isConstantIntValue(loop.getStep(), 1) &&
         llvm::all_of(loop.getBody()->without_terminator(), [](Operation &nested) {
           return isa<memref::PrefetchOp>(nested) ||
                  (nested.getNumRegions() == 0 && isMemoryEffectFree(&nested));
         });
}

static int64_t iterationsOf(scf::ForOp loop) { return loop.getStaticTripCount()->getSExtValue(); }

ValueRange Prefetches::forEachStep(ImplicitLocOpBuilder &b, Value from, Value bound, int64_t depth,
                                   size_t panel, size_t panels, ValueRange sums,
                                   function_ref<SmallVector<Value>(Value, ValueRange)> step) const {
  auto index = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(b, value); };
  auto makeLoop = [&](Value from, Value to, Value by, ValueRange before,
                      function_ref<SmallVector<Value>(Value, ValueRange)> body) {
    auto loop = scf::ForOp::create(b, from, to, by, before);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    scf::YieldOp::create(b, body(loop.getInductionVar(), loop.getRegionIterArgs()));
    return loop.getResults();
  };
  // Loops in turn go to panels in turn.
  SmallVector<scf::ForOp> share;
  int64_t most = 1;
  for (size_t at = panel; at < loops.size(); at += panels) {
    share.push_back(loops[at]);
    most = std::max(most, iterationsOf(loops[at]));
  }
  if (share.empty())
    return makeLoop(from, bound, index(1), sums, step);
  // Iterations of the loops stand between so many steps.
  const int64_t between = llvm::divideCeil(depth, most), turns = llvm::divideCeil(depth, between);
  return makeLoop(from, bound, index(between), sums, [&](Value k, ValueRange before) {
    Value turn = b.createOrFold<arith::DivUIOp>(k, index(between));
    for (scf::ForOp loop : share) {
      const int64_t each = llvm::divideCeil(iterationsOf(loop), turns);
      Value first = b.createOrFold<arith::MulIOp>(turn, index(each));
      for (int64_t next = 0; next < each; ++next) {
        IRMapping mapping;
        mapping.map(loop.getInductionVar(), b.createOrFold<arith::AddIOp>(first, index(next)));
        for (Operation &op : loop.getBody()->without_terminator())
          b.clone(op, mapping);
      }
    }
    Value end = b.createOrFold<arith::AddIOp>(k, index(between));
    if (depth % between != 0 || getConstantIntValue(bound) != depth)
      end = arith::MinSIOp::create(b, end, bound);
    ValueRange after = makeLoop(k, end, index(1), before, step);
    return SmallVector<Value>(after);
  });
}

void Prefetches::erase() {
  for (scf::ForOp loop : loops)
    loop.erase();
  loops.clear();
}
