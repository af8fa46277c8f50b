// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RuntimeSource.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

using namespace llvm;

namespace elfatt::compile {

/// Some function of this executable, by whose address it finds itself.
static char anchor;

Error addRuntimeSource(Files &files) {
  SmallString<128> folder(sys::fs::getMainExecutable(nullptr, &anchor));
  sys::path::remove_filename(folder);
  sys::path::append(folder, "..", "share", "elfatt", "runtime");
  sys::path::remove_dots(folder, /*remove_dot_dot=*/true);
  std::error_code code;
  for (sys::fs::recursive_directory_iterator it(folder, code), end; it != end && !code;
       it.increment(code)) {
    if (it->type() == sys::fs::file_type::directory_file)
      continue;
    auto buffer = MemoryBuffer::getFile(it->path());
    if (!buffer)
      return createStringError("cannot read '" + it->path() + "': " + buffer.getError().message());
    StringRef name = it->path();
    name.consume_front(folder);
    files["runtime" + name.str()] = (*buffer)->getBuffer().str();
  }
  if (code)
    return createStringError("cannot read the runtime's source in '" + folder.str() +
                             "': " + code.message());
  return Error::success();
}

} // namespace elfatt::compile
