// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products of tiles. Operands and result are in the layouts that the tensor
// cores fix, in every element type, so that types differ in the instruction
// alone.
#include "Distributor.h"
#include "Layout/Alignment.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace elfatt::gpu;

namespace {
/// Shape of mma.m16n8k16 and m16n8k8, and the step of its sum.
constexpr int64_t kMmaM = 16, kMmaN = 8, kMmaStep = 8;

/// Reads elements of a two-dimensional fragment by (row or column of the
/// product, k), whichever order the tile has them in.
int64_t flatOf(const FragmentLayout &layout, bool swapped, int64_t outer, int64_t k) {
  return swapped ? layout.flatten({k, outer}) : layout.flatten({outer, k});
}
} // namespace

struct Distributor::RightOperand {
  Distributor &distributor;
  FragmentLayout layout;
  bool swapped; ///< sums are its first dim
  Access *access = nullptr;
  SmallVector<Value> elements; ///< of the flat fragment; null where not loaded yet

  Value get(int64_t column, int64_t k) {
    Value &element = elements[flatOf(layout, swapped, column, k)];
    if (!element) {
      // Two blocks of columns at a time: four matrices an instruction.
      int64_t dim = swapped ? 1 : 0;
      std::array<int64_t, 2> first = {0, 0};
      std::array<int64_t, 2> count = {layout.getShape()[0] / kLaneDimExtent,
                                      layout.getShape()[1] / kLaneDimExtent};
      first[dim] = column;
      count[dim] = std::min<int64_t>(2, count[dim] - column);
      distributor.loadMatrices(*access, first, count, elements);
    }
    return element;
  }
};

/// Whether the only use of a tile is as the right (left) operand of a product by tensor cores,
/// which then reads it piece by piece: whole, it would take more registers than all else. Nothing
/// writes memory in between.
bool Distributor::isReadInContract(vector::TransferReadOp op, bool isLeft) {
  if (!op->hasOneUse())
    return false;
  auto contract = dyn_cast<vector::ContractionOp>(*op->getUsers().begin());
  if (!contract || (isLeft ? contract.getLhs() : contract.getRhs()) != op.getResult() ||
      contract->getBlock() != op->getBlock() || getMmaK(op.getVectorType().getElementType()) == 0)
    return false;
  for (Operation *next = op->getNextNode(); next != contract; next = next->getNextNode())
    if (!isMemoryEffectFree(next) && !hasSingleEffect<MemoryEffects::Read>(next) &&
        !isa<vector::TransferReadOp>(next))
      return false;
  return true;
}

