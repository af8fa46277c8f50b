// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_COMPILE_RUNTIMESOURCE_H
#define ELFATT_LIB_COMPILE_RUNTIMESOURCE_H

#include "Manifest.h"

namespace elfatt::compile {

/// Adds the runtime's source as "runtime/...", to be built where the bundle
/// runs. It lies in share/elfatt/runtime beside the command's own folder.
llvm::Error addRuntimeSource(Files &files);

} // namespace elfatt::compile

#endif // ELFATT_LIB_COMPILE_RUNTIMESOURCE_H
