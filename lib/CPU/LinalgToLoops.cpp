// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loops as LLVM's vectorizer likes them: the innermost dim last, sums and
// maxima in registers.
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace elfatt::cpu {
#define GEN_PASS_DEF_LINALGTOLOOPSPASS
#include "elfatt/CPU/Passes.h.inc"

namespace {

/// Turns of a window that stand in a row: 7 x 7 and a few more.
constexpr int64_t kMostTurns = 64;

/// A linalg op on buffers as a loop nest: some outer parallel dims in one
/// scf.forall, then the rest of the parallel dims, then the reductions.
class LoopNest {
public:
  LoopNest(linalg::LinalgOp op, int64_t grain) : op(op), b(op), loc(op.getLoc()), grain(grain) {
    SmallVector<Range, 4> ranges = op.createLoopRanges(b, loc);
    for (Range &range : ranges)
      sizes.push_back(range.size);
    ivs.resize(sizes.size());
    for (auto [i, type] : llvm::enumerate(op.getIteratorTypesArray()))
      (type == utils::IteratorType::parallel ? parallel : reductions).push_back(i);
  }

  void build() {
    moveFastestDimLast();
    size_t outer = countForallDims();
    if (outer > 0)
      openForall(ArrayRef(parallel).take_front(outer));
    for (unsigned dim : ArrayRef(parallel).drop_front(outer))
      openFor(dim);
    if (isWindow())
      buildWindow(loadCarried());
    else
      buildReduction(loadCarried());
    op.erase();
  }

private:
  /// The last dim of the last output's map is what lies side by side in
  /// memory; the innermost loop goes along it.
  void moveFastestDimLast() {
    AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(op.getNumDpsInits() - 1));
    if (map.getNumResults() == 0)
      return;
    auto last = dyn_cast<AffineDimExpr>(map.getResult(map.getNumResults() - 1));
    auto *it = last ? llvm::find(parallel, last.getPosition()) : parallel.end();
    if (it != parallel.end())
      std::rotate(it, it + 1, parallel.end());
  }

  /// How many outer parallel dims are spread over threads: none within a
  /// parallel loop or where the whole op is less than a grain; else those but
  /// the innermost loop's.
  size_t countForallDims() {
    if (op->getParentOfType<scf::ForallOp>() || parallel.empty())
      return 0;
    int64_t work = 1;
    for (OpFoldResult size : sizes)
      work *= getConstantIntValue(size).value_or(64);
    size_t available = parallel.size() - (reductions.empty() && !parallel.empty() ? 1 : 0);
    if (work < grain)
      return 0;
    // The iterations of the loop stay a good deal of work each.
    size_t count = 0;
    int64_t iterations = 1;
    while (count < available && iterations < 64) {
      iterations *= getConstantIntValue(sizes[parallel[count]]).value_or(64);
      ++count;
    }
    return iterations > 1 ? count : 0;
  }

  void openForall(ArrayRef<unsigned> dims) {
    SmallVector<OpFoldResult> bounds;
    for (unsigned dim : dims)
      bounds.push_back(sizes[dim]);
    auto forall = scf::ForallOp::create(b, loc, bounds, ValueRange(), std::nullopt);
    for (auto [dim, iv] : llvm::zip_equal(dims, forall.getInductionVars()))
      ivs[dim] = iv;
    b.setInsertionPointToStart(forall.getBody());
  }

  scf::ForOp openFor(unsigned dim, ValueRange state = {}) {
    auto loop = scf::ForOp::create(b, loc, arith::ConstantIndexOp::create(b, loc, 0),
                                   getValueOrCreateConstantIndexOp(b, loc, sizes[dim]),
                                   arith::ConstantIndexOp::create(b, loc, 1), state);
    ivs[dim] = loop.getInductionVar();
    b.setInsertionPointToStart(loop.getBody());
    return loop;
  }

  SmallVector<Value> getIndices(OpOperand &operand) {
    SmallVector<Value> indices;
    AffineMap map = op.getMatchingIndexingMap(&operand);
    for (unsigned i = 0; i < map.getNumResults(); ++i) {
      if (auto dim = dyn_cast<AffineDimExpr>(map.getResult(i))) {
        indices.push_back(ivs[dim.getPosition()]);
        continue;
      }
      // The loops of reduction dims do not stand yet where an output is read.
      AffineMap part = compressUnusedDims(map.getSubMap({i}));
      SmallVector<Value> used;
      for (unsigned d = 0; d < map.getNumDims(); ++d)
        if (map.getResult(i).isFunctionOfDim(d))
          used.push_back(ivs[d]);
      indices.push_back(affine::AffineApplyOp::create(b, loc, part, used));
    }
    return indices;
  }

  Value load(OpOperand &operand) {
    if (!isa<MemRefType>(operand.get().getType()))
      return operand.get();
    return memref::LoadOp::create(b, loc, operand.get(), getIndices(operand));
  }

  /// Whether an output goes through the reduction loops in registers. Another one has
  /// an element for each turn of some of them: fusion makes ops that also write what
  /// they sum.
  bool isCarried(OpOperand &init) {
    AffineMap map = op.getMatchingIndexingMap(&init);
    return !reductions.empty() &&
           llvm::none_of(reductions, [&](unsigned dim) { return map.isFunctionOfDim(dim); });
  }

  SmallVector<Value> loadCarried() {
    SmallVector<Value> values;
    for (OpOperand &init : op.getDpsInitsMutable())
      if (isCarried(init))
        values.push_back(load(init));
    return values;
  }

  void store(Value value, OpOperand &init) {
    memref::StoreOp::create(b, loc, value, init.get(), getIndices(init));
  }

  /// The reduction loops with `state` carried through them, then the stores;
  /// without reduction dims, the body once.
  void buildReduction(SmallVector<Value> state) {
    SmallVector<scf::ForOp> loops;
    for (unsigned dim : reductions) {
      loops.push_back(openFor(dim, state));
      llvm::copy(loops.back().getRegionIterArgs(), state.begin());
    }
    SmallVector<Value> results = buildBody(state);
    SmallVector<OpOperand *> carried;
    SmallVector<Value> yielded;
    for (auto [value, init] : llvm::zip_equal(results, op.getDpsInitsMutable())) {
      if (!isCarried(init)) {
        store(value, init);
        continue;
      }
      carried.push_back(&init);
      yielded.push_back(value);
    }
    for (scf::ForOp loop : llvm::reverse(loops)) {
      // The builder ends a loop that carries nothing by itself.
      if (!yielded.empty())
        scf::YieldOp::create(b, loc, yielded);
      llvm::copy(loop.getResults(), yielded.begin());
      b.setInsertionPointAfter(loop);
    }
    for (auto [value, init] : llvm::zip_equal(yielded, carried))
      store(value, *init);
  }

  /// Whether the reduction is over a small window that moves along the fastest dim, as in a
  /// depthwise convolution: what depends on that dim lies side by side along it.
  bool isWindow() {
    if (reductions.empty() || parallel.empty())
      return false;
    int64_t turns = 1;
    for (unsigned dim : reductions) {
      std::optional<int64_t> size = getConstantIntValue(sizes[dim]);
      if (!size || *size == 0 || *size > kMostTurns / turns)
        return false;
      turns *= *size;
    }
    unsigned fastest = parallel.back();
    return llvm::all_of(op->getOpOperands(), [&](OpOperand &operand) {
      AffineMap map = op.getMatchingIndexingMap(&operand);
      if (op.isDpsInit(&operand) && !isCarried(operand))
        return false;
      return !map.isFunctionOfDim(fastest) ||
             map.getResult(map.getNumResults() - 1).isFunctionOfDim(fastest);
    });
  }

  /// The window's turns in a row, so that the innermost loop is the one that becomes vectors:
  /// loops of three turns would each end in a horizontal sum.
  void buildWindow(SmallVector<Value> state) {
    SmallVector<int64_t> shape;
    for (unsigned dim : reductions)
      shape.push_back(*getConstantIntValue(sizes[dim]));
    for (SmallVector<int64_t> place : StaticTileOffsetRange(shape, SmallVector(shape.size(), 1l))) {
      for (auto [dim, index] : llvm::zip_equal(reductions, place))
        ivs[dim] = arith::ConstantIndexOp::create(b, loc, index);
      state = buildBody(state);
    }
    for (auto [value, init] : llvm::zip_equal(state, op.getDpsInitsMutable()))
      store(value, init);
  }

  /// The scalar body; `state` stands for the outputs that are carried.
  SmallVector<Value> buildBody(ValueRange state) {
    Block *body = op.getBlock();
    IRMapping mapping;
    ValueRange left = state;
    for (OpOperand &operand : op->getOpOperands()) {
      BlockArgument arg = op.getMatchingBlockArgument(&operand);
      if (op.isDpsInit(&operand) && isCarried(operand)) {
        mapping.map(arg, left.front());
        left = left.drop_front();
      } else if (!arg.use_empty()) {
        mapping.map(arg, load(operand));
      }
    }
    for (Operation &inner : body->without_terminator()) {
      if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
        mapping.map(index.getResult(), ivs[index.getDim()]);
        continue;
      }
      Operation *copy = b.clone(inner, mapping);
      if (!state.empty())
        allowReordering(copy, state);
    }
    SmallVector<Value> values;
    for (Value value : body->getTerminator()->getOperands())
      values.push_back(mapping.lookupOrDefault(value));
    return values;
  }

  /// A sum or product over a reduction dim may be done in any order: linalg
  /// prescribes none.
  void allowReordering(Operation *combiner, ValueRange state) {
    bool combines = llvm::any_of(combiner->getOperands(),
                                 [&](Value v) { return llvm::is_contained(state, v); });
    auto fast = dyn_cast<arith::ArithFastMathInterface>(combiner);
    if (!combines || !fast || !isa<arith::AddFOp, arith::MulFOp>(combiner))
      return;
    combiner->setAttr(fast.getFastMathAttrName(),
                      arith::FastMathFlagsAttr::get(b.getContext(), arith::FastMathFlags::reassoc));
  }

  linalg::LinalgOp op;
  OpBuilder b;
  Location loc;
  int64_t grain;
  SmallVector<OpFoldResult> sizes;
  SmallVector<unsigned> parallel, reductions;
  SmallVector<Value> ivs;
};

struct LinalgToLoops : impl::LinalgToLoopsPassBase<LinalgToLoops> {
  using LinalgToLoopsPassBase::LinalgToLoopsPassBase;

  void runOnOperation() override {
    SmallVector<linalg::LinalgOp> ops;
    getOperation()->walk([&](linalg::LinalgOp op) {
      if (op.hasPureBufferSemantics())
        ops.push_back(op);
    });
    for (linalg::LinalgOp op : ops) {
      LoopNest(op, grain).build();
      ++numLowered;
    }
  }
};

} // namespace
} // namespace elfatt::cpu