/// acc[i, n] += sum_k lhs[i, k] rhs[n, k] by m16n8k16, and m16n8k8 for what is left of k or
/// where a chip has no longer one. `swapped` says of lhs and rhs that k is their first dim.
/// Local coordinates: a row block is two of i (g and g + 8), one of n for the right operand, two
/// of n (2q, 2q + 1) for the result; eight of k are two (2q, 2q + 1). The order of k is free as
/// long as both operands have it: a product of tf32 takes 2q for q and 2q + 1 for q + 4.
Value Distributor::emitMma(const Fragment &lhs, RightOperand &rhs, const Fragment &acc,
                           ArrayRef<bool> swapped) {
  Type element = cast<VectorType>(lhs.value.getType()).getElementType();
  Type f32 = b.getF32Type();
  const bool isBF16 = element.isBF16(), isTF32 = element.isF32();
  // Appends the registers of two neighbours of k: one of 16-bit elements, where bf16 travels as
  // bits, or two.
  auto addRegisters = [&](SmallVector<Value> &registers, Value first, Value second) {
    if (isTF32) {
      for (Value value : {first, second})
        registers.push_back(NVVM::ConvertFloatToTF32Op::create(b, loc, b.getI32Type(), value,
                                                               NVVM::FPRoundingMode::RNA));
      return;
    }
    Value pair = fromElements({first, second}, element);
    if (isBF16)
      pair = LLVM::BitcastOp::create(b, loc, b.getI32Type(), pair);
    registers.push_back(pair);
  };
  auto leftAt = [&](int64_t i, int64_t k) {
    return extract(lhs.value, flatOf(lhs.layout, swapped[0], i, k));
  };
  const FragmentLayout &accLayout = acc.layout;
  int64_t rows = accLayout.getShape()[0], columns = accLayout.getShape()[1];
  int64_t steps = lhs.layout.getShape()[swapped[0] ? 0 : 1] / kMmaStep;
  int64_t stepsOfOne = getMmaK(element) / kMmaStep;
  Type resultType = LLVM::LLVMStructType::getLiteral(b.getContext(), SmallVector<Type>(4, f32));
  std::optional<std::array<NVVM::MMATypes, 2>> types;
  if (isBF16)
    types = {NVVM::MMATypes::bf16, NVVM::MMATypes::bf16};
  else if (isTF32)
    types = {NVVM::MMATypes::tf32, NVVM::MMATypes::tf32};
  // Registers of eight of k in one row of an operand.
  const int64_t width = isTF32 ? 2 : 1;

  // Registers of the left operand, by row block, k and half of the rows.
  SmallVector<SmallVector<Value>> left(rows / kMmaM);
  for (int64_t i = 0; i < rows / kMmaM; ++i)
    for (int64_t k = 0; k < steps; ++k) {
      SmallVector<SmallVector<Value>, 2> halves(2);
      for (int64_t half : {0, 1})
        addRegisters(halves[half], leftAt(2 * i + half, 2 * k), leftAt(2 * i + half, 2 * k + 1));
      for (auto [upper, lower] : llvm::zip(halves[0], halves[1]))
        left[i].append({upper, lower});
    }

  SmallVector<Value> results(accLayout.numLocal());
  for (int64_t n = 0; n < columns / kMmaN; ++n) {
    // The right operand's registers serve every block of rows.
    SmallVector<Value> right;
    for (int64_t k = 0; k < steps; ++k)
      addRegisters(right, rhs.get(n, 2 * k), rhs.get(n, 2 * k + 1));
    for (int64_t i = 0; i < rows / kMmaM; ++i) {
      SmallVector<int64_t> places = {
          accLayout.flatten({2 * i, 2 * n}), accLayout.flatten({2 * i, 2 * n + 1}),
          accLayout.flatten({2 * i + 1, 2 * n}), accLayout.flatten({2 * i + 1, 2 * n + 1})};
      SmallVector<Value> c;
      for (int64_t place : places)
        c.push_back(extract(acc.value, place));
      for (int64_t k = 0; k < steps;) {
        int64_t taken = std::min(stepsOfOne, steps - k);
        Value d = NVVM::MmaOp::create(
            b, loc, resultType, ArrayRef(left[i]).slice(2 * width * k, 2 * width * taken),
            ArrayRef(right).slice(width * k, width * taken), c,
            ArrayRef<int64_t>{kMmaM, kMmaN, kMmaStep * taken},
            /*b1Op=*/std::nullopt, /*intOverflow=*/std::nullopt, types,
            std::array<NVVM::MMALayout, 2>{NVVM::MMALayout::row, NVVM::MMALayout::col});
        ++numMma;
        k += taken;
        for (int64_t r = 0; r < 4; ++r)
          c[r] = LLVM::ExtractValueOp::create(b, loc, d, r);
      }
      for (auto [place, value] : llvm::zip(places, c))
        results[place] = value;
    }
  }
  return fromElements(results, f32);
}

Value Distributor::sumRowsByMma(const Fragment &tile, Value acc) {
  const FragmentLayout &layout = tile.layout;
  Type element = cast<VectorType>(tile.value.getType()).getElementType();
  if (getMmaK(element) < kMmaStep || layout.getDims()[0] != LaneDim::Group ||
      layout.getDims()[1] != LaneDim::Quad || layout.getShape()[0] % kMmaM != 0)
    return {};
  // All columns of the result are the same.
  FragmentLayout onesLayout({kMmaN, layout.getShape()[1]}, layout.getDims());
  FragmentLayout sumLayout({layout.getShape()[0], kMmaN}, layout.getDims());
  Value one = arith::ConstantOp::create(b, loc, b.getFloatAttr(element, 1.0));
  RightOperand ones{*this, onesLayout, /*swapped=*/false, nullptr, {}};
  ones.elements.assign(onesLayout.numLocal(), one);
  SmallVector<Value> before, sums;
  for (int64_t flat = 0; flat < sumLayout.numLocal(); ++flat)
    before.push_back(extract(acc, sumLayout.unflatten(flat)[0]));
  Value product = emitMma(tile, ones, {fromElements(before, b.getF32Type()), sumLayout},
                          /*swapped=*/{false, false});
  for (int64_t row = 0; row < sumLayout.localSize(0); ++row)
    sums.push_back(extract(product, sumLayout.flatten({row, 0})));
  return fromElements(sums, b.getF32Type());
}

