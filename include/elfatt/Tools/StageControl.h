// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_TOOLS_STAGECONTROL_H
#define ELFATT_TOOLS_STAGECONTROL_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/LogicalResult.h"

#include <string>

namespace mlir {
class PassManager;
} // namespace mlir

namespace elfatt {

/// Stops a pipeline at the end of one of its stages, and writes the IR at the
/// end of each. Must outlive the pass managers it is applied to.
class StageControl {
public:
  /// `stopAfter` is a stage's name, or empty; `dumpFolder` is created, or empty.
  StageControl(llvm::StringRef stopAfter, llvm::StringRef dumpFolder)
      : stopAfter(stopAfter), dumpFolder(dumpFolder) {}

  /// Call it when all passes are added. Fails, with an error emitted, when `pm`
  /// has no such stage.
  llvm::LogicalResult apply(mlir::PassManager &pm);

  /// Whether a dump could not be written; the error was emitted.
  bool hasFailed() const { return failed; }

private:
  struct Instrumentation;

  std::string stopAfter, dumpFolder;
  unsigned dumps = 0;
  bool stopped = false, failed = false;
};

} // namespace elfatt

#endif // ELFATT_TOOLS_STAGECONTROL_H
