// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_COMPILE_COMPILE_H
#define ELFATT_COMPILE_COMPILE_H

#include "elfatt/Tools/Tool.h"

namespace elfatt::compile {

/// elfatt-compile. Returns the exit status: 0 done, 2 bad usage or input.
int compileMain(Tool &tool, int argc, char **argv);

} // namespace elfatt::compile

#endif // ELFATT_COMPILE_COMPILE_H
