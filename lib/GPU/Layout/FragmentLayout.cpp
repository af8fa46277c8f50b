// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/FragmentLayout.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>

using namespace llvm;
using namespace elfatt::gpu;
using elfatt::attention::getLaneBits;
using elfatt::attention::kInRegisters;

int64_t LaneLayout::localSize(int64_t d) const { return shape[d] >> popcount(getLaneMask(d)); }

int64_t LaneLayout::numLocal() const {
  int64_t n = 1;
  for (int64_t d = 0; d < rank(); ++d)
    n *= localSize(d);
  return n;
}

int64_t LaneLayout::flatten(ArrayRef<int64_t> local) const {
  int64_t flat = 0;
  for (int64_t d = 0; d < rank(); ++d)
    flat = flat * localSize(d) + local[d];
  return flat;
}

SmallVector<int64_t> LaneLayout::unflatten(int64_t flat) const {
  SmallVector<int64_t> local(rank());
  for (int64_t d = rank() - 1; d >= 0; --d) {
    local[d] = flat % localSize(d);
    flat /= localSize(d);
  }
  return local;
}

int64_t LaneLayout::constantOffset(int64_t d, int64_t local) const {
  int64_t offset = 0;
  for (auto [position, bit] : enumerate(bits[d]))
    if (bit == kInRegisters) {
      offset |= local % 2 << position;
      local /= 2;
    }
  return offset | local << bits[d].size();
}

int64_t LaneLayout::localOf(int64_t d, int64_t e) const {
  int64_t local = 0, position = 0;
  for (int8_t bit : bits[d]) {
    if (bit == kInRegisters)
      local |= e % 2 << position++;
    e /= 2;
  }
  return local | e << position;
}

unsigned LaneLayout::getLaneMask(int64_t d) const {
  unsigned mask = 0;
  for (int8_t bit : bits[d])
    mask |= bit == kInRegisters ? 0 : 1u << bit;
  return mask;
}

unsigned LaneLayout::getFreeLanes() const {
  unsigned used = 0;
  for (int64_t d = 0; d < rank(); ++d)
    used |= getLaneMask(d);
  return ~used & (kWarpSize - 1);
}

FragmentLayout::FragmentLayout(ArrayRef<int64_t> shape, ArrayRef<LaneDim> dims) : dims(dims) {
  this->shape.assign(shape.begin(), shape.end());
  for (LaneDim dim : dims)
    bits.emplace_back(getLaneBits(dim));
}

FragmentLayout FragmentLayout::accumulator(ArrayRef<int64_t> shape) {
  SmallVector<LaneDim> dims(shape.size(), LaneDim::None);
  if (!shape.empty() && shape.front() != 1)
    dims.front() = LaneDim::Group;
  if (shape.size() > 1 && shape.back() != 1)
    dims.back() = LaneDim::Quad;
  return FragmentLayout(shape, dims);
}

bool FragmentLayout::isValid() const {
  unsigned used = 0;
  for (auto [d, dim] : enumerate(dims)) {
    if (shape[d] % getCovered(dim) != 0 || (used & getLaneMask(d)))
      return false;
    used |= getLaneMask(d);
  }
  return true;
}

int64_t FragmentLayout::getNeighbours() const {
  ArrayRef<int8_t> last = bits.back();
  const auto *lane = find_if(last, [](int8_t bit) { return bit != kInRegisters; });
  if (lane != last.end())
    return int64_t(1) << (lane - last.begin());
  return std::min<int64_t>(8, shape.back() & -shape.back());
}

int64_t FragmentLayout::getCovered(LaneDim dim) { return int64_t(1) << getLaneBits(dim).size(); }

int64_t FragmentLayout::getStep() const {
  int64_t step = 1;
  for (LaneDim dim : dims)
    step = std::max(step, getCovered(dim));
  return step;
}

int64_t FragmentLayout::laneOffset(LaneDim dim, int64_t lane) {
  int64_t offset = 0;
  for (auto [position, bit] : enumerate(getLaneBits(dim)))
    if (bit != kInRegisters)
      offset |= (lane >> bit & 1) << position;
  return offset;
}

std::string FragmentLayout::str() const {
  std::string s;
  raw_string_ostream os(s);
  interleave(shape, os, "x");
  os << " [";
  interleaveComma(dims, os, [&](LaneDim dim) { os << attention::stringifyLaneDim(dim); });
  os << "]";
  return s;
}