/// Multiply-adds of a lane that stand in a row, and what they take of others and of memory: of more
/// ptxas holds more of that than there are registers for, and takes seconds.
constexpr int64_t kMultiplyAdds = 512, kOperands = 128;

/// How many of `sums` terms one turn of a loop takes, of a sum of `layout`: whole steps of a
/// layout, and the same in each turn.
static int64_t getTurn(int64_t sums, const FragmentLayout &layout) {
  auto isShort = [&](int64_t terms) {
    return terms * layout.numLocal() <= kMultiplyAdds &&
           terms * (layout.localSize(0) + layout.localSize(1)) <= kOperands;
  };
  if (isShort(sums) || sums % kLaneDimExtent != 0)
    return sums;
  int64_t turn = kLaneDimExtent;
  for (int64_t next = turn; isShort(next); next += kLaneDimExtent)
    if (sums % next == 0)
      turn = next;
  return turn;
}

/// A sum of `sums` terms in turns. Operands that lanes hold pass by: what a turn takes is always
/// first, since registers have no index. `emitTerm` adds term `first` + k.
Value Distributor::emitInTurns(
    int64_t sums, const Fragment &acc, ArrayRef<HeldOperand> held,
    function_ref<void(Value first, int64_t k, ValueRange held, SmallVector<Value> &results)>
        emitTerm) {
  const int64_t count = acc.layout.numLocal(), turn = getTurn(sums, acc.layout);
  auto emitTurn = [&](Value first, Value before, ValueRange operands) {
    SmallVector<Value> results;
    for (int64_t flat = 0; flat < count; ++flat)
      results.push_back(extract(before, flat));
    for (int64_t k = 0; k < turn; ++k)
      emitTerm(first, k, operands, results);
    return fromElements(results, b.getF32Type());
  };
  SmallVector<Value> inits{acc.value};
  for (const HeldOperand &operand : held)
    inits.push_back(operand.fragment.value);
  if (turn == sums)
    return emitTurn(constant(0), acc.value, ArrayRef(inits).drop_front());
  auto loop = scf::ForOp::create(b, loc, constant(0), constant(sums), constant(turn), inits);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(loop.getBody());
  ValueRange operands = loop.getRegionIterArgs().drop_front();
  SmallVector<Value> yielded{emitTurn(loop.getInductionVar(), loop.getRegionIterArg(0), operands)};
  for (auto [operand, value] : llvm::zip(held, operands)) {
    const FragmentLayout &layout = operand.fragment.layout;
    const int64_t sumDim = operand.swapped ? 0 : 1, all = layout.localSize(sumDim);
    SmallVector<Value> elements;
    for (int64_t flat = 0; flat < layout.numLocal(); ++flat) {
      SmallVector<int64_t> place = llvm::to_vector(layout.unflatten(flat));
      place[sumDim] = (place[sumDim] + all * turn / sums) % all;
      elements.push_back(extract(value, layout.flatten(place)));
    }
    yielded.push_back(fromElements(elements, b.getF32Type()));
  }
  scf::YieldOp::create(b, loc, yielded);
  return loop.getResult(0);
}

