// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Changes of layout: shuffles.
#include "Distributor.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

#include <map>

using namespace mlir;
using namespace elfatt::gpu;
using elfatt::attention::kInRegisters;

/// Where a bit of an index goes: a bit of the lane's number, or kInRegisters.
static int8_t bitAt(const LaneLayout &layout, int64_t d, size_t position) {
  const LaneBits &bits = layout.bits[d];
  return position < bits.size() ? bits[position] : kInRegisters;
}

/// Where a bit of the lane's number is to become one that registers hold, and the other way
/// around, lanes hand each other half of what they have: a select, a shuffle and two selects for
/// two elements.
void Distributor::exchange(LaneLayout &from, const LaneLayout &to, SmallVector<Value> &elements) {
  // The place of `bit` in a layout.
  auto find = [](const LaneLayout &layout,
                 int8_t bit) -> std::optional<std::pair<int64_t, size_t>> {
    for (auto [d, bits] : llvm::enumerate(layout.bits))
      if (auto it = llvm::find(bits, bit); it != bits.end())
        return std::pair(static_cast<int64_t>(d), static_cast<size_t>(it - bits.begin()));
    return std::nullopt;
  };
  for (int8_t bit = 0; bit < 5; ++bit) {
    auto out = find(from, bit), in = find(to, bit);
    if (!out || !in || bitAt(to, out->first, out->second) != kInRegisters ||
        bitAt(from, in->first, in->second) != kInRegisters)
      continue;
    LaneLayout next = from;
    next.bits[out->first][out->second] = kInRegisters;
    LaneBits &bits = next.bits[in->first];
    bits.resize(std::max(bits.size(), in->second + 1), kInRegisters);
    bits[in->second] = bit;
    Value isSet = laneBit(bit);
    SmallVector<Value> results(elements.size());
    for (int64_t flat = 0; flat < next.numLocal(); ++flat) {
      if (results[flat])
        continue;
      SmallVector<int64_t> local = next.unflatten(flat), places;
      // The same element but for the two bits: one by its place here, one by its lane.
      std::array<int64_t, 2> of{}, after{};
      for (int64_t value : {0, 1}) {
        SmallVector<int64_t> before;
        for (int64_t d = 0; d < from.rank(); ++d) {
          int64_t e = next.constantOffset(d, local[d]);
          if (d == out->first)
            e &= ~(int64_t(1) << out->second);
          if (d == in->first)
            e |= value << in->second;
          before.push_back(from.localOf(d, e));
        }
        of[value] = from.flatten(before);
        SmallVector<int64_t> there = local;
        int64_t e = next.constantOffset(out->first, local[out->first]);
        e = (e & ~(int64_t(1) << out->second)) | value << out->second;
        there[out->first] = next.localOf(out->first, e);
        after[value] = next.flatten(there);
      }
      auto select = [&](Value ifSet, Value ifNot) -> Value {
        return arith::SelectOp::create(b, loc, isSet, ifSet, ifNot);
      };
      Value sent = select(elements[of[0]], elements[of[1]]);
      Value kept = select(elements[of[1]], elements[of[0]]);
      Value received = shuffleXor(sent, int64_t(1) << bit);
      results[after[0]] = select(received, kept);
      results[after[1]] = select(kept, received);
    }
    from = next;
    elements = results;
  }
}

