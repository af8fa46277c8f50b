// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What manifest.json says. docs/Bundles.md has the format.
#ifndef ELFATT_LIB_RUNTIME_MANIFEST_H
#define ELFATT_LIB_RUNTIME_MANIFEST_H

#include "elfatt/Runtime.h"

#include "Expression.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace elfatt::runtime {

/// The newest format that this runtime reads.
constexpr int64_t kManifestSchema = 3;

int64_t getElementBytes(elfatt_element element);
/// "f32"
std::string_view getElementName(elfatt_element element);

/// An array that a function takes or gives.
struct ArrayType {
  elfatt_element element;
  std::vector<Expression> shape, strides;
  /// The shape for elfatt_type: -1 where it is not constant.
  std::vector<int64_t> fixedShape;
};

/// One argument of a kernel: the pointer of an array, or a number of 64 bits.
struct KernelArgument {
  enum class Kind { Argument, Result, Workspace, Value } kind;
  size_t number;    ///< which array
  Expression value; ///< of a number
};

struct Launch {
  std::string kernel;
  Expression grid[3], block[3], sharedBytes;
  std::vector<KernelArgument> arguments;
};

/// A function on one chip: tile sizes, and with them launches, are the chip's own.
struct DeviceManifest {
  std::vector<Expression> workspaces; ///< bytes of each
  /// The kernels in their order.
  std::vector<Launch> launches;
  /// Why the launches alone do not make the function; empty where they do.
  std::string hostCode;
};

struct FunctionManifest {
  std::string name;
  std::vector<std::string> dims;
  std::vector<ArrayType> arguments, results;
  /// By the target of the code, "sm_87".
  std::map<std::string, DeviceManifest> devices;
};

struct CodeManifest {
  std::string file;
  std::string format;       ///< elf, ptx, cubin, or fatbin, which is both of these
  std::string target;       ///< x86-64-v3, sm_87
  std::string architecture; ///< of elf: x86_64 or aarch64
  int ptxVersion = 0;       ///< of the PTX: 85 for 8.5
  int cudaVersion = 0;      ///< of the cubin: the oldest driver that loads it, 12000 for 12.0
};

struct FileManifest {
  int64_t bytes;
  std::string sha256;
};

struct Manifest {
  std::vector<FunctionManifest> functions;
  std::vector<CodeManifest> code;
  std::string constants; ///< the file's name; empty where there is none
  std::map<std::string, FileManifest> files;
};

/// Reads a manifest. Throws ELFATT_NOT_SUPPORTED for a newer format and
/// ELFATT_BAD_BUNDLE for anything else that is not one.
Manifest parseManifest(std::string_view text);

} // namespace elfatt::runtime

#endif // ELFATT_LIB_RUNTIME_MANIFEST_H
