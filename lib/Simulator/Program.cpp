// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RewriteIntrinsics.h"

#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/TargetSelect.h"

#include <cmath>
#include <cstring>

using namespace llvm;
using namespace elfatt::sim;

namespace {
/// Bits of shared memory that nobody has written: a NaN in f16, bf16 and f32.
constexpr int kPoisonByte = 0xff;

void hostBarrier(uint32_t site) { Block::current()->barrier(site); }

void hostCollective(uint32_t op, uint32_t site, const uint32_t *in, uint32_t *out) {
  Block::current()->collective(static_cast<WarpOp>(op), site, in, out);
}

uint32_t hostSpecial(uint32_t which) {
  return Block::current()->special(static_cast<Special>(which));
}

/// ex2.approx.ftz: subnormal inputs and results are zero.
float hostExp2(float x) {
  Block::current()->countExp2();
  float y = std::exp2(std::fpclassify(x) == FP_SUBNORMAL ? 0.0f : x);
  return std::fpclassify(y) == FP_SUBNORMAL ? 0.0f : y;
}

// Conversions that hosts without the instructions call.
_Float16 truncateToHalf(float x) { return static_cast<_Float16>(x); }
float extendHalf(_Float16 x) { return static_cast<float>(x); }
__bf16 truncateToBFloat(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  uint32_t rounded = std::isnan(x) ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1);
  return std::bit_cast<__bf16>(static_cast<uint16_t>(rounded >> 16));
}

template <typename F> orc::ExecutorSymbolDef symbol(F *function) {
  return {orc::ExecutorAddr::fromPtr(function),
          JITSymbolFlags::Exported | JITSymbolFlags::Callable};
}
} // namespace

struct Program::Impl {
  std::unique_ptr<orc::LLJIT> jit;
  RewrittenModule module;
  /// Address and size of each shared array.
  std::vector<std::pair<void *, size_t>> shared;
};

Program::Program(std::unique_ptr<Impl> impl) : impl(std::move(impl)) {}
Program::~Program() = default;

Expected<std::unique_ptr<Program>> Program::create(std::unique_ptr<LLVMContext> context,
                                                   std::unique_ptr<Module> module) {
  Expected<RewrittenModule> rewritten = rewriteForHost(*module);
  if (!rewritten)
    return rewritten.takeError();
  auto impl = std::make_unique<Impl>();
  impl->module = std::move(*rewritten);

  InitializeNativeTarget();
  InitializeNativeTargetAsmPrinter();
  Expected<orc::JITTargetMachineBuilder> machine = orc::JITTargetMachineBuilder::detectHost();
  if (!machine)
    return machine.takeError();
  machine->setCodeGenOptLevel(CodeGenOptLevel::Default);
  module->setTargetTriple(machine->getTargetTriple());
  Expected<std::unique_ptr<orc::LLJIT>> jit =
      orc::LLJITBuilder().setJITTargetMachineBuilder(std::move(*machine)).create();
  if (!jit)
    return jit.takeError();
  impl->jit = std::move(*jit);
  module->setDataLayout(impl->jit->getDataLayout());
  orc::MangleAndInterner mangle(impl->jit->getExecutionSession(), impl->jit->getDataLayout());
  orc::SymbolMap symbols = {{mangle(kBarrierFunction), symbol(hostBarrier)},
                            {mangle(kCollectiveFunction), symbol(hostCollective)},
                            {mangle(kSpecialFunction), symbol(hostSpecial)},
                            {mangle(kExp2Function), symbol(hostExp2)},
                            {mangle("__truncsfhf2"), symbol(truncateToHalf)},
                            {mangle("__extendhfsf2"), symbol(extendHalf)},
                            {mangle("__truncsfbf2"), symbol(truncateToBFloat)}};
  if (Error error = impl->jit->getMainJITDylib().define(orc::absoluteSymbols(std::move(symbols))))
    return std::move(error);
  if (Error error =
          impl->jit->addIRModule(orc::ThreadSafeModule(std::move(module), std::move(context))))
    return std::move(error);
  for (const SharedArray &array : impl->module.shared) {
    Expected<orc::ExecutorAddr> address = impl->jit->lookup(array.name);
    if (!address)
      return address.takeError();
    impl->shared.push_back({address->toPtr<void *>(), array.bytes});
  }
  return std::unique_ptr<Program>(new Program(std::move(impl)));
}

Expected<std::unique_ptr<Program>> Program::createFromBitcode(StringRef bitcode) {
  auto context = std::make_unique<LLVMContext>();
  Expected<std::unique_ptr<Module>> module =
      parseBitcodeFile(MemoryBufferRef(bitcode, "kernels"), *context);
  if (!module)
    return module.takeError();
  return create(std::move(context), std::move(*module));
}

std::vector<std::string> Program::getKernels() const {
  std::vector<std::string> names;
  for (const RewrittenKernel &kernel : impl->module.kernels)
    names.push_back(kernel.name);
  return names;
}

size_t Program::getNumArguments(StringRef name) const {
  auto it = find_if(impl->module.kernels, [&](auto &kernel) { return kernel.name == name; });
  return it == impl->module.kernels.end() ? 0 : it->numArguments;
}

Expected<LaunchCounts> Program::launch(StringRef kernel, const LaunchConfig &config,
                                       ArrayRef<void *> args) {
  if (none_of(impl->module.kernels, [&](auto &known) { return known.name == kernel; }))
    return createStringError("no kernel '" + kernel + "'");
  if (args.size() != getNumArguments(kernel))
    return createStringError("kernel '" + kernel + "': expected " + Twine(getNumArguments(kernel)) +
                             " arguments, got " + Twine(args.size()));
  if (config.block.count() == 0 || config.block.count() > 1024)
    return createStringError("kernel '" + kernel + "': expected 1 to 1024 threads a block, got " +
                             Twine(config.block.count()));
  Expected<orc::ExecutorAddr> entry = impl->jit->lookup((kEntryPrefix + kernel).str());
  if (!entry)
    return entry.takeError();
  if (config.dynamicShared > kMaxDynamicShared)
    return createStringError("kernel '" + kernel + "': expected at most " +
                             Twine(kMaxDynamicShared) + " bytes of dynamic shared memory, got " +
                             Twine(config.dynamicShared));
  LaunchCounts counts;
  Block block(config, impl->module.sites, counts);
  for (uint32_t z = 0; z < config.grid.z; ++z)
    for (uint32_t y = 0; y < config.grid.y; ++y)
      for (uint32_t x = 0; x < config.grid.x; ++x) {
        for (auto [address, bytes] : impl->shared)
          std::memset(address, kPoisonByte, bytes);
        if (Error error = block.run(entry->toPtr<Block::Entry>(), const_cast<void **>(args.data()),
                                    {x, y, z}))
          return createStringError("kernel '" + kernel + "', " + toString(std::move(error)));
      }
  return counts;
}
