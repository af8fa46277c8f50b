// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tools/OutputFile.h"

#include "elfatt/Tools/Tool.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Process.h"

#include <fcntl.h>
#include <unistd.h>

using namespace elfatt;
namespace fs = llvm::sys::fs;

static llvm::Error makeError(llvm::StringRef path, std::error_code code) {
  return llvm::createStringError(code, "cannot write '%s': %s",
                                 path == "-" ? "<stdout>" : path.str().c_str(),
                                 code.message().c_str());
}

static std::error_code lastError() { return std::error_code(errno, std::generic_category()); }

llvm::Expected<std::unique_ptr<OutputFile>> OutputFile::open(llvm::StringRef path, Tool *tool) {
  std::unique_ptr<OutputFile> file(new OutputFile);
  file->tool = tool;
  file->path = path.str();
  if (path == "-") {
    file->stream = std::make_unique<llvm::raw_fd_ostream>(STDOUT_FILENO, /*shouldClose=*/false);
    return file;
  }

  // The file a link points to is replaced, not the link.
  llvm::SmallString<128> target;
  if (!fs::real_path(path, target))
    file->path = target.str().str();
  fs::file_status status;
  bool exists = !fs::status(file->path, status) && fs::exists(status);
  if (exists && fs::is_directory(status))
    return makeError(path, std::make_error_code(std::errc::is_a_directory));
  if (exists && ::access(file->path.c_str(), W_OK) != 0)
    return makeError(path, lastError());

  // Whatever is no plain file (a device, a pipe) cannot be replaced.
  bool direct = exists && !fs::is_regular_file(status);
  std::string opened = file->path;
  if (!direct)
    opened += ".tmp" + std::to_string(llvm::sys::Process::getProcessId());
  int descriptor =
      ::open(opened.c_str(), O_WRONLY | O_CLOEXEC | (direct ? 0 : O_CREAT | O_TRUNC), 0666);
  if (descriptor < 0)
    return makeError(path, lastError());
  if (!direct) {
    file->temporary = opened;
    if (tool)
      tool->rememberTemporary(opened);
  }
  file->stream = std::make_unique<llvm::raw_fd_ostream>(descriptor, /*shouldClose=*/true);
  return file;
}

llvm::Error OutputFile::keep() {
  stream->flush();
  // Stdout stays open for others; any other file may fail only on closing.
  if (path != "-" && !stream->has_error())
    stream->close();
  if (std::error_code code = stream->error()) {
    stream->clear_error();
    return makeError(path, code);
  }
  if (temporary.empty())
    return llvm::Error::success();
  if (std::error_code code = fs::rename(temporary, path))
    return makeError(path, code);
  if (tool)
    tool->forgetTemporary(temporary);
  temporary.clear();
  return llvm::Error::success();
}

OutputFile::~OutputFile() {
  // A stream that dies with an error takes the process with it.
  if (stream) {
    stream->flush();
    stream->clear_error();
  }
  if (temporary.empty())
    return;
  fs::remove(temporary);
  if (tool)
    tool->forgetTemporary(temporary);
}
