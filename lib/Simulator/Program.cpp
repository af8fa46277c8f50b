// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Instrument.h"
#include "Intrinsics.h"
#include "Sample.h"

#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/TargetSelect.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

using namespace llvm;
using namespace elfatt::sim;

namespace {
/// Neighbouring blocks may have unlike work (rows of a causal softmax): small chips run more than
/// one wave of them.
constexpr uint64_t kFewestSampledBlocks = 128;

/// What a thread's stack has beside its local arrays: fragments that are registers on a GPU.
constexpr size_t kStackBytes = 512 * 1024;

void hostAccess(uint32_t site, char *pointer) { Block::current()->access(site, pointer); }
void hostStore(uint32_t site, char *pointer, uint64_t value) {
  Block::current()->store(site, pointer, &value);
}
void hostDivide(uint32_t site, uint64_t divisor, uint32_t overflows) {
  Block::current()->divide(site, divisor, overflows != 0);
}
void hostRange(uint32_t site, char *pointer, uint64_t bytes) {
  Block::current()->accessRange(site, pointer, bytes);
}
void hostBranch(uint32_t site, uint32_t where) { Block::current()->branch(site, where); }
void hostCollective(uint32_t site, const uint32_t *in, uint32_t *out) {
  Block::current()->collective(site, in, out);
}
uint32_t hostBarrier(uint32_t site, uint32_t id, uint32_t count, uint32_t value) {
  return Block::current()->barrier(site, id, count, value);
}
void hostCopyAsync(uint32_t site, char *to, const char *from, uint32_t bytes) {
  Block::current()->copyAsync(site, to, from, bytes);
}
void hostCommit() { Block::current()->commitAsync(); }
void hostWait(int32_t left) { Block::current()->waitAsync(left); }
uint32_t hostSpecial(uint32_t which) {
  return Block::current()->special(static_cast<Special>(which));
}
uint32_t hostIsShared(const char *pointer) { return Block::current()->isShared(pointer); }
void hostFail(uint32_t site) { Block::current()->fail(site, ""); }
void hostExit() { Block::current()->exit(); }

// Conversions that hosts without the instructions call.
_Float16 truncateToHalf(float x) { return static_cast<_Float16>(x); }
_Float16 truncateDoubleToHalf(double x) { return static_cast<_Float16>(x); }
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

float (*const kUnary[])(float) = {std::exp,   std::exp2,  std::log,  std::log2,  std::sin,
                                  std::cos,   std::tanh,  std::sqrt, std::floor, std::ceil,
                                  std::round, std::trunc, std::rint, roundevenf};
constexpr StringLiteral kUnaryNames[] = {"expf",   "exp2f",  "logf",  "log2f",     "sinf",
                                         "cosf",   "tanhf",  "sqrtf", "floorf",    "ceilf",
                                         "roundf", "truncf", "rintf", "roundevenf"};

/// What code of the host may need of the C library.
void addLibrary(orc::MangleAndInterner &mangle, orc::SymbolMap &symbols) {
  for (auto [name, function] : zip_equal(kUnaryNames, kUnary))
    symbols[mangle(name)] = symbol(function);
  symbols[mangle("powf")] = symbol(static_cast<float (*)(float, float)>(std::pow));
  symbols[mangle("fmodf")] = symbol(static_cast<float (*)(float, float)>(std::fmod));
  symbols[mangle("fmaf")] = symbol(static_cast<float (*)(float, float, float)>(std::fma));
  symbols[mangle("fma")] = symbol(static_cast<double (*)(double, double, double)>(std::fma));
  symbols[mangle("fmaxf")] = symbol(static_cast<float (*)(float, float)>(std::fmax));
  symbols[mangle("fminf")] = symbol(static_cast<float (*)(float, float)>(std::fmin));
  symbols[mangle("memcpy")] = symbol(&std::memcpy);
  symbols[mangle("memmove")] = symbol(&std::memmove);
  symbols[mangle("memset")] = symbol(&std::memset);
  symbols[mangle("__truncsfhf2")] = symbol(truncateToHalf);
  symbols[mangle("__truncdfhf2")] = symbol(truncateDoubleToHalf);
  symbols[mangle("__extendhfsf2")] = symbol(extendHalf);
  symbols[mangle("__truncsfbf2")] = symbol(truncateToBFloat);
}

orc::SymbolMap makeSymbols(orc::MangleAndInterner &mangle) {
  orc::SymbolMap symbols = {
      {mangle(kAccess), symbol(hostAccess)},   {mangle(kRange), symbol(hostRange)},
      {mangle(kStore), symbol(hostStore)},     {mangle(kDivide), symbol(hostDivide)},
      {mangle(kBranch), symbol(hostBranch)},   {mangle(kCollective), symbol(hostCollective)},
      {mangle(kBarrier), symbol(hostBarrier)}, {mangle(kCopyAsync), symbol(hostCopyAsync)},
      {mangle(kCommit), symbol(hostCommit)},   {mangle(kWait), symbol(hostWait)},
      {mangle(kSpecial), symbol(hostSpecial)}, {mangle(kIsShared), symbol(hostIsShared)},
      {mangle(kFail), symbol(hostFail)},       {mangle(kExit), symbol(hostExit)}};
  for (const MathFunction &math : getMathFunctions())
    symbols[mangle(("elfatt_sim." + math.name).str())] = {
        orc::ExecutorAddr::fromPtr(math.host), JITSymbolFlags::Exported | JITSymbolFlags::Callable};
  addLibrary(mangle, symbols);
  return symbols;
}
} // namespace

