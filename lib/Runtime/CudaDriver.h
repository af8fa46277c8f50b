// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The few functions of libcuda that the runtime calls, found when it is first
// used: the library is not linked, and its header is not needed.
#ifndef ELFATT_LIB_RUNTIME_CUDADRIVER_H
#define ELFATT_LIB_RUNTIME_CUDADRIVER_H

#include <cstdint>
#include <string>

namespace elfatt::runtime {

class CudaDriver {
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

  // Names and parameters are the driver API's; handles are pointers, results 0
  // for success.
  int (*init)(unsigned);
  int (*driverGetVersion)(int *);
  int (*deviceGet)(int *, int);
  int (*deviceGetAttribute)(int *, int, int);
  int (*contextGetCurrent)(void **);
  int (*contextGetDevice)(int *);
  int (*contextPush)(void *);
  int (*contextPop)(void **);
  int (*primaryContextRetain)(void **, int);
  int (*primaryContextRelease)(int);
  int (*moduleLoadData)(void **, const void *);
  int (*moduleUnload)(void *);
  int (*moduleGetFunction)(void **, void *, const char *);
  int (*functionSetAttribute)(void *, int, int);
  int (*launchKernel)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                      void *, void **, void **);
  int (*getErrorName)(int, const char **);

private:
  CudaDriver();
};

} // namespace elfatt::runtime

#endif // ELFATT_LIB_RUNTIME_CUDADRIVER_H
