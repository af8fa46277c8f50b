// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Run/Guard.h"

#include <cstring>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>
#include <unordered_map>

namespace elfatt::run {
namespace {

struct Mapping {
  void *base;
  int64_t bytes;
};

std::mutex mutex;

/// The mapping of each block. Never destroyed: a model may outlive it.
std::unordered_map<void *, Mapping> &mappings() {
  static auto *instance = new std::unordered_map<void *, Mapping>;
  return *instance;
}

} // namespace

void *allocateGuarded(GuardedEnd end, int64_t alignment, int64_t bytes) {
  const int64_t page = sysconf(_SC_PAGESIZE);
  if (bytes < 0 || bytes > INT64_MAX / 4 || alignment < 1 || alignment > page)
    return nullptr;
  bytes = (bytes + alignment - 1) / alignment * alignment;
  const int64_t inside = (bytes + page - 1) / page * page;
  Mapping mapping{nullptr, inside + 2 * page};
  mapping.base = mmap(nullptr, mapping.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping.base == MAP_FAILED)
    return nullptr;
  char *first = static_cast<char *>(mapping.base) + page;
  if (inside && mprotect(first, inside, PROT_READ | PROT_WRITE)) {
    munmap(mapping.base, mapping.bytes);
    return nullptr;
  }
  std::memset(first, 0xFF, inside);
  void *block = end == GuardedEnd::Before ? first : first + inside - bytes;
  std::lock_guard lock(mutex);
  mappings()[block] = mapping;
  return block;
}

void freeGuarded(void *block) {
  std::lock_guard lock(mutex);
  auto it = mappings().find(block);
  if (it == mappings().end())
    return;
  munmap(it->second.base, it->second.bytes);
  mappings().erase(it);
}

} // namespace elfatt::run
