// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Cuda.h"

#include "elfatt/Target/Ptxas.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/DynamicLibrary.h"

using llvm::Error;
using llvm::Expected;

namespace elfatt::run {

namespace {
// Of cuda.h.
constexpr int kComputeCapabilityMajor = 75, kComputeCapabilityMinor = 76;
constexpr int kStaticSharedBytes = 1, kRegisters = 4, kMaxDynamicSharedBytes = 8;
} // namespace

/// The functions of libcuda that are called. Names and parameters are the driver API's; handles
/// are pointers, results 0 for success.
class CudaDriver {
public:
  static Expected<std::unique_ptr<CudaDriver>> open() {
    std::string why;
    auto library = llvm::sys::DynamicLibrary::getPermanentLibrary("libcuda.so.1", &why);
    if (!library.isValid())
      return llvm::createStringError("no CUDA driver: " + why);
    auto driver = std::make_unique<CudaDriver>();
    const char *missing = nullptr;
    auto find = [&](auto &function, const char *name) {
      function =
          reinterpret_cast<std::decay_t<decltype(function)>>(library.getAddressOfSymbol(name));
      if (!function && !missing)
        missing = name;
    };
    find(driver->init, "cuInit");
    find(driver->getVersion, "cuDriverGetVersion");
    find(driver->deviceGet, "cuDeviceGet");
    find(driver->deviceGetAttribute, "cuDeviceGetAttribute");
    find(driver->contextPush, "cuCtxPushCurrent_v2");
    find(driver->contextPop, "cuCtxPopCurrent_v2");
    find(driver->contextSynchronize, "cuCtxSynchronize");
    find(driver->primaryContextRetain, "cuDevicePrimaryCtxRetain");
    find(driver->primaryContextRelease, "cuDevicePrimaryCtxRelease");
    find(driver->moduleLoadData, "cuModuleLoadData");
    find(driver->moduleUnload, "cuModuleUnload");
    find(driver->moduleGetFunction, "cuModuleGetFunction");
    find(driver->functionGetAttribute, "cuFuncGetAttribute");
    find(driver->functionSetAttribute, "cuFuncSetAttribute");
    find(driver->occupancy, "cuOccupancyMaxActiveBlocksPerMultiprocessor");
    find(driver->memoryAllocate, "cuMemAlloc_v2");
    find(driver->memoryFree, "cuMemFree_v2");
    find(driver->copyToDevice, "cuMemcpyHtoD_v2");
    find(driver->copyToHost, "cuMemcpyDtoH_v2");
    find(driver->eventCreate, "cuEventCreate");
    find(driver->eventRecord, "cuEventRecord");
    find(driver->eventSynchronize, "cuEventSynchronize");
    find(driver->eventElapsed, "cuEventElapsedTime");
    find(driver->eventDestroy, "cuEventDestroy_v2");
    find(driver->launchKernel, "cuLaunchKernel");
    find(driver->getErrorName, "cuGetErrorName");
    if (missing)
      return llvm::createStringError("the CUDA driver lacks " + llvm::Twine(missing));
    return driver;
  }

  Error check(int result, const llvm::Twine &what) const {
    if (result == 0)
      return Error::success();
    const char *name = nullptr;
    getErrorName(result, &name);
    return llvm::createStringError(what + ": " + (name ? name : "error " + std::to_string(result)));
  }

  int (*init)(unsigned);
  int (*getVersion)(int *);
  int (*deviceGet)(int *, int);
  int (*deviceGetAttribute)(int *, int, int);
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
  int (*memoryAllocate)(DevicePointer *, size_t);
  int (*memoryFree)(DevicePointer);
  int (*copyToDevice)(DevicePointer, const void *, size_t);
  int (*copyToHost)(void *, DevicePointer, size_t);
  int (*eventCreate)(void **, unsigned);
  int (*eventRecord)(void *, void *);
  int (*eventSynchronize)(void *);
  int (*eventElapsed)(float *, void *, void *);
  int (*eventDestroy)(void *);
  int (*launchKernel)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                      void *, void **, void **);
  int (*getErrorName)(int, const char **);
};

/// The newest release whose PTX a driver of that version (12060) loads.
static llvm::StringRef findRelease(int version) {
  llvm::StringRef newest;
  for (const target::CudaRelease &release : target::getCudaReleases())
    if (target::getFirstRelease(release.ptx) <= version)
      newest = release.name;
  return newest;
}

Cuda::Cuda(std::unique_ptr<CudaDriver> driver) : driver(std::move(driver)) {}

