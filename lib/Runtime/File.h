// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RUNTIME_FILE_H
#define ELFATT_LIB_RUNTIME_FILE_H

#include "Manifest.h"

#include <string>
#include <string_view>

namespace elfatt::runtime {

/// A file in memory, to be read.
class MappedFile {
public:
  /// Throws ELFATT_BAD_BUNDLE where it cannot be read.
  explicit MappedFile(const std::string &path);
  ~MappedFile();
  MappedFile(const MappedFile &) = delete;

  std::string_view text() const { return {static_cast<const char *>(data), bytes}; }

  /// Throws ELFATT_BAD_BUNDLE unless size and checksum are as expected.
  void check(const FileManifest &expected) const;

private:
  std::string path;
  void *data = nullptr;
  size_t bytes = 0;
};

} // namespace elfatt::runtime

#endif // ELFATT_LIB_RUNTIME_FILE_H
