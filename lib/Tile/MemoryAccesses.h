// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What an op reads and writes of the buffers around it, and whether two ops can
// change places: for loops on buffers, where only the layouts of views tell.
#ifndef ELFATT_TILE_MEMORYACCESSES_H
#define ELFATT_TILE_MEMORYACCESSES_H

#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace elfatt::tile {

/// A part of a buffer: the elements of one view of it.
struct MemoryRegion {
  mlir::Value base;
  /// Of the view; dynamic offsets and strides stand for the whole buffer.
  mlir::MemRefType view;
};

/// What an op, with all that is nested in it, does to memory that was there before it.
struct MemoryAccesses {
  llvm::SmallVector<MemoryRegion> reads, writes;
  /// Does what is not known, or not to a buffer.
  bool isUnknown = false;

  explicit MemoryAccesses(mlir::Operation *op);

  /// True if neither reads or writes what the other writes.
  bool isIndependentOf(const MemoryAccesses &other) const;
};

/// Whether no element of one view is an element of the other. Distinct arguments of a
/// function are distinct buffers, as bufferization promises of those that are written.
bool areDisjoint(const MemoryRegion &a, const MemoryRegion &b);

} // namespace elfatt::tile

#endif // ELFATT_TILE_MEMORYACCESSES_H