/// Each lane asks the lane that holds the element. Where the element's place in that lane's
/// registers depends on who asks (a quad holds two neighbours), all are fetched and one is kept.
SmallVector<Value> Distributor::askHolders(const LaneLayout &from, const LaneLayout &to,
                                           ArrayRef<Value> elements) {
  // Bits of the holder's number: mine, or moved ones of mine, or those of a register's place.
  unsigned kept = kWarpSize - 1;
  std::map<int64_t, unsigned> moved; // masks, by how far they move up
  struct Bit {
    int64_t d;
    size_t position;
    int8_t lane;
  };
  SmallVector<Bit> known, asked;
  for (int64_t d = 0; d < from.rank(); ++d)
    for (size_t p = 0; p < std::max(from.bits[d].size(), to.bits[d].size()); ++p) {
      const int8_t source = bitAt(from, d, p), target = bitAt(to, d, p);
      if (source == target)
        continue;
      if (source == kInRegisters) {
        asked.push_back({d, p, target});
        continue;
      }
      kept &= ~(1u << source);
      if (target == kInRegisters)
        known.push_back({d, p, source});
      else
        moved[source - target] |= 1u << target;
    }
  Value mine = arith::AndIOp::create(b, loc, laneI32(), constantI32(kept));
  for (auto [up, mask] : moved) {
    Value part = arith::AndIOp::create(b, loc, laneI32(), constantI32(mask));
    if (up > 0)
      part = arith::ShLIOp::create(b, loc, part, constantI32(up));
    else
      part = arith::ShRUIOp::create(b, loc, part, constantI32(-up));
    mine = arith::OrIOp::create(b, loc, mine, part);
  }
  llvm::DenseMap<unsigned, Value> holders;
  SmallVector<Value> results;
  for (int64_t flat = 0; flat < to.numLocal(); ++flat) {
    SmallVector<int64_t> target = to.unflatten(flat), offsets;
    for (int64_t d = 0; d < to.rank(); ++d)
      offsets.push_back(to.constantOffset(d, target[d]));
    unsigned number = 0;
    for (const Bit &bit : known)
      number |= static_cast<unsigned>(offsets[bit.d] >> bit.position & 1) << bit.lane;
    Value &holder = holders[number];
    if (!holder)
      holder = arith::OrIOp::create(b, loc, mine, constantI32(number));
    // By the bits that depend on who asks.
    SmallVector<Value> found;
    for (unsigned choice = 0; choice < 1u << asked.size(); ++choice) {
      SmallVector<int64_t> place;
      for (int64_t d = 0; d < from.rank(); ++d) {
        int64_t e = offsets[d];
        for (auto [i, bit] : llvm::enumerate(asked))
          if (bit.d == d)
            e |= static_cast<int64_t>(choice >> i & 1) << bit.position;
        place.push_back(from.localOf(d, e));
      }
      Value element = elements[from.flatten(place)];
      const bool isOwn = kept == kWarpSize - 1;
      found.push_back(isOwn ? element : shuffle(element, holder));
    }
    for (auto [i, bit] : llvm::enumerate(asked)) {
      for (size_t pair = 0; pair < found.size() / 2; ++pair)
        found[pair] = arith::SelectOp::create(b, loc, laneBit(bit.lane), found[2 * pair + 1],
                                              found[2 * pair]);
      found.resize(found.size() / 2);
    }
    results.push_back(found.front());
  }
  return results;
}

LogicalResult Distributor::visitConvertLayout(elfatt::attention::ConvertLayoutOp op) {
  LaneLayout from = layouts[op.getSource()], to = layouts[op.getResult()];
  Type element = getElementTypeOrSelf(op.getType());
  Value value = get(op.getSource());
  const int64_t last = from.rank() - 1;
  // Two neighbours of 16 bits travel in one register where both layouts have them in one.
  const bool inPairs = element.getIntOrFloatBitWidth() == 16 && from.shape[last] % 2 == 0 &&
                       bitAt(from, last, 0) == kInRegisters && bitAt(to, last, 0) == kInRegisters;
  SmallVector<Value> elements;
  const int64_t count = from.numLocal();
  for (int64_t flat = 0; flat < count; flat += inPairs ? 2 : 1)
    elements.push_back(
        inPairs ? LLVM::BitcastOp::create(
                      b, loc, b.getI32Type(),
                      fromElements({extract(value, flat), extract(value, flat + 1)}, element))
                      .getResult()
                : extract(value, flat));
  if (inPairs)
    for (LaneLayout *layout : {&from, &to}) {
      layout->shape[last] /= 2;
      if (LaneBits &bits = layout->bits[last]; !bits.empty())
        bits.erase(bits.begin());
    }
  if (inPairs || element.getIntOrFloatBitWidth() == 32)
    exchange(from, to, elements);
  SmallVector<Value> results;
  for (Value result : askHolders(from, to, elements)) {
    if (!inPairs) {
      results.push_back(result);
      continue;
    }
    Value pair = LLVM::BitcastOp::create(b, loc, VectorType::get(2, element), result);
    for (int64_t i : {0, 1})
      results.push_back(extract(pair, i));
  }
  define(op.getResult(), fromElements(results, element));
  return success();
}
