// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_COMPILE_OPTIONS_H
#define ELFATT_LIB_COMPILE_OPTIONS_H

#include "elfatt/Target/Chip.h"
#include "elfatt/Target/Processor.h"
#include "elfatt/Tile/TileOverrides.h"

#include <optional>
#include <vector>

namespace elfatt::compile {

/// The command line of elfatt-compile.
struct Options {
  std::string file, output, cudaPath;
  std::vector<target::ChipTarget> targets;
  std::vector<target::ProcessorTarget> processors;
  tile::TileOverrides tile;
  std::optional<std::string> approximate;
  bool raise = true;
  bool runtimeSource = true;
  bool fatbin = false;
  bool help = false;
};

/// Reads the arguments after the program's name. The error says which argument
/// is wrong and what was expected.
llvm::Expected<Options> parseOptions(llvm::ArrayRef<const char *> args);

/// What --help prints.
llvm::StringRef getUsage();

} // namespace elfatt::compile

#endif // ELFATT_LIB_COMPILE_OPTIONS_H