struct L2::Impl {
  std::optional<Cache> cache;
  Places places;
};

L2::L2() : impl(std::make_unique<Impl>()) {}
L2::~L2() = default;

struct Program::Impl {
  std::unique_ptr<orc::LLJIT> jit;
  InstrumentedModule module;
  std::unique_ptr<SharedMemory> shared;
  /// Arrays of the module in global and constant memory.
  std::vector<Buffer> globals;

  const InstrumentedKernel *find(StringRef name) const {
    auto it = find_if(module.kernels, [&](auto &kernel) { return kernel.name == name; });
    return it == module.kernels.end() ? nullptr : &*it;
  }
  Error check(const InstrumentedKernel &kernel, const LaunchConfig &config, size_t numArgs) const;
  Expected<LaunchCounts> launch(const InstrumentedKernel &kernel, const LaunchConfig &config,
                                ArrayRef<void *> args);
  /// The arrays of one kernel; others have no bytes.
  std::vector<SharedArray> getShared(const InstrumentedKernel &kernel,
                                     const LaunchConfig &config) const;
  static int64_t countSharedBytes(ArrayRef<SharedArray> arrays, const LaunchConfig &config);
};

Program::Program(std::unique_ptr<Impl> impl) : impl(std::move(impl)) {}
Program::~Program() = default;

Expected<std::unique_ptr<Program>> Program::create(std::unique_ptr<LLVMContext> context,
                                                   std::unique_ptr<Module> module,
                                                   const target::Chip *chip) {
  auto impl = std::make_unique<Impl>();
  if (Error error = placeShared(*module, impl->module))
    return std::move(error);
  Expected<std::unique_ptr<SharedMemory>> shared = SharedMemory::create(impl->module.arenaBytes);
  if (!shared)
    return shared.takeError();
  impl->shared = std::move(*shared);
  if (Error error = instrument(*module, impl->shared->getBase(), chip, impl->module))
    return std::move(error);

  InitializeNativeTarget();
  InitializeNativeTargetAsmPrinter();
  Expected<orc::JITTargetMachineBuilder> machine = orc::JITTargetMachineBuilder::detectHost();
  if (!machine)
    return machine.takeError();
  machine->setCodeGenOptLevel(CodeGenOptLevel::Less);
  module->setTargetTriple(machine->getTargetTriple());
  Expected<std::unique_ptr<orc::LLJIT>> jit =
      orc::LLJITBuilder().setJITTargetMachineBuilder(std::move(*machine)).create();
  if (!jit)
    return jit.takeError();
  impl->jit = std::move(*jit);
  module->setDataLayout(impl->jit->getDataLayout());
  orc::MangleAndInterner mangle(impl->jit->getExecutionSession(), impl->jit->getDataLayout());
  if (Error error = impl->jit->getMainJITDylib().define(orc::absoluteSymbols(makeSymbols(mangle))))
    return std::move(error);
  if (Error error =
          impl->jit->addIRModule(orc::ThreadSafeModule(std::move(module), std::move(context))))
    return std::move(error);
  for (const InstrumentedModule::Global &global : impl->module.globals) {
    Expected<orc::ExecutorAddr> address = impl->jit->lookup(global.name);
    if (!address)
      return address.takeError();
    impl->globals.push_back(
        {address->toPtr<const void *>(), global.bytes, global.isWritable, global.name});
  }
  return std::unique_ptr<Program>(new Program(std::move(impl)));
}

