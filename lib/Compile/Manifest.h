// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_COMPILE_MANIFEST_H
#define ELFATT_LIB_COMPILE_MANIFEST_H

#include "Options.h"
#include "elfatt/Target/Ptxas.h"

#include "llvm/Support/JSON.h"

#include <map>

namespace elfatt::compile {

/// Raised with every change that an older reader would misread; the reader is
/// lib/Runtime/Manifest.cpp, the description docs/Bundles.md.
constexpr int64_t kManifestSchema = 3;

/// The kernels for one chip: PTX, and what ptxas made of it where there is one; or both
/// in one file.
struct DeviceCode {
  target::ChipTarget target;
  std::string ptxFile;
  std::string cubinFile;  ///< empty where there is none
  std::string fatbinFile; ///< in place of both; empty where there is none
  /// Of the cubin: the oldest driver that loads it, 12080 for CUDA 12.8.
  int oldestDriver = 0;
  std::vector<target::KernelUsage> usage;
};

/// The code for one level of a processor.
struct HostCode {
  const target::Processor *processor;
  std::string fileName;
};

/// The names of the files of a bundle, and what is in them.
using Files = std::map<std::string, std::string>;

/// manifest.json: the functions' records, what each file of code is for, and
/// the checksums of `files`. `constants` names one of them, or is empty.
llvm::json::Object makeManifest(llvm::json::Array functions, llvm::ArrayRef<HostCode> hostCode,
                                llvm::ArrayRef<DeviceCode> deviceCode, llvm::StringRef constants,
                                const Files &files);

/// The SHA-256 checksum in hexadecimal.
std::string makeChecksum(llvm::StringRef contents);

/// A C header with the names and constant sizes of the functions' records.
std::string makeHeader(const llvm::json::Array &functions);

} // namespace elfatt::compile

#endif // ELFATT_LIB_COMPILE_MANIFEST_H
