// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A GPU by the CUDA driver, which is opened when it is first wanted: neither it nor its
// header is needed to build.
#ifndef ELFATT_LIB_RUN_CUDA_H
#define ELFATT_LIB_RUN_CUDA_H

#include "elfatt/Simulator/Simulator.h"
#include "elfatt/Target/Chip.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

#include <memory>

namespace elfatt::run {

/// A CUdeviceptr.
using DevicePointer = uint64_t;

class CudaDriver;

/// Device 0 and its primary context, which is the thread's current one while this lives.
class Cuda {
public:
  /// The error says what is missing: the driver, a device, or a chip that is known.
  static llvm::Expected<std::unique_ptr<Cuda>> open();
  ~Cuda();
  Cuda(const Cuda &) = delete;

  /// The device and the newest driver release that it may take for itself. A device that is not
  /// known is served as the newest chip before it.
  const target::ChipTarget &getTarget() const { return target; }
  /// Whether the device is that chip, so that it runs its cubins.
  bool isExact() const { return exact; }

  /// Memory of the device.
  class Memory {
  public:
    Memory(const Cuda &cuda, DevicePointer pointer) : cuda(&cuda), pointer(pointer) {}
    Memory(Memory &&other) : cuda(other.cuda), pointer(std::exchange(other.pointer, 0)) {}
    ~Memory();
    DevicePointer get() const { return pointer; }

  private:
    const Cuda *cuda;
    DevicePointer pointer;
  };
  llvm::Expected<Memory> allocate(uint64_t bytes) const;
  llvm::Error copyTo(DevicePointer to, const void *from, uint64_t bytes) const;
  llvm::Error copyFrom(void *to, DevicePointer from, uint64_t bytes) const;

  /// What the driver says of a kernel.
  struct Usage {
    int registers = 0, staticShared = 0;
  };
  struct Kernel {
    void *function = nullptr; ///< CUfunction
    Usage usage;
  };
  /// Loads a cubin, or PTX that ends in a zero; it stays until the end.
  llvm::Expected<void *> load(llvm::StringRef image);
  llvm::Expected<Kernel> find(void *module, const std::string &kernel) const;

  /// Launches the kernel and waits for it; microseconds on the device. `arguments` point to the
  /// bits of each.
  llvm::Expected<double> launch(const Kernel &kernel, sim::Dim3 grid, sim::Dim3 block,
                                uint32_t dynamicShared, llvm::ArrayRef<void *> arguments) const;

  /// How many blocks a multiprocessor holds at once.
  llvm::Expected<int> countBlocksPerSM(const Kernel &kernel, sim::Dim3 block,
                                       uint32_t dynamicShared) const;

  /// Waits for all that was asked for.
  llvm::Error synchronize() const;

private:
  explicit Cuda(std::unique_ptr<CudaDriver> driver);
  std::unique_ptr<CudaDriver> driver;
  target::ChipTarget target;
  bool exact = false, retained = false;
  std::vector<void *> modules;
  void *begin = nullptr, *end = nullptr; ///< CUevent
};

} // namespace elfatt::run

#endif // ELFATT_LIB_RUN_CUDA_H
