// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Cuda.h"

#include "elfatt/Runtime/CudaFunctions.h"
#include "elfatt/Target/Ptxas.h"

#include "llvm/Support/DynamicLibrary.h"

using llvm::Error;
using llvm::Expected;

namespace elfatt::run {

class CudaDriver : public runtime::CudaFunctions {
public:
  static Expected<std::unique_ptr<CudaDriver>> open() {
    std::string why;
    auto library = llvm::sys::DynamicLibrary::getPermanentLibrary("libcuda.so.1", &why);
    if (!library.isValid())
      return llvm::createStringError("no CUDA driver: " + why);
    auto driver = std::make_unique<CudaDriver>();
    const char *missing =
        driver->find([&](const char *name) { return library.getAddressOfSymbol(name); });
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
  for (auto [value, attribute] : {std::pair(&major, runtime::kComputeCapabilityMajor),
                                  std::pair(&minor, runtime::kComputeCapabilityMinor)})
    if (Error error = driver.check(driver.deviceGetAttribute(value, attribute, device),
                                   "cannot ask the device for its compute capability"))
      return std::move(error);
  if (Error error =
          driver.check(driver.driverGetVersion(&version), "cannot ask for the driver's version"))
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
  for (auto [value, attribute] :
       {std::pair(&kernel.usage.registers, runtime::kRegisters),
        std::pair(&kernel.usage.staticShared, runtime::kStaticSharedBytes)})
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
          driver->functionSetAttribute(kernel.function, runtime::kMaxDynamicSharedBytes,
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
