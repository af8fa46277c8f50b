// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tools/OptMain.h"
#include "elfatt/Tools/Tool.h"

int main(int argc, char **argv) {
  return elfatt::runTool("elfatt-opt",
                         [&](elfatt::Tool &tool) { return elfatt::runOpt(tool, argc, argv); });
}
