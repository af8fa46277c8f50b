// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "File.h"

#include "Error.h"
#include "Sha256.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace elfatt::runtime {

MappedFile::MappedFile(const std::string &path) : path(path) {
  auto fail = [&](const char *reason) {
    throw Error(ELFATT_BAD_BUNDLE, "cannot read '" + path + "': " + reason);
  };
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0)
    fail(std::strerror(errno));
  struct stat info;
  const char *reason = nullptr;
  if (fstat(file, &info) != 0) {
    reason = std::strerror(errno);
  } else if (!S_ISREG(info.st_mode)) {
    reason = "not a file";
  } else if (info.st_size > 0) {
    bytes = static_cast<size_t>(info.st_size);
    data = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED) {
      data = nullptr;
      reason = std::strerror(errno);
    }
  }
  close(file);
  if (reason)
    fail(reason);
}

MappedFile::~MappedFile() {
  if (data)
    munmap(data, bytes);
}

void MappedFile::check(const FileManifest &expected) const {
  if (static_cast<int64_t>(bytes) != expected.bytes)
    throw Error(ELFATT_BAD_BUNDLE, "'" + path + "' has " + std::to_string(bytes) +
                                       " bytes, expected " + std::to_string(expected.bytes));
  if (sha256(data, bytes) != expected.sha256)
    throw Error(ELFATT_BAD_BUNDLE, "'" + path + "' was altered: its checksum differs");
}

} // namespace elfatt::runtime
