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
//
// In mma.m8n8k4 ("Matrix Fragments for mma.m8n8k4 with .f16") lanes 4p to 4p + 3 and
// 16 + 4p to 16 + 4p + 3 are quad pair p, and the four pairs multiply 8x8x4 each. Here
// pairs are two by two: p % 2 says which rows, p / 2 which columns of a 16x16 block.
// A lane's number is the bits l4 to l0; the bits of a row i and a column n, from the
// lowest on (r: in registers), are
//
//   C[i, n]   i: l4 l0 l2 r     n: r l1 l3 r     pair_row, pair_column
//   A[i, k]   i: l4 l0 l2 l1    k: r r           pair_left, none
//   B[k, n]   n: l0 l1 l3 (l4)  k: r r           pair_right, none; .col
//   B[k, n]   n: r r l3 (l4)    k: l0 l1         pair_four, pair_sum; .row
//
// Eight neighbouring rows of C are in one register of all lanes, whose banks differ then.
// (Of two blocks of eight columns the upper half of a warp holds the second: a tile has
// both in registers, the product takes one.) C and A differ: one bit of the rows changes
// places with one of the columns, and each lane needs the columns of the other pairs.
#ifndef ELFATT_GPU_FRAGMENTLAYOUT_H
#define ELFATT_GPU_FRAGMENTLAYOUT_H

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include <cstdint>
#include <string>

namespace elfatt::gpu {

constexpr int64_t kWarpSize = 32;
/// Elements of one dim that a warp covers once, in groups and quads.
constexpr int64_t kLaneDimExtent = 8;

using attention::LaneDim;

/// Where the lowest bits of the index of one dim go: see attention::getLaneBits.
using LaneBits = llvm::SmallVector<int8_t, 4>;

/// A tile's shape and where the bits of its indices go. A lane holds its elements as one
/// flat vector, row-major in its local coordinates.
struct LaneLayout {
  llvm::SmallVector<int64_t> shape;
  llvm::SmallVector<LaneBits, 2> bits;

  int64_t rank() const { return shape.size(); }

  /// Elements of dim `d`, and of all dims, that one lane holds.
  int64_t localSize(int64_t d) const;
  int64_t numLocal() const;

  /// Flat position of local coordinates, and back.
  int64_t flatten(llvm::ArrayRef<int64_t> local) const;
  llvm::SmallVector<int64_t> unflatten(int64_t flat) const;

  /// The element of the tile at local coordinate `local` of dim `d` is this constant plus
  /// what the lane's number adds.
  int64_t constantOffset(int64_t d, int64_t local) const;

  /// Local coordinate in dim `d` of element `e`, in whichever lanes hold it.
  int64_t localOf(int64_t d, int64_t e) const;

  /// The bits of a lane's number that dim `d` is spread over, and those that none is.
  unsigned getLaneMask(int64_t d) const;
  unsigned getFreeLanes() const;
};

/// What each dim of a tile is spread over.
class FragmentLayout : public LaneLayout {
public:
  FragmentLayout() = default;
  FragmentLayout(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<LaneDim> dims);

  /// The layout of accumulators: rows over groups, columns over quads; dims of
  /// size one are held whole. For one or two dims.
  static FragmentLayout accumulator(llvm::ArrayRef<int64_t> shape);

  /// False if an extent is not a multiple of what a warp covers, or if two dims
  /// are spread over the same bits of a lane's number.
  bool isValid() const;

  llvm::ArrayRef<int64_t> getShape() const { return shape; }
  llvm::ArrayRef<LaneDim> getDims() const { return dims; }

  /// Neighbours in the last dim that a lane holds beside each other: a power of two, at most
  /// eight.
  int64_t getNeighbours() const;

  /// What `lane` adds to a constant offset.
  static int64_t laneOffset(LaneDim dim, int64_t lane);
  /// Elements of a dim that a warp covers once; the most of any dim here.
  static int64_t getCovered(LaneDim dim);
  int64_t getStep() const;

  /// "16x64 [group, quad]"
  std::string str() const;

  bool operator==(const FragmentLayout &other) const {
    return shape == other.shape && dims == other.dims;
  }

private:
  llvm::SmallVector<LaneDim> dims;
};

} // namespace elfatt::gpu

#endif // ELFATT_GPU_FRAGMENTLAYOUT_H
