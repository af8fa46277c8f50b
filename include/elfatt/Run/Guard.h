// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Memory that shows accesses beyond its ends, for tests of kernels.
#ifndef ELFATT_RUN_GUARD_H
#define ELFATT_RUN_GUARD_H

#include <cstdint>

namespace elfatt::run {

/// The end of a block that lies against memory which cannot be accessed.
enum class GuardedEnd { Before, After };

/// A block of its own pages. With `After` its last byte, rounded up to
/// `alignment`, is the last one before the guard; with `Before` its first byte is
/// the first one behind it. Every byte is 0xFF: NaN as a number. Null when there
/// is no memory.
void *allocateGuarded(GuardedEnd end, int64_t alignment, int64_t bytes);

/// Gives back a block of allocateGuarded; its pages cannot be accessed any more.
void freeGuarded(void *block);

} // namespace elfatt::run

#endif // ELFATT_RUN_GUARD_H