/// The same as emitMma by fma, one k at a time: within a quad lanes pass on the left
/// operand, over the warp the right one.
Value Distributor::emitFma(const Fragment &lhs, const Fragment &rhs, const Fragment &acc,
                           ArrayRef<bool> swapped) {
  const FragmentLayout &accLayout = acc.layout;
  int64_t sums = lhs.layout.getShape()[swapped[0] ? 0 : 1];
  Value laneBits = laneI32();
  Value quadStart = arith::AndIOp::create(b, loc, laneBits, constantI32(28));
  // The lane that holds column 2q + t of the right operand is in group 2q + t.
  Value inQuad = arith::AndIOp::create(b, loc, laneBits, constantI32(3));
  Value columnHolder = arith::ShLIOp::create(b, loc, inQuad, constantI32(3));
  auto emitTerm = [&](Value, int64_t k, ValueRange held, SmallVector<Value> &results) {
    int64_t quadOfK = (k % 8) / 2, localK = 2 * (k / 8) + k % 2;
    Value leftLane = arith::OrIOp::create(b, loc, quadStart, constantI32(quadOfK));
    SmallVector<Value> left, right;
    for (int64_t i = 0; i < accLayout.localSize(0); ++i)
      left.push_back(
          shuffle(extract(held[0], flatOf(lhs.layout, swapped[0], i, localK)), leftLane));
    for (int64_t n = 0; n < accLayout.localSize(1); ++n) {
      Value rightLane =
          arith::OrIOp::create(b, loc, columnHolder, constantI32(4 * (n % 2) + quadOfK));
      right.push_back(
          shuffle(extract(held[1], flatOf(rhs.layout, swapped[1], n / 2, localK)), rightLane));
    }
    for (int64_t i = 0; i < accLayout.localSize(0); ++i)
      for (int64_t n = 0; n < accLayout.localSize(1); ++n) {
        Value &sum = results[accLayout.flatten({i, n})];
        sum = math::FmaOp::create(b, loc, left[i], right[n], sum);
      }
  };
  return emitInTurns(sums, acc, {{lhs, swapped[0]}, {rhs, swapped[1]}}, emitTerm);
}

/// Whether what `read` reads is still there in the loops between it and `contract`: they write
/// nothing.
static bool staysUntil(vector::TransferReadOp read, vector::ContractionOp contract) {
  Operation *last = read->getBlock()->findAncestorOpInBlock(*contract);
  if (last == contract)
    return true;
  auto keeps = [](Operation *op) {
    WalkResult result = op->walk([](Operation *inner) {
      const bool reads = isa<vector::TransferReadOp>(inner) || isMemoryEffectFree(inner);
      return reads || isa<scf::ForOp>(inner) ? WalkResult::advance() : WalkResult::interrupt();
    });
    return !result.wasInterrupted();
  };
  for (Operation *op = read->getNextNode(); op != last; op = op->getNextNode())
    if (!keeps(op))
      return false;
  return keeps(last);
}

/// Whether products without tensor cores, its only users, can read a tile where it lies in
/// shared memory.
bool Distributor::isReadableByFma(Value tile) {
  auto op = tile.getDefiningOp<vector::TransferReadOp>();
  return op && !op.getMask() && op.getVectorType().getRank() == 2 && op.isDimInBounds(0) &&
         op.isDimInBounds(1) && op.getPermutationMap().isMinorIdentity() &&
         getMmaK(op.getVectorType().getElementType()) == 0 &&
         mlir::gpu::GPUDialect::hasWorkgroupMemoryAddressSpace(
             cast<MemRefType>(op.getShapedType())) &&
         isChunkAligned(op.getBase(), getAsOpFoldResult(op.getIndices()), 4) &&
         llvm::all_of(op->getUsers(), [&](Operation *user) {
           auto contract = dyn_cast<vector::ContractionOp>(user);
           return contract && staysUntil(op, contract) && contract.getAcc() != tile &&
                  succeeded(getContractLayouts(contract, chip));
         });
}

/// Then no lane asks another for what it holds. The right operand by itself, where its rows are
/// what is summed over, or both.
bool Distributor::isReadByFma(vector::TransferReadOp op) {
  Value tile = op.getResult();
  return isReadableByFma(tile) && llvm::all_of(tile.getUsers(), [&](Operation *user) {
           auto contract = cast<vector::ContractionOp>(user);
           int64_t sum = getContractLayouts(contract, chip)->sumDim;
           auto sumsFirst = [&](int64_t operand) {
             AffineMap map = contract.getIndexingMapsArray()[operand];
             return map.getDimPosition(0) == static_cast<unsigned>(sum);
           };
           bool readsBoth = isReadableByFma(contract.getLhs()) &&
                            isReadableByFma(contract.getRhs()) && !sumsFirst(0);
           return readsBoth || (contract.getRhs() == tile && contract.getLhs() != tile &&
                                !isReadableByFma(contract.getLhs()) && sumsFirst(1));
         });
}

