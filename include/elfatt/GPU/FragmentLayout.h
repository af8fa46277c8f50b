// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How the elements of a tile are spread over the 32 lanes of a warp. Pure: no
// IR is made here.
//
// The tensor cores fix the layouts. In mma.m16n8k16 (PTX manual, "Matrix
// Fragments for mma.m16n8k16") lane l has a group g = l / 4 and a quad position
// q = l % 4, and
//
//   accumulator C[i, n]  is held where  i % 8 = g  and  (n % 8) / 2 = q
//   operand     A[i, k]  is held where  i % 8 = g  and  (k % 8) / 2 = q
//   operand     B[k, n]  is held where  n % 8 = g  and  (k % 8) / 2 = q
//
// So one rule for each dim of a tile says everything: a dim is spread over the
// groups, over the quads (two neighbouring elements to a lane), or held whole by
// every lane. Accumulators and A operands agree, which is why the probabilities
// of a softmax enter the next product without leaving their registers.
#ifndef ELFATT_GPU_FRAGMENTLAYOUT_H
#define ELFATT_GPU_FRAGMENTLAYOUT_H

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include <cstdint>
#include <string>

namespace elfatt::gpu {

constexpr int64_t kWarpSize = 32;
/// Elements of one dim that a warp covers once.
constexpr int64_t kLaneDimExtent = 8;

using attention::LaneDim;

/// The layout of one tile: its shape and what each dim is spread over. A lane
/// holds its elements as one flat vector, row-major in its local coordinates.
class FragmentLayout {
public:
  FragmentLayout() = default;
  FragmentLayout(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<LaneDim> dims)
      : shape(shape), dims(dims) {}

  /// The layout of accumulators: rows over groups, columns over quads; dims of
  /// size one are held whole. For one or two dims.
  static FragmentLayout accumulator(llvm::ArrayRef<int64_t> shape);

  /// False if an extent is not a multiple of what a warp covers, or if two dims
  /// are spread over the same lanes.
  bool isValid() const;

  int64_t rank() const { return shape.size(); }
  llvm::ArrayRef<int64_t> getShape() const { return shape; }
  llvm::ArrayRef<LaneDim> getDims() const { return dims; }

  /// Elements of dim `d`, and of all dims, that one lane holds.
  int64_t localSize(int64_t d) const;
  int64_t numLocal() const;

  /// Flat position of local coordinates, and back.
  int64_t flatten(llvm::ArrayRef<int64_t> local) const;
  llvm::SmallVector<int64_t> unflatten(int64_t flat) const;

  /// The element of the tile at local coordinate `local` of dim `d` is this
  /// constant plus `laneOffset(dims[d], lane)`.
  int64_t constantOffset(int64_t d, int64_t local) const;
  static int64_t laneOffset(LaneDim dim, int64_t lane);

  /// Local coordinate in dim `d` of element `e`, in whichever lanes hold it.
  int64_t localOf(int64_t d, int64_t e) const;

  /// "16x64 [group, quad]"
  std::string str() const;

  bool operator==(const FragmentLayout &other) const {
    return shape == other.shape && dims == other.dims;
  }

private:
  llvm::SmallVector<int64_t> shape;
  llvm::SmallVector<LaneDim> dims;
};

} // namespace elfatt::gpu

#endif // ELFATT_GPU_FRAGMENTLAYOUT_H
