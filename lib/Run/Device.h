// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The kernels of a model on a GPU, launched from its host code.
#ifndef ELFATT_LIB_RUN_DEVICE_H
#define ELFATT_LIB_RUN_DEVICE_H

#include "Cuda.h"

#include "elfatt/Run/Launcher.h"

#include "llvm/ADT/StringMap.h"

namespace elfatt::run {

/// What a kernel reads goes to the device before it, and what it may write comes back after it:
/// the rest of the model is the host's.
class Device : public Launcher {
public:
  /// Loads the kernels of a module that buildGPULaunchPipeline has lowered to PTX or a cubin.
  static llvm::Expected<std::unique_ptr<Device>> take(mlir::ModuleOp module, Cuda &cuda,
                                                      const Profile &profile);

  /// One record a launch in the model's code: `measured_us` is the median of its runs, on the
  /// device alone.
  llvm::json::Array takeRecords(llvm::StringRef target) override;

private:
  explicit Device(const Cuda &cuda) : cuda(cuda) {}
  llvm::Error run(Request request) override;

  struct Record {
    sim::Dim3 grid, block;
    int64_t sharedBytes;
    int blocksPerSM;
    std::vector<double> microseconds;
  };
  const Cuda &cuda;
  llvm::StringMap<Cuda::Kernel> kernels;
  std::map<size_t, Record> records; ///< by launch
};

} // namespace elfatt::run

#endif // ELFATT_LIB_RUN_DEVICE_H
