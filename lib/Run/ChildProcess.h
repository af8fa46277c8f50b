// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RUN_CHILDPROCESS_H
#define ELFATT_LIB_RUN_CHILDPROCESS_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Error.h"

#include <string>

namespace elfatt::run {

struct ChildResult {
  std::string text; ///< empty where the process ended before it had one
  std::string end;  ///< "ended with status 2", "crashed (Aborted)"
};

/// Computes `body(0)`, ... `body(count - 1)`, each in a process of its own, at most `jobs`
/// at a time: what one does to its process does not end the others. This process must have
/// no other threads. `done` is called here, in the order in which they end.
llvm::Error runInChildren(size_t count, int jobs, llvm::function_ref<std::string(size_t)> body,
                          llvm::function_ref<void(size_t, const ChildResult &)> done);

} // namespace elfatt::run

#endif // ELFATT_LIB_RUN_CHILDPROCESS_H
