// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_RUN_RUN_H
#define ELFATT_RUN_RUN_H

#include "elfatt/Run/Options.h"
#include "elfatt/Tools/Tool.h"

namespace elfatt::run {

/// elfatt-run. Returns the exit status: 0 done, 1 a result differs from what
/// was expected, 2 bad usage or input.
int runMain(Tool &tool, int argc, char **argv);

} // namespace elfatt::run

#endif // ELFATT_RUN_RUN_H
