// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Run/Launcher.h"

#include "Profile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"

#include <limits>

using namespace mlir;
using llvm::Error;

namespace elfatt::run {

static thread_local Launcher *current = nullptr;

Launcher::Scope::Scope(Launcher *launcher) : outer(std::exchange(current, launcher)) {}
Launcher::Scope::~Scope() { current = outer; }

cpu::JIT::Function Launcher::getLaunchFunction() {
  return {"elfatt_launch", reinterpret_cast<const void *>(&Launcher::launch)};
}

/// Two words for each argument lie in one array.
static size_t countArguments(func::CallOp call) {
  Value pointer = call.getOperands().back();
  if (auto cast = pointer.getDefiningOp<arith::IndexCastOp>())
    pointer = cast.getIn();
  auto extract = pointer.getDefiningOp<memref::ExtractAlignedPointerAsIndexOp>();
  return extract ? cast<MemRefType>(extract.getSource().getType()).getNumElements() / 2 : 0;
}

void Launcher::readLaunches(ModuleOp module, const Profile &profile) {
  if (auto names = module->getAttrOfType<ArrayAttr>("elfatt.kernels"))
    for (auto name : names.getAsRange<StringAttr>())
      launches.push_back({name.str(), 0, std::nullopt, std::nullopt});
  module.walk([&](func::CallOp call) {
    llvm::APInt number;
    if (call.getCallee() != getLaunchFunction().first ||
        !matchPattern(call.getOperand(0), m_ConstantInt(&number)))
      return;
    Launch &launch = launches[number.getZExtValue()];
    launch.numArguments = countArguments(call);
    launch.site = Profile::findSite(call.getLoc());
    if (launch.site)
      launch.floorBytes = profile.getBytes(*launch.site);
  });
}

static const char *endOf(const sim::Buffer &buffer) {
  return static_cast<const char *>(buffer.data) + buffer.bytes;
}

/// Views of one array become that array.
static std::vector<sim::Buffer> joinOverlaps(std::vector<sim::Buffer> buffers) {
  llvm::sort(buffers, [](auto &a, auto &b) { return a.data < b.data; });
  std::vector<sim::Buffer> result;
  for (sim::Buffer &buffer : buffers) {
    if (result.empty() || buffer.data >= endOf(result.back())) {
      result.push_back(std::move(buffer));
      continue;
    }
    sim::Buffer &last = result.back();
    last.bytes = std::max(endOf(last), endOf(buffer)) - static_cast<const char *>(last.data);
    if (last.name != buffer.name)
      last.name += ", " + buffer.name;
  }
  return result;
}

void Launcher::launch(int64_t kernel, int64_t gridX, int64_t gridY, int64_t gridZ, int64_t blockX,
                      int64_t blockY, int64_t blockZ, int64_t sharedBytes, int64_t arguments) {
  Launcher &self = *current;
  if (!self.failure.empty())
    return;
  const Launch &known = self.launches[kernel];
  for (int64_t extent : {gridX, gridY, gridZ, blockX, blockY, blockZ})
    if (extent < 0 || extent > std::numeric_limits<int32_t>::max()) {
      self.failure = "kernel '" + known.kernel + "': a grid of " + std::to_string(extent) +
                     " blocks, expected at most 2147483647";
      return;
    }
  auto u32 = [](int64_t value) { return static_cast<uint32_t>(value); };
  Request request{static_cast<size_t>(kernel),
                  {u32(gridX), u32(gridY), u32(gridZ)},
                  {u32(blockX), u32(blockY), u32(blockZ)},
                  u32(sharedBytes),
                  {},
                  {}};
  auto *words = reinterpret_cast<const int64_t *>(arguments);
  for (size_t i = 0; i < known.numArguments; ++i) {
    request.arguments.push_back(&words[2 * i]);
    if (auto bytes = static_cast<uint64_t>(words[2 * i + 1]))
      request.buffers.push_back({reinterpret_cast<const void *>(words[2 * i]), bytes,
                                 /*isWritable=*/true, "argument " + std::to_string(i)});
  }
  request.buffers = joinOverlaps(std::move(request.buffers));
  for (sim::Buffer &buffer : request.buffers)
    for (const sim::Buffer &range : self.readOnly)
      if (buffer.data >= range.data && buffer.data < endOf(range)) {
        buffer.isWritable = false;
        buffer.name += " (" + range.name + ")";
      }
  if (Error error = self.run(std::move(request)))
    self.failure = llvm::toString(std::move(error));
}

Error Launcher::takeError() {
  if (failure.empty())
    return Error::success();
  return llvm::createStringError(std::exchange(failure, {}));
}

} // namespace elfatt::run
