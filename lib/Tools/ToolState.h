// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a command's child process tells its parent, in memory both share.
#ifndef ELFATT_LIB_TOOLS_TOOLSTATE_H
#define ELFATT_LIB_TOOLS_TOOLSTATE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/ErrorOr.h"
#include "llvm/Support/MemoryBuffer.h"

#include <memory>
#include <string>

namespace elfatt {

/// Plain memory: no pointers, no destructors. The parent reads it only after
/// the child has ended, so writers need no order; several threads of the child
/// may overwrite each other's activity.
struct ToolState {
  /// The body's result; -1 until it has returned.
  int status = -1;
  /// This child runs to write a reproducer of the crash of the one before.
  bool reproducing = false;
  /// What an LLVM fatal error said.
  char reason[1024] = {};
  char activity[512] = {};
  char temporaries[8][4096] = {};
  /// An unnamed file with what was read from stdin; -1 for none.
  int stdinCopy = -1;

  void setActivity(llvm::StringRef text);
  void setReason(llvm::StringRef text);
  void rememberTemporary(llvm::StringRef path);
  void forgetTemporary(llvm::StringRef path);
  void removeTemporaries() const;
  void keepStdin(llvm::StringRef contents) const;
  llvm::ErrorOr<std::unique_ptr<llvm::MemoryBuffer>> copyOfStdin() const;
};

/// Where the reproducer of a crash of command `name` goes.
std::string getReproducerPath(llvm::StringRef name);

} // namespace elfatt

#endif // ELFATT_LIB_TOOLS_TOOLSTATE_H
