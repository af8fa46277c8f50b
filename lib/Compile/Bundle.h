// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_COMPILE_BUNDLE_H
#define ELFATT_LIB_COMPILE_BUNDLE_H

#include "elfatt/Tools/Tool.h"

#include <map>

namespace elfatt::compile {

/// Writes the files (name -> contents) to a folder beside `path` and renames it:
/// the bundle is there whole, or not at all. A bundle that is there already is
/// replaced; any other non-empty folder is an error.
llvm::Error writeBundle(Tool &tool, llvm::StringRef path,
                        const std::map<std::string, std::string> &files);

} // namespace elfatt::compile

#endif // ELFATT_LIB_COMPILE_BUNDLE_H