/// `width` neighbours of a tile in shared memory, from (row, column) on, as f32.
Value Distributor::loadWide(const Access &access, Value row, Value column, int64_t width) {
  auto type = cast<MemRefType>(access.base.getType());
  SmallVector<Value> indices = access.indices;
  for (auto [d, offset] : {std::pair<int64_t, Value>{0, row}, {1, column}})
    indices[access.memrefDim[d]] =
        b.createOrFold<arith::AddIOp>(loc, indices[access.memrefDim[d]], offset);
  Value loaded = vector::LoadOp::create(
      b, loc, VectorType::get(width, type.getElementType()), access.base, indices,
      /*nontemporal=*/false, llvm::MaybeAlign(width * type.getElementTypeBitWidth() / 8));
  if (type.getElementType().isF32())
    return loaded;
  return arith::ExtFOp::create(b, loc, VectorType::get(width, b.getF32Type()), loaded);
}

/// acc[i, n] += sum_k lhs[i, k] rhs[n, k] or rhs[k, n], four of k at a time in a loop: code stays
/// short, and lanes that need the same element read it at once.
Value Distributor::emitFmaOfMemory(const Access &lhs, const Access &rhs, const Fragment &acc,
                                   ArrayRef<bool> swapped) {
  constexpr int64_t kStep = 4;
  const FragmentLayout &accLayout = acc.layout;
  auto loop = scf::ForOp::create(b, loc, constant(0), constant(lhs.layout.getShape()[1]),
                                 constant(kStep), acc.value);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(loop.getBody());
  Value k = loop.getInductionVar();
  SmallVector<Value> sums, left;
  for (int64_t flat = 0; flat < accLayout.numLocal(); ++flat)
    sums.push_back(vector::ExtractOp::create(b, loc, loop.getRegionIterArg(0), flat));
  for (int64_t i = 0; i < accLayout.localSize(0); ++i)
    left.push_back(loadWide(lhs, coordinate(accLayout, 0, i), k, kStep));
  auto multiply = [&](int64_t n, int64_t step, Value right) {
    for (int64_t i = 0; i < accLayout.localSize(0); ++i) {
      Value &sum = sums[accLayout.flatten({i, n})];
      sum = math::FmaOp::create(b, loc, extract(left[i], step), right, sum);
    }
  };
  for (int64_t n = 0; n < accLayout.localSize(1); n += 2) {
    if (!swapped[1]) {
      for (int64_t odd : {0, 1}) {
        Value right = loadWide(rhs, coordinate(accLayout, 1, n + odd), k, kStep);
        for (int64_t step = 0; step < kStep; ++step)
          multiply(n + odd, step, extract(right, step));
      }
      continue;
    }
    for (int64_t step = 0; step < kStep; ++step) {
      Value row = b.createOrFold<arith::AddIOp>(loc, k, constant(step));
      Value right = loadWide(rhs, row, coordinate(accLayout, 1, n), 2);
      for (int64_t odd : {0, 1})
        multiply(n + odd, step, extract(right, odd));
    }
  }
  scf::YieldOp::create(b, loc, fromElements(sums, b.getF32Type()));
  return loop.getResult(0);
}

/// acc[i, n] += sum_k lhs[i, k] rhs[k, n], the left operand in registers: lanes of a quad pass it
/// on.
Value Distributor::emitFmaOfRight(const Fragment &lhs, const Access &rhs, const Fragment &acc,
                                  ArrayRef<bool> swapped) {
  const FragmentLayout &accLayout = acc.layout;
  Value quadStart = arith::AndIOp::create(b, loc, laneI32(), constantI32(28));
  auto emitTerm = [&](Value first, int64_t k, ValueRange held, SmallVector<Value> &sums) {
    Value holder = arith::OrIOp::create(b, loc, quadStart, constantI32((k % 8) / 2));
    SmallVector<Value> left;
    for (int64_t i = 0; i < accLayout.localSize(0); ++i)
      left.push_back(shuffle(
          extract(held[0], flatOf(lhs.layout, swapped[0], i, 2 * (k / 8) + k % 2)), holder));
    Value row = b.createOrFold<arith::AddIOp>(loc, first, constant(k));
    for (int64_t n = 0; n < accLayout.localSize(1); n += 2) {
      Value right = loadWide(rhs, row, coordinate(accLayout, 1, n), 2);
      for (int64_t i = 0; i < accLayout.localSize(0); ++i)
        for (int64_t odd : {0, 1}) {
          Value &sum = sums[accLayout.flatten({i, n + odd})];
          sum = math::FmaOp::create(b, loc, left[i], extract(right, odd), sum);
        }
    }
  };
  return emitInTurns(rhs.layout.getShape()[0], acc, {{lhs, swapped[0]}}, emitTerm);
}

