// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What every command of the project has in common: exit statuses, checked
// streams, and crashes of code we call turned into errors.
#ifndef ELFATT_TOOLS_TOOL_H
#define ELFATT_TOOLS_TOOL_H

#include "elfatt/Tools/OutputFile.h"

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/MemoryBuffer.h"

#include <memory>
#include <string>

namespace mlir {
class PassManager;
} // namespace mlir

namespace elfatt {

/// Exit statuses of all commands.
enum ExitStatus : int {
  kDone = 0,
  /// A result differs from the expected one.
  kDiffers = 1,
  /// Bad usage or input, or an environment that does not let us work.
  kBadInput = 2,
};

struct ToolState;

/// A running command, as its body sees it.
class Tool {
public:
  Tool(llvm::StringRef name, ToolState *state) : name(name), state(state) {}

  llvm::StringRef getName() const { return name; }

  /// Prints "NAME: error: MESSAGE" on stderr and returns kBadInput.
  int error(const llvm::Twine &message) const;

  /// llvm::cl's parser, without its exit(1): false, with the errors printed, on
  /// bad usage.
  bool parseCommandLine(int argc, char **argv, llvm::StringRef overview) const;

  /// The contents of `path`, or of stdin for "-"; null, with the error printed,
  /// when it cannot be read.
  std::unique_ptr<llvm::MemoryBuffer> readInput(llvm::StringRef path);

  /// Opens `path`, or stdout for "-"; null, with the error printed, when it
  /// cannot be written.
  std::unique_ptr<OutputFile> openOutput(llvm::StringRef path);

  /// Finishes `output`; the exit status, with the error printed.
  int keepOutput(OutputFile &output) const;

  /// Has a file or folder removed should the command crash or be interrupted.
  /// `forgetTemporary` when it has its final name, or is gone.
  void rememberTemporary(llvm::StringRef path);
  void forgetTemporary(llvm::StringRef path);

  /// Names what is being done, for the error should it crash.
  void setActivity(const llvm::Twine &activity);

  /// Follows the passes of `pm` with setActivity. After a crash the command is
  /// run once more with upstream's reproducer enabled here.
  void follow(mlir::PassManager &pm);

  /// The same for passes between our own input and machine code, whose result is verified
  /// once: after each of them it takes as long as the passes do. elfatt-opt still does so.
  void followCompilation(mlir::PassManager &pm);

private:
  std::string name;
  ToolState *state;
};

/// Runs `body` in a child process and returns the exit status for main: what
/// `body` returns, or kBadInput, with the activity named on stderr, when it
/// crashes or something in it exits. Call it before any thread is started. With
/// ELFATT_IN_PROCESS=1 in the environment, as a debugger wants it, there is no
/// child and a crash is a crash.
int runTool(llvm::StringRef name, llvm::function_ref<int(Tool &)> body);

} // namespace elfatt

#endif // ELFATT_TOOLS_TOOL_H
