// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Run.h"

#include "Error.h"

#include <utility>

namespace elfatt::runtime {

static thread_local Run *currentRun = nullptr;

Run *Run::current() { return currentRun; }

Run::Scope::Scope(Run *run) : before(std::exchange(currentRun, run)) {}
Run::Scope::~Scope() { currentRun = before; }

Run::~Run() {
  for (void *block : blocks)
    elfatt_free(block);
}

void *Run::allocate(int64_t alignment, int64_t bytes) {
  void *block = elfatt_alloc(alignment, bytes);
  if (!block)
    throw Error(ELFATT_NO_MEMORY, "no memory for " + std::to_string(bytes) + " bytes");
  if (Run *run = currentRun) {
    std::lock_guard lock(run->mutex);
    run->blocks.insert(block);
  }
  return block;
}

void Run::release(void *block) {
  if (Run *run = currentRun) {
    std::lock_guard lock(run->mutex);
    run->blocks.erase(block);
  }
  elfatt_free(block);
}

void Run::fail(const char *message) { throw Error(ELFATT_RUN_FAILED, message); }

} // namespace elfatt::runtime
