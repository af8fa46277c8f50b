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

/// The code that the current device and its driver may load, best first: a cubin
/// of the device's own architecture, cubins of older ones that it runs, PTX from the
/// newest on; a fatbin is where the better of its two would be. Throws ELFATT_NO_DEVICE, or
/// ELFATT_NOT_SUPPORTED with what the bundle has.
std::vector<const CodeManifest *> listDeviceCode(const std::vector<CodeManifest> &code);

/// The same for a device of that architecture (87) and a driver of that version
/// (12060); empty where the bundle has nothing for them.
std::vector<const CodeManifest *> listDeviceCode(const std::vector<CodeManifest> &code,
                                                 int architecture, int driverVersion);

/// True if cubins for `known` (80) run on a device of `architecture` (86). CUDA C++
/// Programming Guide, "Binary Compatibility": on the same major number and a minor
/// one that is not smaller, but not to or from the integrated chips of Tegra.
bool runsCubin(int known, int architecture);

/// The newest PTX that a driver loads: 85 for 12060.
int newestPtx(int driverVersion);

/// A CUfunction.
using CudaKernel = void *;

/// Code loaded into the current context.
class CudaModule {
public:
  /// Throws NotLoadable where the driver says that the image is not for it.
  CudaModule(const std::string &image, const std::string &name);
  ~CudaModule();
  CudaModule(const CudaModule &) = delete;

  /// The launch's kernel, with its shared memory asked for where that is constant.
  /// Throws NotLoadable where the device has less.
  CudaKernel find(const Launch &launch) const;

  /// Launches the kernels of function `name` on `stream`; pointers are the device's.
  void launch(const std::string &name, const DeviceManifest &function,
              const std::vector<CudaKernel> &kernels, const std::vector<int64_t> &dims,
              const elfatt_tensor *inputs, const elfatt_tensor *outputs, void *workspace,
              int64_t workspaceBytes, void *stream) const;

private:
  void *module = nullptr;
  void *context = nullptr;
  /// The context is device 0's primary one, held for us.
  bool retained = false;
};

/// Bytes of workspace in all, each part aligned.
int64_t countWorkspace(const DeviceManifest &function, const std::vector<int64_t> &dims);

} // namespace elfatt::runtime

#endif // ELFATT_LIB_RUNTIME_CUDA_H
