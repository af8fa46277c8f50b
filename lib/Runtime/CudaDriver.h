// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The CUDA driver as the runtime uses it, opened when it is first wanted.
#ifndef ELFATT_LIB_RUNTIME_CUDADRIVER_H
#define ELFATT_LIB_RUNTIME_CUDADRIVER_H

#include "elfatt/Runtime/CudaFunctions.h"

#include <string>

namespace elfatt::runtime {

class CudaDriver : public CudaFunctions {
public:
  /// The driver. Throws ELFATT_NO_DEVICE where there is none.
  static const CudaDriver &get();

  /// 12060 for CUDA 12.6.
  int getVersion() const;

  /// 87 for a device of compute capability 8.7: the current context's, or device
  /// 0's where there is no context.
  int getArchitecture() const;

  /// The current context, or device 0's primary one, then `*retained`.
  void *getContext(bool *retained) const;

  /// Throws ELFATT_DEVICE_ERROR, or ELFATT_NO_MEMORY, unless `result` is success.
  void check(int result, const std::string &what) const;

  /// What the driver calls an error: "CUDA_ERROR_INVALID_VALUE".
  std::string getName(int result) const;

  /// While it lives, `context` is the thread's current one.
  class Scope {
  public:
    Scope(const CudaDriver &driver, void *context);
    ~Scope();
    Scope(const Scope &) = delete;

  private:
    const CudaDriver &driver;
  };

  int functionSetSharedBytes(void *function, uint32_t bytes) const;

private:
  CudaDriver();
};

} // namespace elfatt::runtime

#endif // ELFATT_LIB_RUNTIME_CUDADRIVER_H
