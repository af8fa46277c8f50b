// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RUNTIME_RUN_H
#define ELFATT_LIB_RUNTIME_RUN_H

#include <cstdint>
#include <mutex>
#include <unordered_set>

namespace elfatt::runtime {

/// One call of compiled code by elfatt_run: the memory that the code holds, to
/// be given back should it end early.
class Run {
public:
  Run() = default;
  Run(const Run &) = delete;
  ~Run();

  /// The run that this thread works for; null outside of one.
  static Run *current();

  /// While it lives, this thread works for `run` (may be null).
  class Scope {
  public:
    explicit Scope(Run *run);
    ~Scope();
    Scope(const Scope &) = delete;

  private:
    Run *before;
  };

  /// What compiled code calls. `allocate` and `fail` end the run by an exception,
  /// which compiled code lets pass.
  static void *allocate(int64_t alignment, int64_t bytes);
  static void release(void *block);
  [[noreturn]] static void fail(const char *message);

private:
  std::mutex mutex;
  std::unordered_set<void *> blocks;
};

} // namespace elfatt::runtime

#endif // ELFATT_LIB_RUNTIME_RUN_H
