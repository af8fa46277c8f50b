// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ToolState.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <algorithm>
#include <cstring>
#include <unistd.h>

using namespace elfatt;

/// Copies what fits, with its final zero.
template <size_t N> static void assign(char (&to)[N], llvm::StringRef from) {
  size_t size = std::min(from.size(), N - 1);
  std::memcpy(to, from.data(), size);
  to[size] = 0;
}

void ToolState::setActivity(llvm::StringRef text) { assign(activity, text); }
void ToolState::setReason(llvm::StringRef text) { assign(reason, text); }

void ToolState::rememberTemporary(llvm::StringRef path) {
  llvm::SmallString<128> absolute(path);
  if (llvm::sys::fs::make_absolute(absolute))
    return;
  for (auto &slot : temporaries) {
    if (slot[0])
      continue;
    // A path that is cut off would name another file.
    if (absolute.size() < sizeof(slot))
      assign(slot, absolute);
    return;
  }
}

void ToolState::forgetTemporary(llvm::StringRef path) {
  llvm::SmallString<128> absolute(path);
  if (llvm::sys::fs::make_absolute(absolute))
    return;
  for (auto &slot : temporaries)
    if (absolute == slot)
      slot[0] = 0;
}

void ToolState::removeTemporaries() const {
  for (auto &slot : temporaries) {
    if (!slot[0])
      continue;
    if (llvm::sys::fs::is_directory(slot))
      llvm::sys::fs::remove_directories(slot);
    else
      llvm::sys::fs::remove(slot);
  }
}

void ToolState::keepStdin(llvm::StringRef contents) const {
  while (stdinCopy >= 0 && !contents.empty()) {
    ssize_t written = ::write(stdinCopy, contents.data(), contents.size());
    if (written <= 0)
      return; // Without it there is no reproducer, nothing worse.
    contents = contents.drop_front(written);
  }
}

llvm::ErrorOr<std::unique_ptr<llvm::MemoryBuffer>> ToolState::copyOfStdin() const {
  off_t size = ::lseek(stdinCopy, 0, SEEK_END);
  if (size < 0)
    return std::error_code(errno, std::generic_category());
  return llvm::MemoryBuffer::getOpenFileSlice(llvm::sys::fs::convertFDToNativeFile(stdinCopy),
                                              "<stdin>", size, 0);
}

std::string elfatt::getReproducerPath(llvm::StringRef name) { return (name + "-crash.mlir").str(); }