Expected<std::unique_ptr<Program>> Program::createFromBitcode(StringRef bitcode,
                                                              const target::Chip *chip) {
  auto context = std::make_unique<LLVMContext>();
  Expected<std::unique_ptr<Module>> module =
      parseBitcodeFile(MemoryBufferRef(bitcode, "kernels"), *context);
  if (!module)
    return module.takeError();
  return create(std::move(context), std::move(*module), chip);
}

std::vector<std::string> Program::getKernels() const {
  std::vector<std::string> names;
  for (const InstrumentedKernel &kernel : impl->module.kernels)
    names.push_back(kernel.name);
  return names;
}

std::vector<SharedArray> Program::Impl::getShared(const InstrumentedKernel &kernel,
                                                  const LaunchConfig &config) const {
  std::vector<SharedArray> arrays = module.shared;
  for (auto [array, isUsed] : zip_equal(arrays, kernel.usesShared))
    array.bytes = !isUsed ? 0 : array.isDynamic ? config.dynamicShared : array.bytes;
  return arrays;
}

int64_t Program::Impl::countSharedBytes(ArrayRef<SharedArray> arrays, const LaunchConfig &config) {
  int64_t bytes = config.dynamicShared;
  for (const SharedArray &array : arrays)
    bytes += array.isDynamic ? 0 : array.bytes;
  return bytes;
}

Error Program::Impl::check(const InstrumentedKernel &kernel, const LaunchConfig &config,
                           size_t numArgs) const {
  if (numArgs != kernel.isPointer.size())
    return createStringError("expected " + Twine(kernel.isPointer.size()) + " arguments, got " +
                             Twine(numArgs));
  uint64_t threads = config.block.count();
  if (threads == 0 || threads > target::kThreadsPerBlock)
    return createStringError("expected 1 to 1024 threads a block, got " + Twine(threads));
  if (kernel.maxThreads && threads > kernel.maxThreads)
    return createStringError("expected at most " + Twine(kernel.maxThreads) +
                             " threads a block, for which it was compiled, got " + Twine(threads));
  int64_t shared = countSharedBytes(getShared(kernel, config), config);
  int64_t fixed = shared - config.dynamicShared;
  int64_t limit = config.chip ? config.chip->sharedPerBlock : kMaxDynamicShared;
  if (shared > limit)
    return createStringError(
        "expected at most " + Twine(limit) + " bytes of shared memory a block" +
        (config.chip ? " (" + config.chip->name + ")" : "") + ", got " + Twine(shared));
  if (fixed > target::kStaticSharedPerBlock)
    return createStringError("expected at most " + Twine(target::kStaticSharedPerBlock) +
                             " bytes of static shared memory, got " + Twine(fixed));
  if (config.chip &&
      target::getBlocksPerSM(*config.chip, {int64_t(threads), config.registers, shared}) == 0)
    return createStringError("no SM of " + config.chip->name + " holds a block of " +
                             Twine(threads) + " threads with " + Twine(config.registers) +
                             " registers each and " + Twine(shared) + " bytes of shared memory");
  if (config.sampleBlocks && !config.chip)
    return createStringError("sampling blocks needs a chip");
  return Error::success();
}

namespace {
/// Adds `factor` times the counts of a part.
void addScaled(LaunchCounts &sum, const LaunchCounts &part, uint64_t factor) {
  for (auto member :
       {&LaunchCounts::blocks, &LaunchCounts::mma, &LaunchCounts::exp2, &LaunchCounts::special,
        &LaunchCounts::shuffles, &LaunchCounts::barriers, &LaunchCounts::divergence,
        &LaunchCounts::issueSlots, &LaunchCounts::floats, &LaunchCounts::globalRead,
        &LaunchCounts::globalWritten, &LaunchCounts::globalUsed, &LaunchCounts::dramRead,
        &LaunchCounts::dramWritten, &LaunchCounts::sharedWavefronts, &LaunchCounts::bankConflicts,
        &LaunchCounts::poisonReads})
    sum.*member += factor * part.*member;
  for (auto [to, from] : zip_equal(sum.tensorOps, part.tensorOps))
    to += factor * from;
  if (sum.poisonSite.empty())
    sum.poisonSite = part.poisonSite;
}
} // namespace

