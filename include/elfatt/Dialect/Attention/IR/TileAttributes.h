// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Attributes by which the tile level says to a machine what its ops do not.
#ifndef ELFATT_DIALECT_ATTENTION_IR_TILEATTRIBUTES_H
#define ELFATT_DIALECT_ATTENTION_IR_TILEATTRIBUTES_H

namespace elfatt::attention {

/// On the loop over workers, an integer: the warps that a multiprocessor should hold at once, the
/// least that one of the worker's parts asks for.
inline constexpr char kOccupancyAttr[] = "elfatt.occupancy";

/// On the loop over workers, an integer: the most warps of a block that has registers for one of
/// the worker's parts, where that is fewer than a block can have.
inline constexpr char kMostWarpsAttr[] = "elfatt.most_warps";

/// On a copy from or to memory, and on what it becomes, a unit: no worker touches these elements
/// again, so that a cache has better use for its lines.
inline constexpr char kEvictFirstAttr[] = "elfatt.evict_first";

} // namespace elfatt::attention

#endif // ELFATT_DIALECT_ATTENTION_IR_TILEATTRIBUTES_H
