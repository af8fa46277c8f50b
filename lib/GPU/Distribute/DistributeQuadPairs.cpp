// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products by mma.m8n8k4 (sm_70, sm_72): four in an instruction, of a quad pair each, which
// make a 16x16 block of the result (elfatt/GPU/FragmentLayout.h). There is no ldmatrix: a lane
// reads four or eight neighbours of an operand at once.
#include "Distributor.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <map>

using namespace mlir;
using namespace elfatt::gpu;

namespace {
/// Rows and columns of the result, of a block of the four products; and their sums.
constexpr int64_t kBlock = 16, kHalf = 8, kSums = 4;
/// The bits of a lane's number that say which half of a block's columns it has of the right
/// operand, and which eight of a block's rows of the left one.
constexpr int64_t kHalfBit = 4, kRowBit = 1;
} // namespace

/// Registers of an operand, of four sums each: two, of two elements.
struct Distributor::PairOperand {
  Distributor &distributor;
  FragmentLayout layout;
  bool isLeft, sumsFirst; ///< the order of its dims
  Value held;             ///< the fragment, or
  const Access *access;   ///< where it lies in memory
  /// What was read: pairs of elements, by block and first sum.
  std::map<std::pair<int64_t, int64_t>, SmallVector<Value>> loaded = {};

  /// Of a block of rows or columns, and sums `step` * 4 to `step` * 4 + 3.
  SmallVector<Value> get(int64_t block, int64_t step);

private:
  SmallVector<Value> getHeld(int64_t outer, int64_t step);
  SmallVector<Value> getLoaded(int64_t block, int64_t step);
  SmallVector<Value> load(int64_t block, int64_t first, int64_t width, Value further);
  void loadInTurns(int64_t block, int64_t first, int64_t width);
  int64_t blocksOfEight() const { return layout.getShape()[sumsFirst ? 1 : 0] / kHalf; }
};

/// Of rows, or of columns of one half of a block.
SmallVector<Value> Distributor::PairOperand::getHeld(int64_t outer, int64_t step) {
  SmallVector<Value> pairs, elements;
  const bool isFour = !isLeft && sumsFirst;
  for (int64_t i = 0; i < kSums; ++i) {
    SmallVector<int64_t, 2> local = {outer, step * kSums + i};
    if (isFour)
      local = {step, outer * kSums + i};
    else if (sumsFirst)
      std::swap(local[0], local[1]);
    elements.push_back(distributor.extract(held, layout.flatten(local)));
  }
  for (int64_t i = 0; i < kSums; i += 2)
    pairs.push_back(
        distributor.fromElements(ArrayRef(elements).slice(i, 2), distributor.b.getF16Type()));
  return pairs;
}

/// `width` neighbours from sum `first` on, in pairs; sums begin `further` on if it is given.
SmallVector<Value> Distributor::PairOperand::load(int64_t block, int64_t first, int64_t width,
                                                  Value further) {
  OpBuilder &b = distributor.b;
  Location loc = distributor.loc;
  const int64_t outerDim = sumsFirst ? 1 : 0;
  SmallVector<Value> indices = access->indices;
  for (int64_t d : {0, 1}) {
    Value &index = indices[access->memrefDim[d]];
    auto add = [&](Value offset) { index = b.createOrFold<arith::AddIOp>(loc, index, offset); };
    if (layout.getDims()[d] != LaneDim::None)
      add(distributor.laneOffset(layout.getDims()[d]));
    // A block of eight columns has no other half.
    if (d == outerDim && !isLeft && 2 * block + 1 < blocksOfEight())
      add(distributor.moveLaneBit(kHalfBit, kHalf));
    if (d != outerDim && further)
      add(further);
    add(distributor.constant(d == outerDim ? block * kBlock : first));
  }
  Value vector =
      vector::LoadOp::create(b, loc, VectorType::get(width, b.getF16Type()), access->base, indices,
                             /*nontemporal=*/false, llvm::MaybeAlign(2 * width));
  SmallVector<Value> pairs;
  for (int64_t i = 0; i < width; i += 2)
    pairs.push_back(distributor.fromElements(
        {distributor.extract(vector, i), distributor.extract(vector, i + 1)}, b.getF16Type()));
  return pairs;
}

/// Two times `width` sums of a row. Lanes that read at the same time have even rows (or odd ones),
/// and those that differ in kRowBit rows that are eight apart, which begin in the same bank: they
/// read the second half first.
void Distributor::PairOperand::loadInTurns(int64_t block, int64_t first, int64_t width) {
  OpBuilder &b = distributor.b;
  Location loc = distributor.loc;
  Value turned = distributor.moveLaneBit(kRowBit, width);
  Value other = arith::XOrIOp::create(b, loc, turned, distributor.constant(width));
  SmallVector<Value> one = load(block, first, width, turned);
  SmallVector<Value> two = load(block, first, width, other);
  Value isTurned = distributor.laneBit(kRowBit);
  SmallVector<Value> &pairs = loaded[{block, first}];
  for (auto [x, y] : llvm::zip(one, two))
    pairs.push_back(arith::SelectOp::create(b, loc, isTurned, y, x));
  for (auto [x, y] : llvm::zip(one, two))
    pairs.push_back(arith::SelectOp::create(b, loc, isTurned, x, y));
}