Expected<std::unique_ptr<Cuda>> Cuda::open() {
  auto opened = CudaDriver::open();
  if (!opened)
    return opened.takeError();
  std::unique_ptr<Cuda> cuda(new Cuda(std::move(*opened)));
  const CudaDriver &driver = *cuda->driver;
  int device = 0, major = 0, minor = 0, version = 0;
  if (Error error = driver.check(driver.init(0), "the CUDA driver does not start"))
    return std::move(error);
  if (Error error = driver.check(driver.deviceGet(&device, 0), "the CUDA driver has no device"))
    return std::move(error);
  for (auto [value, attribute] :
       {std::pair(&major, kComputeCapabilityMajor), std::pair(&minor, kComputeCapabilityMinor)})
    if (Error error = driver.check(driver.deviceGetAttribute(value, attribute, device),
                                   "cannot ask the device for its compute capability"))
      return std::move(error);
  if (Error error =
          driver.check(driver.getVersion(&version), "cannot ask for the driver's version"))
    return std::move(error);

  const int architecture = major * 10 + minor;
  const target::Chip *chip = nullptr;
  for (const target::Chip &known : target::getChips())
    if (known.version() <= architecture && (!chip || known.version() > chip->version()))
      chip = &known;
  llvm::StringRef release = findRelease(version);
  if (!chip || release.empty())
    return llvm::createStringError("no code for sm_%d on a driver of CUDA %d.%d", architecture,
                                   version / 1000, version % 1000 / 10);
  auto target = target::parseChipTarget((chip->name + ":cuda=" + release).str());
  if (!target)
    return target.takeError();
  cuda->target = std::move(*target);
  cuda->exact = chip->version() == architecture;

  void *context = nullptr;
  if (Error error = driver.check(driver.primaryContextRetain(&context, device),
                                 "cannot make a context on device 0"))
    return std::move(error);
  cuda->retained = true;
  if (Error error = driver.check(driver.contextPush(context), "cannot enter the context"))
    return std::move(error);
  for (void **event : {&cuda->begin, &cuda->end})
    if (Error error = driver.check(driver.eventCreate(event, 0), "cannot make an event"))
      return std::move(error);
  return cuda;
}

Cuda::~Cuda() {
  for (void *module : modules)
    driver->moduleUnload(module);
  for (void *event : {begin, end})
    if (event)
      driver->eventDestroy(event);
  if (!retained)
    return;
  void *popped;
  driver->contextPop(&popped);
  driver->primaryContextRelease(0);
}

Cuda::Memory::~Memory() {
  if (pointer)
    cuda->driver->memoryFree(pointer);
}

Expected<Cuda::Memory> Cuda::allocate(uint64_t bytes) const {
  DevicePointer pointer = 0;
  if (Error error = driver->check(driver->memoryAllocate(&pointer, std::max<uint64_t>(bytes, 1)),
                                  "cannot allocate " + llvm::Twine(bytes) + " bytes on the device"))
    return std::move(error);
  return Memory(*this, pointer);
}

Error Cuda::copyTo(DevicePointer to, const void *from, uint64_t bytes) const {
  return bytes ? driver->check(driver->copyToDevice(to, from, bytes), "cannot copy to the device")
               : Error::success();
}

Error Cuda::copyFrom(void *to, DevicePointer from, uint64_t bytes) const {
  return bytes ? driver->check(driver->copyToHost(to, from, bytes), "cannot copy from the device")
               : Error::success();
}

Expected<void *> Cuda::load(llvm::StringRef image) {
  void *module = nullptr;
  if (Error error =
          driver->check(driver->moduleLoadData(&module, image.data()), "cannot load the kernels"))
    return std::move(error);
  modules.push_back(module);
  return module;
}

Expected<Cuda::Kernel> Cuda::find(void *module, const std::string &name) const {
  Kernel kernel;
  std::string what = "kernel '" + name + "'";
  if (Error error = driver->check(driver->moduleGetFunction(&kernel.function, module, name.c_str()),
                                  "cannot find " + what))
    return std::move(error);
  for (auto [value, attribute] : {std::pair(&kernel.usage.registers, kRegisters),
                                  std::pair(&kernel.usage.staticShared, kStaticSharedBytes)})
    if (Error error = driver->check(driver->functionGetAttribute(value, attribute, kernel.function),
                                    "cannot ask " + what))
      return std::move(error);
  return kernel;
}

Expected<double> Cuda::launch(const Kernel &kernel, sim::Dim3 grid, sim::Dim3 block,
                              uint32_t dynamicShared, llvm::ArrayRef<void *> arguments) const {
  std::vector<void *> pointers = arguments.vec();
  float ms = 0;
  if (Error error = driver->check(
          driver->functionSetAttribute(kernel.function, kMaxDynamicSharedBytes,
                                       static_cast<int>(dynamicShared)),
          "cannot have " + llvm::Twine(dynamicShared) + " bytes of shared memory a block"))
    return std::move(error);
  if (Error error = driver->check(driver->eventRecord(begin, nullptr), "cannot record an event"))
    return std::move(error);
  if (Error error = driver->check(driver->launchKernel(kernel.function, grid.x, grid.y, grid.z,
                                                       block.x, block.y, block.z, dynamicShared,
                                                       nullptr, pointers.data(), nullptr),
                                  "cannot launch"))
    return std::move(error);
  if (Error error = driver->check(driver->eventRecord(end, nullptr), "cannot record an event"))
    return std::move(error);
  if (Error error = driver->check(driver->eventSynchronize(end), "failed"))
    return std::move(error);
  if (Error error = driver->check(driver->eventElapsed(&ms, begin, end), "cannot read events"))
    return std::move(error);
  return ms * 1e3;
}

Expected<int> Cuda::countBlocksPerSM(const Kernel &kernel, sim::Dim3 block,
                                     uint32_t dynamicShared) const {
  int blocks = 0;
  if (Error error = driver->check(
          driver->occupancy(&blocks, kernel.function, block.x * block.y * block.z, dynamicShared),
          "cannot ask for the occupancy"))
    return std::move(error);
  return blocks;
}

Error Cuda::synchronize() const {
  return driver->check(driver->contextSynchronize(), "the device failed");
}

} // namespace elfatt::run
