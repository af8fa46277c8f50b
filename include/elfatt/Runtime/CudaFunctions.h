// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The functions of libcuda that are called. They are found by name when a GPU is first wanted:
// neither the library nor its header is needed to build. No LLVM inside, as bundles carry it.
#ifndef ELFATT_RUNTIME_CUDAFUNCTIONS_H
#define ELFATT_RUNTIME_CUDAFUNCTIONS_H

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace elfatt::runtime {

/// Of cuda.h: attributes of a device (CUdevice_attribute) and of a function.
inline constexpr int kComputeCapabilityMajor = 75, kComputeCapabilityMinor = 76;
inline constexpr int kStaticSharedBytes = 1, kRegisters = 4, kMaxDynamicSharedBytes = 8;

/// Names and parameters are the driver API's; handles are pointers, but a CUdeviceptr is a number;
/// results are 0 for success.
struct CudaFunctions {
  int (*init)(unsigned);
  int (*driverGetVersion)(int *);
  int (*getErrorName)(int, const char **);

  int (*deviceGet)(int *, int);
  int (*deviceGetAttribute)(int *, int, int);

  int (*contextGetCurrent)(void **);
  int (*contextGetDevice)(int *);
  int (*contextPush)(void *);
  int (*contextPop)(void **);
  int (*contextSynchronize)();
  int (*primaryContextRetain)(void **, int);
  int (*primaryContextRelease)(int);

  int (*moduleLoadData)(void **, const void *);
  int (*moduleUnload)(void *);
  int (*moduleGetFunction)(void **, void *, const char *);
  int (*functionGetAttribute)(int *, int, void *);
  int (*functionSetAttribute)(void *, int, int);
  int (*occupancy)(int *, void *, int, size_t);
  int (*launchKernel)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                      void *, void **, void **);

  int (*memoryAllocate)(uint64_t *, size_t);
  int (*memoryFree)(uint64_t);
  int (*copyToDevice)(uint64_t, const void *, size_t);
  int (*copyToHost)(void *, uint64_t, size_t);

  int (*eventCreate)(void **, unsigned);
  int (*eventRecord)(void *, void *);
  int (*eventSynchronize)(void *);
  int (*eventElapsed)(float *, void *, void *);
  int (*eventDestroy)(void *);

  /// Fills in the address of each, which `getAddress(name)` gives as a void *. Returns the name of
  /// the first that the library lacks, or null.
  template <typename GetAddress> const char *find(GetAddress getAddress) {
    const char *missing = nullptr;
    auto get = [&](auto &function, const char *name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(getAddress(name));
      if (!function && !missing)
        missing = name;
    };
    get(init, "cuInit");
    get(driverGetVersion, "cuDriverGetVersion");
    get(getErrorName, "cuGetErrorName");
    get(deviceGet, "cuDeviceGet");
    get(deviceGetAttribute, "cuDeviceGetAttribute");
    get(contextGetCurrent, "cuCtxGetCurrent");
    get(contextGetDevice, "cuCtxGetDevice");
    get(contextPush, "cuCtxPushCurrent_v2");
    get(contextPop, "cuCtxPopCurrent_v2");
    get(contextSynchronize, "cuCtxSynchronize");
    get(primaryContextRetain, "cuDevicePrimaryCtxRetain");
    get(primaryContextRelease, "cuDevicePrimaryCtxRelease");
    get(moduleLoadData, "cuModuleLoadData");
    get(moduleUnload, "cuModuleUnload");
    get(moduleGetFunction, "cuModuleGetFunction");
    get(functionGetAttribute, "cuFuncGetAttribute");
    get(functionSetAttribute, "cuFuncSetAttribute");
    get(occupancy, "cuOccupancyMaxActiveBlocksPerMultiprocessor");
    get(launchKernel, "cuLaunchKernel");
    get(memoryAllocate, "cuMemAlloc_v2");
    get(memoryFree, "cuMemFree_v2");
    get(copyToDevice, "cuMemcpyHtoD_v2");
    get(copyToHost, "cuMemcpyDtoH_v2");
    get(eventCreate, "cuEventCreate");
    get(eventRecord, "cuEventRecord");
    get(eventSynchronize, "cuEventSynchronize");
    get(eventElapsed, "cuEventElapsedTime");
    get(eventDestroy, "cuEventDestroy_v2");
    return missing;
  }
};

} // namespace elfatt::runtime

#endif // ELFATT_RUNTIME_CUDAFUNCTIONS_H
