// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Device.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

using namespace mlir;
using llvm::Error;
using llvm::Expected;

namespace elfatt::run {

Expected<std::unique_ptr<Device>> Device::take(ModuleOp module, Cuda &cuda,
                                               const Profile &profile) {
  std::unique_ptr<Device> device(new Device(cuda));
  device->readLaunches(module, profile);
  for (auto binary : llvm::make_early_inc_range(module.getOps<mlir::gpu::BinaryOp>())) {
    auto object = cast<mlir::gpu::ObjectAttr>(binary.getObjects()[0]);
    // PTX is text to the driver, up to a zero.
    std::string image = object.getObject().getValue().str();
    Expected<void *> loaded = cuda.load(image);
    if (!loaded)
      return loaded.takeError();
    for (const Launch &launch : device->launches)
      if (auto kernel = cuda.find(*loaded, launch.kernel))
        device->kernels[launch.kernel] = *kernel;
      else // It may be another binary's.
        llvm::consumeError(kernel.takeError());
    binary.erase();
  }
  for (const Launch &launch : device->launches)
    if (!device->kernels.contains(launch.kernel))
      return llvm::createStringError("no kernel '" + launch.kernel + "' in the code for " +
                                     cuda.getTarget().chip->name);
  return device;
}

Error Device::run(Request request) {
  const std::string &name = launches[request.number].kernel;
  auto failed = [&](Error error) {
    return llvm::createStringError("kernel '" + name + "': " + llvm::toString(std::move(error)));
  };
  const Cuda::Kernel &kernel = kernels[name];
  std::vector<Cuda::Memory> memory;
  for (const sim::Buffer &buffer : request.buffers) {
    Expected<Cuda::Memory> allocated = cuda.allocate(buffer.bytes);
    if (!allocated)
      return failed(allocated.takeError());
    memory.push_back(std::move(*allocated));
    if (Error error = cuda.copyTo(memory.back().get(), buffer.data, buffer.bytes))
      return failed(std::move(error));
  }
  std::vector<int64_t> words;
  for (const int64_t *argument : request.arguments) {
    words.push_back(*argument);
    if (argument[1] == 0)
      continue;
    for (auto [buffer, copy] : llvm::zip_equal(request.buffers, memory)) {
      auto offset = static_cast<uint64_t>(*argument) - reinterpret_cast<uintptr_t>(buffer.data);
      if (offset < buffer.bytes)
        words.back() = static_cast<int64_t>(copy.get() + offset);
    }
  }
  std::vector<void *> arguments;
  for (int64_t &word : words)
    arguments.push_back(&word);
  Expected<double> us =
      cuda.launch(kernel, request.grid, request.block, request.dynamicShared, arguments);
  if (!us)
    return failed(us.takeError());
  for (auto [buffer, copy] : llvm::zip_equal(request.buffers, memory))
    if (buffer.isWritable)
      if (Error error = cuda.copyFrom(const_cast<void *>(buffer.data), copy.get(), buffer.bytes))
        return failed(std::move(error));

  Expected<int> blocks = cuda.countBlocksPerSM(kernel, request.block, request.dynamicShared);
  if (!blocks)
    return failed(blocks.takeError());
  Record &record = records[request.number];
  record.grid = request.grid;
  record.block = request.block;
  record.sharedBytes = request.dynamicShared + kernel.usage.staticShared;
  record.blocksPerSM = *blocks;
  record.microseconds.push_back(*us);
  return Error::success();
}

llvm::json::Array Device::takeRecords(llvm::StringRef target) {
  llvm::json::Array result;
  auto orNull = [](auto value) {
    return value ? llvm::json::Value(*value) : llvm::json::Value(nullptr);
  };
  for (auto &[number, record] : records) {
    const Launch &launch = launches[number];
    llvm::sort(record.microseconds);
    llvm::json::Object object{{"name", launch.kernel},
                              {"op", orNull(launch.site)},
                              {"target", target},
                              {"grid", {record.grid.x, record.grid.y, record.grid.z}},
                              {"block", {record.block.x, record.block.y, record.block.z}},
                              {"floor_bytes", orNull(launch.floorBytes)},
                              {"registers", kernels[launch.kernel].usage.registers},
                              {"shared_bytes", record.sharedBytes},
                              {"blocks_per_sm", record.blocksPerSM},
                              {"measured_us", record.microseconds[record.microseconds.size() / 2]}};
    // The simulator counts these.
    for (const char *key : {"global_bytes_read", "global_bytes_written", "dram_bytes_read",
                            "dram_bytes_written", "sector_efficiency", "bank_conflicts", "mma",
                            "ex2", "barriers", "spill_bytes", "predicted_us", "limited_by"})
      object[key] = nullptr;
    result.push_back(std::move(object));
  }
  records.clear();
  return result;
}

} // namespace elfatt::run
