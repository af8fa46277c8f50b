// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_TOOLS_OPTMAIN_H
#define ELFATT_TOOLS_OPTMAIN_H

namespace elfatt {

class Tool;

/// The body of elfatt-opt; returns its exit status.
int runOpt(Tool &tool, int argc, char **argv);

} // namespace elfatt

#endif // ELFATT_TOOLS_OPTMAIN_H
