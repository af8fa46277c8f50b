// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_TOOLS_OUTPUTFILE_H
#define ELFATT_TOOLS_OUTPUTFILE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"

#include <memory>
#include <string>

namespace elfatt {

class Tool;

/// A file that appears under its name when it is complete, or not at all. A
/// device or pipe is written as it is; "-" is stdout.
class OutputFile {
public:
  /// The temporary file, if any, is remembered by `tool` (may be null).
  static llvm::Expected<std::unique_ptr<OutputFile>> open(llvm::StringRef path, Tool *tool);
  /// Removes what was not kept.
  ~OutputFile();

  llvm::raw_fd_ostream &os() { return *stream; }

  /// Writes what is left and gives the file its name.
  llvm::Error keep();

private:
  OutputFile() = default;

  std::string path, temporary;
  Tool *tool = nullptr;
  std::unique_ptr<llvm::raw_fd_ostream> stream;
};

} // namespace elfatt

#endif // ELFATT_TOOLS_OUTPUTFILE_H
