// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The CUDA driver, opened when it is first wanted.
#ifndef ELFATT_LIB_RUNTIME_CUDA_H
#define ELFATT_LIB_RUNTIME_CUDA_H

#include "Manifest.h"

#include <cstdint>
#include <string>
#include <vector>

namespace elfatt::runtime {

/// The code that the current device and its driver load: a cubin of the device's
/// own architecture, else the newest PTX that both know. Throws
/// ELFATT_NO_DEVICE, or ELFATT_NOT_SUPPORTED with what the bundle has.
const CodeManifest &chooseDeviceCode(const std::vector<CodeManifest> &code);

/// The same for a device of that architecture (87) and a driver of that version
/// (12060); null where the bundle has nothing for them.
const CodeManifest *findDeviceCode(const std::vector<CodeManifest> &code, int architecture,
                                   int driverVersion);

/// The newest PTX that a driver loads: 85 for 12060.
int newestPtx(int driverVersion);

/// A CUfunction.
using CudaKernel = void *;

/// Code loaded into the current context.
class CudaModule {
public:
  CudaModule(const std::string &image, const std::string &name);
  ~CudaModule();
  CudaModule(const CudaModule &) = delete;
  CudaKernel find(const std::string &kernel) const;

  /// Launches the kernels of `function` on `stream`; pointers are the device's.
  void launch(const FunctionManifest &function, const std::vector<CudaKernel> &kernels,
              const std::vector<int64_t> &dims, const elfatt_tensor *inputs,
              const elfatt_tensor *outputs, void *workspace, int64_t workspaceBytes,
              void *stream) const;

private:
  void *module = nullptr;
  void *context = nullptr;
  /// The context is device 0's primary one, held for us.
  bool retained = false;
};

/// Bytes of workspace in all, each part aligned.
int64_t countWorkspace(const FunctionManifest &function, const std::vector<int64_t> &dims);

} // namespace elfatt::runtime

#endif // ELFATT_LIB_RUNTIME_CUDA_H