Expected<LaunchCounts> Program::Impl::launch(const InstrumentedKernel &kernel,
                                             const LaunchConfig &config, ArrayRef<void *> args) {
  Expected<orc::ExecutorAddr> entry = jit->lookup((kEntryPrefix + kernel.name).str());
  if (!entry)
    return entry.takeError();
  LaunchCounts sum;
  std::vector<SharedArray> arrays = getShared(kernel, config);
  sum.sharedBytes = countSharedBytes(arrays, config);
  size_t threads = config.block.count();
  if (config.chip)
    sum.blocksPerSM =
        target::getBlocksPerSM(*config.chip, {int64_t(threads), config.registers, sum.sharedBytes});

  shared->configure(arrays, module.granule, threads);
  std::vector<Buffer> buffers = config.buffers;
  buffers.insert(buffers.end(), globals.begin(), globals.end());
  L2::Impl alone;
  L2::Impl &l2 = config.l2 ? config.l2->get() : alone;
  GlobalMemory global(std::move(buffers), l2.places);

  uint64_t wave = config.chip ? sum.blocksPerSM * config.chip->reference.SMs : 1;
  std::optional<Cache> &cache = l2.cache;
  if (config.chip && !cache)
    cache.emplace(config.chip->reference.l2Bytes);
  std::vector<int> argumentBuffers;
  for (auto [isPointer, value] : zip_equal(kernel.isPointer, args))
    argumentBuffers.push_back(isPointer ? global.find(*static_cast<const void **>(value)) : -1);
  auto makeState = [&](Traffic &traffic, LaunchCounts &counts) {
    return LaunchState{config,  module.sites, *shared,         global,
                       traffic, counts,       argumentBuffers, kStackBytes + 2 * module.stackBytes};
  };
  auto run = [&](Block &block, uint64_t i) {
    Dim3 position{static_cast<uint32_t>(i % config.grid.x),
                  static_cast<uint32_t>(i / config.grid.x % config.grid.y),
                  static_cast<uint32_t>(i / config.grid.x / config.grid.y)};
    return block.run(entry->toPtr<Block::Entry>(), const_cast<void **>(args.data()), position);
  };
  auto findPath = [&](uint64_t i) -> Expected<BitVector> {
    LaunchCounts counts;
    Traffic traffic(module.sites, counts, /*wantsTrace=*/false);
    LaunchState state = makeState(traffic, counts);
    Block block(state);
    if (Error error = run(block, i))
      return std::move(error);
    return traffic.getPath();
  };
  std::vector<Part> parts = {{0, config.grid.count(), 1}};
  if (config.sampleBlocks) {
    uint64_t sampled = alignTo(std::max(wave, kFewestSampledBlocks), wave);
    Expected<std::vector<Part>> sample = sampleBlocks(config.grid.count(), sampled, findPath);
    if (!sample)
      return sample.takeError();
    parts = std::move(*sample);
  }
  for (Part part : parts) {
    LaunchCounts counts;
    Traffic traffic(module.sites, counts, cache.has_value());
    LaunchState state = makeState(traffic, counts);
    Block block(state);
    std::optional<Interleaver> interleaver;
    uint64_t readBefore = 0, writtenBefore = 0;
    if (cache) {
      interleaver.emplace(*cache, wave);
      readBefore = cache->getSectorsRead();
      writtenBefore = cache->getSectorsWritten();
    }
    for (uint64_t i = part.begin; i < part.end; ++i) {
      if (Error error = run(block, i))
        return std::move(error);
      if (interleaver)
        interleaver->add(traffic.takeTrace());
    }
    if (interleaver) {
      interleaver->finish();
      cache->flush();
      counts.dramRead = (cache->getSectorsRead() - readBefore) * elfatt::target::kSectorBytes;
      counts.dramWritten =
          (cache->getSectorsWritten() - writtenBefore) * elfatt::target::kSectorBytes;
      // The blocks that this part stands for would leave nothing of what these have read.
      if ((counts.dramRead + counts.dramWritten) * (part.times - 1) >=
          static_cast<uint64_t>(config.chip->reference.l2Bytes))
        cache.emplace(config.chip->reference.l2Bytes);
    }
    addScaled(sum, counts, part.times);
  }
  if (any_of(parts, [](const Part &part) { return part.times > 1; }))
    cache.reset();
  return sum;
}

Expected<LaunchCounts> Program::launch(StringRef name, const LaunchConfig &config,
                                       ArrayRef<void *> args) {
  const InstrumentedKernel *kernel = impl->find(name);
  if (!kernel)
    return createStringError("no kernel '" + name + "'");
  auto named = [&](Error error) {
    return createStringError("kernel '" + name + "': " + toString(std::move(error)));
  };
  if (Error error = impl->check(*kernel, config, args.size()))
    return named(std::move(error));
  Expected<LaunchCounts> counts = impl->launch(*kernel, config, args);
  if (!counts)
    return named(counts.takeError());
  return counts;
}
