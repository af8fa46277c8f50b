// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RUNTIME_CODE_H
#define ELFATT_LIB_RUNTIME_CODE_H

#include "File.h"

#include <memory>
#include <string>

namespace elfatt::runtime {

/// A bundle's shared object in this process, with its constants.
class Code {
public:
  /// Loads `path`, an object checked before, with the constants of `constants`
  /// (none where the path is empty), whose checksum and size are given. An object
  /// that is loaded already is shared, constants and all.
  static std::shared_ptr<Code> load(const std::string &path, const std::string &constants,
                                    const FileManifest *constantsManifest);
  ~Code();

  /// What runs the function: see CodeInterface.h. Throws where there is none.
  using Entry = void (*)(void **args);
  Entry find(const std::string &function) const;

private:
  Code() = default;
  void *handle = nullptr;
  std::unique_ptr<MappedFile> constants;
};

} // namespace elfatt::runtime

#endif // ELFATT_LIB_RUNTIME_CODE_H
