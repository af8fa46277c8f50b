// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Run/Run.h"
#include "elfatt/Tools/Tool.h"

int main(int argc, char **argv) {
  return elfatt::runTool(
      "elfatt-run", [&](elfatt::Tool &tool) { return elfatt::run::runMain(tool, argc, argv); });
}
