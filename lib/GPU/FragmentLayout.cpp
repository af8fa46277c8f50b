// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/FragmentLayout.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace elfatt::gpu;

FragmentLayout FragmentLayout::accumulator(ArrayRef<int64_t> shape) {
  SmallVector<LaneDim> dims(shape.size(), LaneDim::None);
  if (!shape.empty() && shape.front() != 1)
    dims.front() = LaneDim::Group;
  if (shape.size() > 1 && shape.back() != 1)
    dims.back() = LaneDim::Quad;
  return FragmentLayout(shape, dims);
}

bool FragmentLayout::isValid() const {
  for (auto [d, dim] : enumerate(dims)) {
    if (dim == LaneDim::None)
      continue;
    if (shape[d] % kLaneDimExtent != 0 || is_contained(ArrayRef(dims).take_front(d), dim))
      return false;
  }
  return true;
}

int64_t FragmentLayout::localSize(int64_t d) const {
  switch (dims[d]) {
  case LaneDim::None:
    return shape[d];
  case LaneDim::Group:
    return shape[d] / 8;
  case LaneDim::Quad:
    return shape[d] / 4;
  }
  llvm_unreachable("all lane dims are handled");
}

int64_t FragmentLayout::numLocal() const {
  int64_t n = 1;
  for (int64_t d = 0; d < rank(); ++d)
    n *= localSize(d);
  return n;
}

int64_t FragmentLayout::flatten(ArrayRef<int64_t> local) const {
  int64_t flat = 0;
  for (int64_t d = 0; d < rank(); ++d)
    flat = flat * localSize(d) + local[d];
  return flat;
}

SmallVector<int64_t> FragmentLayout::unflatten(int64_t flat) const {
  SmallVector<int64_t> local(rank());
  for (int64_t d = rank() - 1; d >= 0; --d) {
    local[d] = flat % localSize(d);
    flat /= localSize(d);
  }
  return local;
}

int64_t FragmentLayout::constantOffset(int64_t d, int64_t local) const {
  switch (dims[d]) {
  case LaneDim::None:
    return local;
  case LaneDim::Group:
    return 8 * local;
  case LaneDim::Quad:
    return 8 * (local / 2) + local % 2;
  }
  llvm_unreachable("all lane dims are handled");
}

int64_t FragmentLayout::laneOffset(LaneDim dim, int64_t lane) {
  switch (dim) {
  case LaneDim::None:
    return 0;
  case LaneDim::Group:
    return lane / 4;
  case LaneDim::Quad:
    return 2 * (lane % 4);
  }
  llvm_unreachable("all lane dims are handled");
}

int64_t FragmentLayout::localOf(int64_t d, int64_t e) const {
  switch (dims[d]) {
  case LaneDim::None:
    return e;
  case LaneDim::Group:
    return e / 8;
  case LaneDim::Quad:
    return 2 * (e / 8) + e % 2;
  }
  llvm_unreachable("all lane dims are handled");
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