SmallVector<Value> Distributor::PairOperand::getLoaded(int64_t block, int64_t step) {
  // Rows of sums have four neighbouring columns each. Of a left operand, two reads are one step.
  int64_t width = sumsFirst ? kSums : access->width;
  if (isLeft) {
    const int64_t rest = layout.getShape()[1] - step * kSums / (2 * width) * 2 * width;
    width = rest < 2 * width ? 2 * kSums : 2 * width;
  }
  const int64_t first = step * kSums / width * width;
  if (!loaded.contains({block, first})) {
    if (isLeft)
      loadInTurns(block, first, width / 2);
    else
      loaded[{block, first}] = load(block, first, width, {});
  }
  return llvm::to_vector(
      ArrayRef(loaded[{block, first}]).slice((step * kSums - first) / 2, kSums / 2));
}

SmallVector<Value> Distributor::PairOperand::get(int64_t block, int64_t step) {
  if (access)
    return getLoaded(block, step);
  if (isLeft)
    return getHeld(block, step);
  SmallVector<Value> registers = getHeld(2 * block, step);
  if (2 * block + 1 == blocksOfEight())
    return registers;
  Value isUpper = distributor.laneBit(kHalfBit);
  for (auto [lower, upper] : llvm::zip(registers, getHeld(2 * block + 1, step)))
    lower = arith::SelectOp::create(distributor.b, distributor.loc, isUpper, upper, lower);
  return registers;
}

bool Distributor::isReadByQuadPairs(vector::TransferReadOp op, const Access &access) {
  return isOfQuadPairs(op.getVectorType().getElementType(), chip) && access.width >= kSums &&
         access.layout.rank() == 2 && op.isDimInBounds(0) && access.memrefDim[0] >= 0 &&
         mlir::gpu::GPUDialect::hasWorkgroupMemoryAddressSpace(
             cast<MemRefType>(op.getShapedType())) &&
         (isReadInContract(op, /*isLeft=*/true) || isReadInContract(op, /*isLeft=*/false));
}

/// acc[i, n] += sum_k lhs[i, k] rhs[n, k] or rhs[k, n]. Sums come first: what is read of the left
/// operand serves all columns, and what is read of the right one all rows.
void Distributor::emitQuadPairs(vector::ContractionOp op) {
  ContractLayouts contract = *getContractLayouts(op, chip);
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  auto getOperand = [&](Value value, const FragmentLayout &layout, bool isLeft) {
    const bool sumsFirst =
        maps[isLeft ? 0 : 1].getDimPosition(0) == static_cast<unsigned>(contract.sumDim);
    auto it = deferred.find(value);
    const bool isRead = it != deferred.end();
    return PairOperand{*this,
                       layout,
                       isLeft,
                       sumsFirst,
                       isRead ? Value() : get(value),
                       isRead ? &it->second : nullptr};
  };
  PairOperand lhs = getOperand(op.getLhs(), contract.lhs, /*isLeft=*/true);
  PairOperand rhs = getOperand(op.getRhs(), contract.rhs, /*isLeft=*/false);
  Fragment acc = getFragment(op.getAcc());
  const FragmentLayout &layout = acc.layout;
  const int64_t rows = layout.getShape()[0], columns = layout.getShape()[1];
  const int64_t sums = contract.lhs.getShape()[lhs.sumsFirst ? 0 : 1];
  Type f32 = b.getF32Type();
  Type resultType = LLVM::LLVMStructType::getLiteral(b.getContext(), SmallVector<Type>(8, f32));
  // Where the eight sums of a lane are in its fragment; none beyond the last column.
  auto placeOf = [&](int64_t i, int64_t n, int64_t c) -> std::optional<int64_t> {
    const int64_t column = 2 * n + c / 4;
    if (column * kHalf >= columns)
      return std::nullopt;
    return layout.flatten({2 * i + c / 2 % 2, 2 * column + c % 2});
  };
  SmallVector<Value> results;
  for (int64_t flat = 0; flat < layout.numLocal(); ++flat)
    results.push_back(extract(acc.value, flat));
  Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
  for (int64_t step = 0; step < sums / kSums; step += 2) {
    // What is read of the left operand, of eight sums.
    SmallVector<SmallVector<Value>> left;
    for (int64_t i = 0; i < rows / kBlock; ++i)
      for (int64_t k : {step, step + 1})
        left.push_back(lhs.get(i, k));
    for (int64_t n = 0; n < llvm::divideCeil(columns, kBlock); ++n)
      for (int64_t k : {0, 1}) {
        SmallVector<Value> right = rhs.get(n, step + k);
        for (int64_t i = 0; i < rows / kBlock; ++i) {
          SmallVector<Value> c;
          for (int64_t place = 0; place < 8; ++place)
            c.push_back(placeOf(i, n, place) ? results[*placeOf(i, n, place)] : zero);
          Value d = NVVM::MmaOp::create(
              b, loc, resultType, left[2 * i + k], right, c, ArrayRef<int64_t>{kHalf, kHalf, kSums},
              /*b1Op=*/std::nullopt,
              /*intOverflow=*/std::nullopt, /*multiplicandPtxTypes=*/std::nullopt,
              std::array{NVVM::MMALayout::row,
                         rhs.sumsFirst ? NVVM::MMALayout::row : NVVM::MMALayout::col});
          ++numMma;
          for (int64_t place = 0; place < 8; ++place)
            if (auto at = placeOf(i, n, place))
              results[*at] = LLVM::ExtractValueOp::create(b, loc, d, place);
        }
      }
  }
  define(op.getResult(), fromElements(results, f32));
}
