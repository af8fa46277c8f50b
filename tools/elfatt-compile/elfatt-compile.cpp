// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Compile/Compile.h"
#include "elfatt/Tools/Tool.h"

int main(int argc, char **argv) {
  return elfatt::runTool("elfatt-compile", [&](elfatt::Tool &tool) {
    return elfatt::compile::compileMain(tool, argc, argv);
  });
}
