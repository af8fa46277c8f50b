// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CudaDriver.h"

#include "Error.h"

#include <dlfcn.h>

namespace elfatt::runtime {
namespace {
constexpr int kOutOfMemory = 2; // CUDA_ERROR_OUT_OF_MEMORY
} // namespace

CudaDriver::CudaDriver() {
  // Never closed: contexts of other libraries live in it.
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library)
    throw Error(ELFATT_NO_DEVICE, std::string("no CUDA driver: ") + dlerror());
  if (const char *missing = find([&](const char *name) { return dlsym(library, name); }))
    throw Error(ELFATT_NO_DEVICE, std::string("the CUDA driver lacks ") + missing);
  if (int result = init(0))
    throw Error(ELFATT_NO_DEVICE,
                "the CUDA driver does not start: error " + std::to_string(result));
}

const CudaDriver &CudaDriver::get() {
  static const CudaDriver driver;
  return driver;
}

void CudaDriver::check(int result, const std::string &what) const {
  if (result == 0)
    return;
  throw Error(result == kOutOfMemory ? ELFATT_NO_MEMORY : ELFATT_DEVICE_ERROR,
              what + ": " + getName(result));
}

std::string CudaDriver::getName(int result) const {
  const char *name = nullptr;
  getErrorName(result, &name);
  return name ? name : "error " + std::to_string(result);
}

int CudaDriver::getVersion() const {
  int version = 0;
  check(driverGetVersion(&version), "cannot ask the CUDA driver for its version");
  return version;
}

int CudaDriver::getArchitecture() const {
  void *context = nullptr;
  int device = 0, major = 0, minor = 0;
  check(contextGetCurrent(&context), "cannot find the current context");
  if (context)
    check(contextGetDevice(&device), "cannot find the current device");
  else if (deviceGet(&device, 0) != 0)
    throw Error(ELFATT_NO_DEVICE, "the CUDA driver has no device");
  check(deviceGetAttribute(&major, kComputeCapabilityMajor, device), "cannot ask the device");
  check(deviceGetAttribute(&minor, kComputeCapabilityMinor, device), "cannot ask the device");
  return major * 10 + minor;
}

void *CudaDriver::getContext(bool *retained) const {
  void *context = nullptr;
  check(contextGetCurrent(&context), "cannot find the current context");
  *retained = !context;
  if (!context)
    check(primaryContextRetain(&context, 0), "cannot make a context on device 0");
  return context;
}

int CudaDriver::functionSetSharedBytes(void *function, uint32_t bytes) const {
  return functionSetAttribute(function, kMaxDynamicSharedBytes, static_cast<int>(bytes));
}

CudaDriver::Scope::Scope(const CudaDriver &driver, void *context) : driver(driver) {
  driver.check(driver.contextPush(context), "cannot enter the context");
}

CudaDriver::Scope::~Scope() {
  void *popped;
  driver.contextPop(&popped);
}

} // namespace elfatt::runtime
