// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A cache of blocks by size class. A model asks for the same sizes at each
// call, so nearly every request is served by a block that is mapped already.
#include "elfatt/Runtime.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

namespace {

constexpr int64_t minAlignment = 64;

/// Stands before each block, padded to the block's alignment.
struct Header {
  void *base;
  int64_t bytes;
  int64_t alignment;
};

struct Cache {
  std::mutex mutex;
  /// Free blocks by (size, alignment).
  std::map<std::pair<int64_t, int64_t>, std::vector<void *>> free;
};

/// Never destroyed: compiled code may free blocks while the process ends.
Cache &cache() {
  static Cache *instance = new Cache;
  return *instance;
}

/// Sizes are rounded up so that near sizes share blocks: to a sixteenth of the
/// next lower power of two.
int64_t roundSize(int64_t bytes) {
  int64_t step = minAlignment;
  while (step * 16 < bytes)
    step *= 2;
  return (bytes + step - 1) / step * step;
}

Header *headerOf(void *block) { return static_cast<Header *>(block) - 1; }

} // namespace

void *elfatt_alloc(int64_t alignment, int64_t bytes) {
  if (bytes < 0 || bytes > INT64_MAX / 4)
    return nullptr;
  if (alignment < minAlignment)
    alignment = minAlignment;
  bytes = roundSize(bytes > 0 ? bytes : 1);
  {
    std::lock_guard lock(cache().mutex);
    auto it = cache().free.find({bytes, alignment});
    if (it != cache().free.end() && !it->second.empty()) {
      void *block = it->second.back();
      it->second.pop_back();
      return block;
    }
  }
  void *base = nullptr;
  if (posix_memalign(&base, alignment, alignment + bytes) != 0)
    return nullptr;
  void *block = static_cast<char *>(base) + alignment;
  *headerOf(block) = {base, bytes, alignment};
  return block;
}

void elfatt_free(void *block) {
  if (!block)
    return;
  Header *header = headerOf(block);
  std::lock_guard lock(cache().mutex);
  cache().free[{header->bytes, header->alignment}].push_back(block);
}

void elfatt_release_memory(void) {
  std::lock_guard lock(cache().mutex);
  for (auto &[key, blocks] : cache().free)
    for (void *block : blocks)
      std::free(headerOf(block)->base);
  cache().free.clear();
}
