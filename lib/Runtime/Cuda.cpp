// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Cuda.h"

#include "CudaDriver.h"
#include "Error.h"

#include <algorithm>
#include <iterator>
#include <tuple>

namespace elfatt::runtime {
namespace {

constexpr int64_t kWorkspaceAlignment = 256;
/// Kernels read and write so many bytes at once, and fault where an array does not
/// begin at a multiple of them (elfatt::gpu::kPointerAlignment).
constexpr uintptr_t kArrayAlignment = 16;
/// More dynamic shared memory than this must be asked for.
constexpr int64_t kDefaultSharedBytes = 48 * 1024;

/// Of cuda.h: what a driver says of an image that is not for it or its device.
/// CUDA_ERROR_INVALID_IMAGE, NO_BINARY_FOR_GPU, INVALID_PTX,
/// JIT_COMPILER_NOT_FOUND, UNSUPPORTED_PTX_VERSION, JIT_COMPILATION_DISABLED.
constexpr int kNotLoadable[] = {200, 209, 218, 221, 222, 223};
/// Jetson Nano, TX2, Xavier, Orin and Thor, by the names of both toolkits.
constexpr int kTegra[] = {53, 62, 72, 87, 101, 110};

/// 87 of "sm_87"; 0 where it is no such name.
int parseArchitecture(const std::string &target) {
  if (target.rfind("sm_", 0) != 0 || target.size() > 6)
    return 0;
  int number = 0;
  for (char c : target.substr(3)) {
    if (c < '0' || c > '9')
      return 0;
    number = number * 10 + (c - '0');
  }
  return number;
}

int64_t alignUp(int64_t bytes) {
  int64_t sum;
  if (bytes < 0 || __builtin_add_overflow(bytes, kWorkspaceAlignment - 1, &sum))
    throw Error(ELFATT_BAD_ARGUMENT, "the workspace is too large");
  return sum / kWorkspaceAlignment * kWorkspaceAlignment;
}

/// Of the arrays that kernels take.
void checkAlignment(const DeviceManifest &function, const elfatt_tensor *inputs,
                    const elfatt_tensor *outputs) {
  for (const Launch &launch : function.launches)
    for (const KernelArgument &argument : launch.arguments) {
      bool isInput = argument.kind == KernelArgument::Kind::Argument;
      if (!isInput && argument.kind != KernelArgument::Kind::Result)
        continue;
      const elfatt_tensor &array = (isInput ? inputs : outputs)[argument.number];
      if (reinterpret_cast<uintptr_t>(array.data) % kArrayAlignment != 0)
        throw Error(ELFATT_BAD_ARGUMENT,
                    (isInput ? "input " : "output ") + std::to_string(argument.number) +
                        ": the data is not aligned to 16 bytes, which kernels move at once");
    }
}

uint32_t toExtent(int64_t value, const std::string &kernel) {
  if (value < 0 || value > INT32_MAX)
    throw Error(ELFATT_BAD_ARGUMENT, "kernel '" + kernel + "': an extent of " +
                                         std::to_string(value) +
                                         " in its launch, expected at most 2147483647");
  return static_cast<uint32_t>(value);
}

} // namespace

int newestPtx(int driverVersion) {
  int major = driverVersion / 1000, minor = driverVersion % 1000 / 10;
  switch (major) {
  case 9:
    return 60 + minor;
  case 10:
    return 63 + minor;
  case 11:
    return 70 + minor;
  case 12:
    // 12.6 brought no new version.
    return minor <= 5 ? 80 + minor : 79 + minor;
  default:
    return major < 9 ? 0 : 90 + (major == 13 ? minor : 9);
  }
}

bool runsCubin(int known, int architecture) {
  if (known == architecture)
    return true;
  auto isTegra = [](int chip) {
    return std::find(std::begin(kTegra), std::end(kTegra), chip) != std::end(kTegra);
  };
  return known / 10 == architecture / 10 && known < architecture && !isTegra(known) &&
         !isTegra(architecture);
}

std::vector<const CodeManifest *> listDeviceCode(const std::vector<CodeManifest> &code,
                                                 int architecture, int driverVersion) {
  auto fitsCubin = [&](const CodeManifest &entry) {
    return (entry.format == "cubin" || entry.format == "fatbin") &&
           runsCubin(parseArchitecture(entry.target), architecture) &&
           entry.cudaVersion <= driverVersion;
  };
  auto fitsPtx = [&](const CodeManifest &entry) {
    return (entry.format == "ptx" || entry.format == "fatbin") &&
           parseArchitecture(entry.target) <= architecture &&
           entry.ptxVersion <= newestPtx(driverVersion);
  };
  std::vector<const CodeManifest *> usable;
  for (const CodeManifest &entry : code)
    if (parseArchitecture(entry.target) != 0 && (fitsCubin(entry) || fitsPtx(entry)))
      usable.push_back(&entry);
  auto rank = [&](const CodeManifest *entry) {
    return std::tuple(fitsCubin(*entry), parseArchitecture(entry->target),
                      entry->ptxVersion + entry->cudaVersion);
  };
  // Of equal ones the manifest's first.
  std::sort(usable.begin(), usable.end(), [&](auto *a, auto *b) {
    return rank(a) != rank(b) ? rank(a) > rank(b) : a < b;
  });
  return usable;
}

std::vector<const CodeManifest *> listDeviceCode(const std::vector<CodeManifest> &code) {
  const CudaDriver &driver = CudaDriver::get();
  int version = driver.getVersion(), architecture = driver.getArchitecture();
  std::vector<const CodeManifest *> usable = listDeviceCode(code, architecture, version);
  if (!usable.empty())
    return usable;
  auto release = [](int number) {
    return "CUDA " + std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
  };
  std::string present;
  for (const CodeManifest &entry : code) {
    if (parseArchitecture(entry.target) == 0)
      continue;
    present += (present.empty() ? "" : ", ") + entry.file;
    if (entry.ptxVersion)
      present += " (PTX " + std::to_string(entry.ptxVersion / 10) + "." +
                 std::to_string(entry.ptxVersion % 10) + ")";
    if (entry.cudaVersion)
      present += " (" + release(entry.cudaVersion) + ")";
  }
  throw Error(ELFATT_NOT_SUPPORTED,
              "the bundle has no code for sm_" + std::to_string(architecture) + " on a driver of " +
                  release(version) + "; it has " + (present.empty() ? "none for GPUs" : present));
}

CudaModule::CudaModule(const std::string &image, const std::string &name) {
  const CudaDriver &driver = CudaDriver::get();
  context = driver.getContext(&retained);
  int result;
  {
    CudaDriver::Scope scope(driver, context);
    // PTX ends with a zero byte, which the string brings.
    result = driver.moduleLoadData(&module, image.c_str());
  }
  if (result == 0)
    return;
  // There is no destructor for what is not constructed.
  if (retained)
    driver.primaryContextRelease(0);
  std::string what = "cannot load '" + name + "'";
  if (std::find(std::begin(kNotLoadable), std::end(kNotLoadable), result) != std::end(kNotLoadable))
    throw NotLoadable(what + ": " + driver.getName(result));
  driver.check(result, what);
}

CudaModule::~CudaModule() {
  const CudaDriver &driver = CudaDriver::get();
  driver.contextPush(context);
  driver.moduleUnload(module);
  void *popped;
  driver.contextPop(&popped);
  if (retained)
    driver.primaryContextRelease(0);
}

CudaKernel CudaModule::find(const Launch &launch) const {
  const CudaDriver &driver = CudaDriver::get();
  CudaDriver::Scope scope(driver, context);
  CudaKernel function = nullptr;
  driver.check(driver.moduleGetFunction(&function, module, launch.kernel.c_str()),
               "no kernel '" + launch.kernel + "' in the code");
  if (!launch.sharedBytes.isConstant())
    return function;
  int64_t shared = launch.sharedBytes.evaluate({});
  if (shared > kDefaultSharedBytes)
    if (int result = driver.functionSetSharedBytes(function, toExtent(shared, launch.kernel)))
      throw NotLoadable("kernel '" + launch.kernel + "': no " + std::to_string(shared) +
                        " bytes of shared memory: " + driver.getName(result));
  return function;
}

int64_t countWorkspace(const DeviceManifest &function, const std::vector<int64_t> &dims) {
  int64_t bytes = 0;
  for (const Expression &workspace : function.workspaces)
    if (__builtin_add_overflow(bytes, alignUp(workspace.evaluate(dims)), &bytes))
      throw Error(ELFATT_BAD_ARGUMENT, "the workspace is too large");
  return bytes;
}

void CudaModule::launch(const std::string &name, const DeviceManifest &function,
                        const std::vector<CudaKernel> &kernels, const std::vector<int64_t> &dims,
                        const elfatt_tensor *inputs, const elfatt_tensor *outputs, void *workspace,
                        int64_t workspaceBytes, void *stream) const {
  if (!function.hostCode.empty())
    throw Error(ELFATT_NOT_SUPPORTED,
                "'" + name + "' is not made of kernels alone: " + function.hostCode);
  int64_t needed = countWorkspace(function, dims);
  if (needed > 0 && !workspace)
    throw Error(ELFATT_BAD_ARGUMENT,
                "the workspace is null, expected " + std::to_string(needed) + " bytes");
  if (workspaceBytes < needed)
    throw Error(ELFATT_BAD_ARGUMENT, "a workspace of " + std::to_string(workspaceBytes) +
                                         " bytes, expected " + std::to_string(needed));
  if (needed > 0 && reinterpret_cast<uintptr_t>(workspace) % kWorkspaceAlignment != 0)
    throw Error(ELFATT_BAD_ARGUMENT, "the workspace is not aligned to 256 bytes");
  std::vector<int64_t> parts;
  int64_t offset = 0;
  for (const Expression &part : function.workspaces) {
    parts.push_back(offset);
    offset += alignUp(part.evaluate(dims));
  }
  auto toWord = [](const void *pointer) {
    return static_cast<int64_t>(reinterpret_cast<uintptr_t>(pointer));
  };
  checkAlignment(function, inputs, outputs);
  const CudaDriver &driver = CudaDriver::get();
  CudaDriver::Scope scope(driver, context);
  for (size_t i = 0; i < function.launches.size(); ++i) {
    const Launch &launch = function.launches[i];
    std::vector<int64_t> words;
    for (const KernelArgument &argument : launch.arguments) {
      using Kind = KernelArgument::Kind;
      if (argument.kind == Kind::Argument)
        words.push_back(toWord(inputs[argument.number].data));
      else if (argument.kind == Kind::Result)
        words.push_back(toWord(outputs[argument.number].data));
      else if (argument.kind == Kind::Workspace)
        words.push_back(toWord(workspace) + parts[argument.number]);
      else
        words.push_back(argument.value.evaluate(dims));
    }
    std::vector<void *> pointers;
    for (int64_t &word : words)
      pointers.push_back(&word);
    uint32_t grid[3], block[3];
    for (int d = 0; d < 3; ++d) {
      grid[d] = toExtent(launch.grid[d].evaluate(dims), launch.kernel);
      block[d] = toExtent(launch.block[d].evaluate(dims), launch.kernel);
    }
    int64_t shared = launch.sharedBytes.evaluate(dims);
    // No work, no launch: the driver refuses an empty grid.
    if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0)
      continue;
    if (shared > kDefaultSharedBytes && !launch.sharedBytes.isConstant())
      driver.check(driver.functionSetSharedBytes(kernels[i], toExtent(shared, launch.kernel)),
                   "kernel '" + launch.kernel + "': no " + std::to_string(shared) +
                       " bytes of shared memory");
    driver.check(driver.launchKernel(kernels[i], grid[0], grid[1], grid[2], block[0], block[1],
                                     block[2], toExtent(shared, launch.kernel), stream,
                                     pointers.data(), nullptr),
                 "cannot launch kernel '" + launch.kernel + "'");
  }
}

} // namespace elfatt::runtime