int64_t Distributor::getMmaK(Type element) const {
  if (element.isF32())
    return tf32 ? 8 : 0;
  if (element.isBF16())
    return chip.bf16 ? 16 : 0;
  if (!element.isF16() || chip.f16 == target::Mma::None)
    return 0;
  return isOfQuadPairs(element, chip) ? 4 : chip.f16 == target::Mma::M16N8K8 ? 8 : 16;
}

/// 16-bit elements as f32, which holds each of them exactly.
Fragment Distributor::widen(Fragment fragment) {
  auto type = cast<VectorType>(fragment.value.getType());
  if (type.getElementType().isF32())
    return fragment;
  return {arith::ExtFOp::create(b, loc, type.clone(b.getF32Type()), fragment.value),
          fragment.layout};
}

LogicalResult Distributor::visitContract(vector::ContractionOp op) {
  FailureOr<ContractLayouts> contract = getContractLayouts(op, chip);
  if (failed(contract))
    return op.emitOpError("expected a product (i, k) x (k, j) or (j, k) of two tiles");
  Type element = op.getLhsType().getElementType();
  auto accType = cast<VectorType>(op.getAccType());
  if (op.getRhsType().getElementType() != element || !accType.getElementType().isF32())
    return op.emitOpError("expected operands of one type and an f32 accumulator, got ")
           << op.getLhsType() << ", " << op.getRhsType() << " and " << accType;
  bool is16 = element.isF16() || element.isBF16();
  if (!is16 && !element.isF32())
    return op.emitOpError("no kernel multiplies elements of type ")
           << element << ", expected f16, bf16 or f32";

  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<bool> swapped;
  for (int64_t i = 0; i < 2; ++i)
    swapped.push_back(maps[i].getDimPosition(0) == static_cast<unsigned>(contract->sumDim));
  int64_t sums = op.getLhsType().getShape()[swapped[0] ? 0 : 1];
  bool byMma = getMmaK(element) != 0;
  if (byMma && (accType.getShape()[0] % kMmaM != 0 || sums % kMmaStep != 0))
    return op.emitOpError("expected rows in steps of ")
           << kMmaM << " and a sum in steps of " << kMmaStep << ", got " << accType.getShape()[0]
           << " and " << sums;

  if (isOfQuadPairs(element, chip)) {
    emitQuadPairs(op);
    return success();
  }
  Fragment acc = getFragment(op.getAcc());
  auto inMemory = [&](Value operand) {
    auto access = deferred.find(operand);
    return access == deferred.end() ? nullptr : &access->second;
  };
  Value result;
  if (Access *left = inMemory(op.getLhs())) {
    Access *right = inMemory(op.getRhs());
    if (!right)
      return op.emitOpError("expected a right operand that all its products read in one way");
    define(op.getResult(), emitFmaOfMemory(*left, *right, acc, swapped));
    return success();
  }
  Fragment lhs = getFragment(op.getLhs());
  if (byMma) {
    RightOperand right{*this, contract->rhs, swapped[1], nullptr, {}};
    right.elements.resize(contract->rhs.numLocal());
    right.access = inMemory(op.getRhs());
    if (!right.access) {
      Value rhs = get(op.getRhs());
      for (auto [position, element] : llvm::enumerate(right.elements))
        element = extract(rhs, position);
    }
    result = emitMma(lhs, right, acc, swapped);
  } else if (Access *right = inMemory(op.getRhs())) {
    if (!swapped[1])
      return op.emitOpError("expected a left operand that all its products read in one way");
    result = emitFmaOfRight(widen(lhs), *right, acc, swapped);
  } else {
    Fragment rhs = getFragment(op.getRhs());
    result = emitFma(widen(lhs), widen(rhs), acc, swapped);
  }
  define(op.getResult(), result);
  return success();
}
