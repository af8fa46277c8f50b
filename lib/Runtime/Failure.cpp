// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Runtime.h"

#include "Run.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

static std::atomic<elfatt_failure_handler> failureHandler{nullptr};

void elfatt_set_failure_handler(elfatt_failure_handler handler) { failureHandler = handler; }

void elfatt_fail(const char *message) {
  if (elfatt::runtime::Run::current())
    elfatt::runtime::Run::fail(message);
  if (elfatt_failure_handler handler = failureHandler)
    handler(message);
  std::fprintf(stderr, "error: %s\n", message);
  std::abort();
}
