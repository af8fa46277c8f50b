// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_COMPILE_MANIFEST_H
#define ELFATT_LIB_COMPILE_MANIFEST_H

#include "Options.h"
#include "elfatt/Target/Ptxas.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/JSON.h"

namespace elfatt::compile {

/// Raised with every change that an older reader would misread.
constexpr int64_t kManifestSchema = 1;

/// The kernels for one chip.
struct Code {
  GPUTarget target;
  std::string fileName, ptx;
  /// What ptxas says; absent where there is none.
  std::optional<std::vector<target::KernelUsage>> usage;
};

/// manifest.json, from a module lowered by buildGPUPipeline: functions with
/// their types, workspaces and launches, and what each chip's code needs.
llvm::json::Object makeManifest(mlir::ModuleOp module, llvm::ArrayRef<Code> codes);

/// A C header with the names and launch sizes of the manifest.
std::string makeHeader(const llvm::json::Object &manifest);

} // namespace elfatt::compile

#endif // ELFATT_LIB_COMPILE_MANIFEST_H
