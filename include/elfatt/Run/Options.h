// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_RUN_OPTIONS_H
#define ELFATT_RUN_OPTIONS_H

#include "elfatt/Run/Guard.h"
#include "elfatt/Tile/TileOverrides.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

#include <optional>
#include <string>

namespace elfatt::run {

/// The command line of elfatt-run.
struct Options {
  std::string file;
  std::string target = "cpu";
  std::string inputs, expect, save, stats; ///< paths; empty where not given
  double atol = 1e-6;
  double rtol = 1e-5; ///< relative to the largest element of the expected output
  std::optional<std::string> approximate; ///< options of elfatt-approximate
  bool compareExact = false;
  bool raise = true;
  std::optional<GuardedEnd> guard;
  std::optional<double> benchmarkSeconds;
  int threads = 0; ///< 0: the cores that the process may use
  bool sampleBlocks = false;
  tile::TileOverrides tile;
  std::string cudaPath; ///< of the ptxas that counts registers; empty: searched
  bool listInstructions = false;
  bool listCandidates = false;
  bool help = false;
};

/// Reads the arguments after the program's name. The error says which argument
/// is wrong and what was expected.
llvm::Expected<Options> parseOptions(llvm::ArrayRef<const char *> args);

/// What --help prints.
llvm::StringRef getUsage();

} // namespace elfatt::run

#endif // ELFATT_RUN_OPTIONS_H
