// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Run/Model.h"

#include "BundleFunction.h"
#include "Device.h"
#include "Profile.h"

#include "elfatt/Pipelines/CPU.h"
#include "elfatt/Pipelines/GPU.h"
#include "elfatt/Runtime.h"
#include "elfatt/Target/Ptxas.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/Support/CheckedArithmetic.h"

#include <cmath>
#include <cstring>
#include <random>

using namespace mlir;
using llvm::Error;
using llvm::Expected;

namespace elfatt::run {
namespace {

/// The seed of random inputs; argument i uses seed + i.
constexpr uint64_t randomSeed = 20250101;

Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

/// How an element type travels in a .npz file; bf16 as its bits.
FailureOr<ElementType> getElementType(Type type) {
  if (type.isBF16())
    return ElementType{'u', 2};
  if (type.isF16() || type.isF32() || type.isF64())
    return ElementType{'f', static_cast<int>(type.getIntOrFloatBitWidth() / 8)};
  if (type.isInteger(1))
    return ElementType{'b', 1};
  auto integer = dyn_cast<IntegerType>(type);
  if (!integer || !llvm::is_contained({8, 16, 32, 64}, integer.getWidth()))
    return failure();
  return ElementType{integer.isUnsigned() ? 'u' : 'i', static_cast<int>(integer.getWidth() / 8)};
}

Error collectTypes(TypeRange types, llvm::StringRef what, std::vector<RankedTensorType> &result) {
  for (auto [i, type] : llvm::enumerate(types)) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    // Memory that the caller lends: only arguments.
    if (auto memref = dyn_cast<MemRefType>(type);
        memref && what == "argument" && memref.getLayout().isIdentity() && !memref.getMemorySpace())
      tensor = RankedTensorType::get(memref.getShape(), memref.getElementType());
    if (!tensor || failed(getElementType(tensor.getElementType()))) {
      std::string text;
      llvm::raw_string_ostream(text) << type;
      return makeError(llvm::Twine(what) + " " + llvm::Twine(i) +
                       " of @main: expected a tensor of " +
                       "f16, bf16, f32, f64 or integers, got " + text);
    }
    result.push_back(tensor);
  }
  return Error::success();
}

std::string printShape(ArrayRef<int64_t> shape) {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::interleave(
      shape, os, [&](int64_t d) { ShapedType::isDynamic(d) ? os << "?" : os << d; }, "x");
  return "[" + text + "]";
}

/// Rounds float32 elements to f16 or bf16.
Array roundTo(const Array &array, const llvm::fltSemantics &semantics, ElementType type) {
  Array result{type, array.shape, Bytes(array.size() * 2)};
  for (int64_t i = 0, e = array.size(); i < e; ++i) {
    llvm::APFloat value(static_cast<float>(array.get(i)));
    bool losesInfo;
    value.convert(semantics, llvm::APFloat::rmNearestTiesToEven, &losesInfo);
    uint16_t bits = value.bitcastToAPInt().getZExtValue();
    std::memcpy(&result.data[i * 2], &bits, 2);
  }
  return result;
}

Expected<Array> convert(const Array &array, RankedTensorType type, llvm::StringRef name) {
  bool sameShape = static_cast<int64_t>(array.shape.size()) == type.getRank();
  for (int64_t d = 0; sameShape && d < type.getRank(); ++d)
    sameShape = type.isDynamicDim(d) || type.getDimSize(d) == array.shape[d];
  if (!sameShape)
    return makeError(name + ": expected shape " + printShape(type.getShape()) + ", got " +
                     printShape(array.shape));
  Type element = type.getElementType();
  ElementType wanted = *getElementType(element);
  if (array.type == ElementType{'f', 4} && (element.isF16() || element.isBF16()))
    return roundTo(array, cast<FloatType>(element).getFloatSemantics(), wanted);
  bool sameBits = array.type == wanted ||
                  (isa<IntegerType>(element) && wanted.bytes == array.type.bytes &&
                   wanted.kind != 'b' && (array.type.kind == 'i' || array.type.kind == 'u'));
  if (!sameBits) {
    std::string also = element.isF16() || element.isBF16() ? " or float32" : "";
    return makeError(name + ": expected dtype " + wanted.str() + also + ", got " +
                     array.type.str());
  }
  Array result = array;
  // Any byte but 0 is true in a file; compiled code reads the lowest bit.
  if (wanted.kind == 'b')
    for (char &byte : result.data)
      byte = byte != 0;
  return result;
}

Expected<Array> makeRandom(RankedTensorType type, uint64_t seed, const std::string &name) {
  Array array{{'f', 4}, type.getShape().vec(), {}};
  std::mt19937_64 random(seed);
  auto uniform = [&] { return (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53; };
  Type element = type.getElementType();
  ElementType wanted = *getElementType(element);
  bool isFloat = isa<FloatType>(element);
  if (!isFloat || element.isF64())
    array.type = wanted;
  std::optional<int64_t> bytes = array.type.bytes;
  for (int64_t extent : array.shape)
    bytes = bytes ? llvm::checkedMul(*bytes, extent) : std::nullopt;
  if (!bytes)
    return makeError(name + ": no memory for an array of shape " + printShape(type.getShape()));
  array.data.resize(*bytes);
  for (int64_t i = 0, e = array.size(); i < e; ++i) {
    if (!isFloat) {
      array.data[i * array.type.bytes] = random() >> 63;
      continue;
    }
    double value = std::sqrt(-2 * std::log(uniform())) * std::cos(2 * M_PI * uniform());
    float single = value;
    if (element.isF64())
      std::memcpy(&array.data[i * 8], &value, 8);
    else
      std::memcpy(&array.data[i * 4], &single, 4);
  }
  if (element.isF16() || element.isBF16())
    return roundTo(array, cast<FloatType>(element).getFloatSemantics(), wanted);
  return array;
}

/// Bytes bound by `elfatt.constants`.
int64_t countConstantBytes(ModuleOp module) {
  int64_t bytes = 0;
  if (auto constants = module->getAttrOfType<DictionaryAttr>("elfatt.constants"))
    for (NamedAttribute constant : constants) {
      auto value = cast<ElementsAttr>(constant.getValue());
      bytes += value.getNumElements() * (value.getElementType().getIntOrFloatBitWidth() / 8);
    }
  return bytes;
}

/// Adds a pass or pipeline by its name, with options as on a command line.
LogicalResult addByName(OpPassManager &pm, llvm::StringRef name, llvm::StringRef options) {
  return parsePassPipeline((name + "{" + options + "}").str(), pm);
}

/// A cubin is loaded in less time than PTX is assembled by the driver, but needs a ptxas here,
/// and the very chip.
std::string chooseFormat(const CompileOptions &options) {
  if (!options.cuda)
    return "llvm";
  auto toolkit = target::findToolkit(*options.chip->chip, options.cudaPath, options.chip->ptx);
  if (toolkit && options.cuda->isExact())
    return "cubin";
  llvm::consumeError(toolkit.takeError());
  return "ptx";
}

/// The kernels of a module, lowered; what is left of it is the host's.
Expected<std::unique_ptr<Launcher>> compileKernels(Tool &tool, PassManager &pm, ModuleOp module,
                                                   const CompileOptions &options,
                                                   const Profile &profile) {
  const target::Chip &chip = *options.chip->chip;
  pipelines::GPUOptions gpu;
  gpu.chip = chip.name.str();
  gpu.cuda = options.chip->cuda;
  gpu.tf32 = options.chip->tf32;
  gpu.setTile(options.tile);
  gpu.cudaPath = options.cudaPath;
  gpu.format = chooseFormat(options);
  pipelines::buildGPULaunchPipeline(pm, module, gpu, options.countRegisters);
  tool.follow(pm);
  if (failed(pm.run(module)))
    return makeError("the model could not be compiled for " + chip.name);
  pm.clear();
  if (options.cuda)
    return Device::take(module, *options.cuda, profile);
  return Simulation::take(module, chip, profile);
}

template <GuardedEnd end> void *allocate(int64_t alignment, int64_t bytes) {
  return allocateGuarded(end, alignment, bytes);
}

} // namespace

Model::Model() = default;
Model::Model(Model &&) = default;
Model::~Model() = default;

Expected<Model> Model::compile(Tool &tool, OwningOpRef<ModuleOp> module,
                               const CompileOptions &options) {
  auto main = module->lookupSymbol<func::FuncOp>("main");
  if (!main || main.isDeclaration())
    return makeError("the module has no function @main");
  Model model;
  if (Error error = collectTypes(main.getArgumentTypes(), "argument", model.inputTypes))
    return error;
  if (Error error = collectTypes(main.getResultTypes(), "result", model.resultTypes))
    return error;
  for (auto [i, type] : llvm::enumerate(main.getArgumentTypes()))
    if (isa<MemRefType>(type))
      model.writtenArguments.push_back(i);
  if (model.resultTypes.empty() && model.writtenArguments.empty())
    return makeError("@main has no results");
  MLIRContext *context = module->getContext();
  main->setAttr(LLVM::LLVMDialect::getEmitCWrapperAttrName(), UnitAttr::get(context));

  PassManager pm(context);
  if (options.raise && PassInfo::lookup("elfatt-raise") &&
      failed(addByName(pm, "elfatt-raise", "")))
    return makeError("cannot set up elfatt-raise");
  if (options.approximate) {
    if (!PassInfo::lookup("elfatt-approximate"))
      return makeError("--approximate is not built yet");
    if (failed(addByName(pm, "elfatt-approximate", *options.approximate)))
      return makeError("--approximate: bad options '" + *options.approximate + "'");
  }
  tool.follow(pm);
  if (failed(pm.run(*module)))
    return makeError("the model could not be compiled");
  pm.clear();
  // Counted while attention is ops.
  auto profile = std::make_unique<Profile>();
  profile->count(*module);
  SmallVector<cpu::JIT::Function> functions;
  if (options.chip) {
    auto launcher = compileKernels(tool, pm, *module, options, *profile);
    if (!launcher)
      return launcher.takeError();
    model.launcher = std::move(*launcher);
    functions.push_back(Launcher::getLaunchFunction());
  } else {
    model.profile = std::move(profile);
    functions.push_back(Profile::getLaunchFunction());
  }
  if (options.guard) {
    bool after = options.guard == GuardedEnd::After;
    auto *alloc = after ? allocate<GuardedEnd::After> : allocate<GuardedEnd::Before>;
    functions.emplace_back("_mlir_memref_to_llvm_aligned_alloc", reinterpret_cast<void *>(alloc));
    functions.emplace_back("_mlir_memref_to_llvm_free", reinterpret_cast<void *>(freeGuarded));
  }
  model.guard = options.guard;
  pipelines::CPUOptions cpuOptions;
  cpuOptions.vectorBits = cpu::getHostVectorBits();
  cpuOptions.dotsBF16 = cpu::hostDotsBF16();
  pipelines::buildCPUPipeline(pm, cpuOptions);
  tool.followCompilation(pm);
  if (failed(pm.run(*module)))
    return makeError("the model could not be compiled");
  if (model.profile)
    model.profile->readLaunches(*module);
  tool.setActivity("generating machine code");
  auto jit = cpu::JIT::create(*module, functions);
  if (!jit)
    return jit.takeError();
  auto entry = (*jit)->lookup("main");
  if (!entry)
    return entry.takeError();
  model.constantBytes = countConstantBytes(*module);
  model.jit = std::move(*jit);
  model.entry = *entry;
  return model;
}

Expected<Model> Model::open(MLIRContext *context, const std::string &path, const char *target,
                            Cuda *cuda) {
  auto bundle = BundleFunction::open(path, target, cuda);
  if (!bundle)
    return bundle.takeError();
  Model model;
  model.bundle = std::move(*bundle);
  model.inputTypes = model.bundle->getTypes(context, /*inputs=*/true);
  model.resultTypes = model.bundle->getTypes(context, /*inputs=*/false);
  return model;
}

llvm::StringRef Model::getBundleTarget() const {
  return bundle ? bundle->getTarget() : llvm::StringRef();
}

Expected<std::vector<Array>> Model::prepareInputs(const ArrayMap &arrays) const {
  for (const auto &[name, array] : arrays) {
    size_t index;
    llvm::StringRef digits = name;
    bool isResult = digits.consume_front("out");
    if ((!isResult && !digits.consume_front("arg")) || digits.getAsInteger(10, index))
      return makeError("expected arrays arg0, arg1, ... (and out0, out1, ...), got '" + name + "'");
    if (!isResult && index >= inputTypes.size())
      return makeError(name + ": @main has " + llvm::Twine(inputTypes.size()) + " arguments");
  }
  std::vector<Array> inputs;
  for (auto [i, type] : llvm::enumerate(inputTypes)) {
    std::string name = "arg" + std::to_string(i);
    auto it = arrays.find(name);
    if (it == arrays.end()) {
      if (!type.hasStaticShape())
        return makeError(name + ": shape " + printShape(type.getShape()) +
                         " is not static: give the array in --inputs");
      auto random = makeRandom(type, randomSeed + i, name);
      if (!random)
        return random.takeError();
      inputs.push_back(std::move(*random));
      continue;
    }
    auto array = convert(it->second, type, name);
    if (!array)
      return array.takeError();
    inputs.push_back(std::move(*array));
  }
  return inputs;
}

/// A call's memref descriptors: allocated pointer, aligned pointer, offset,
/// sizes, strides, each of 8 bytes. The results' lie one after the other.
struct Model::Call {
  std::vector<std::vector<int64_t>> inputs;
  std::vector<int64_t> results;
  /// With guards: copies of the inputs.
  std::vector<std::unique_ptr<void, decltype(&freeGuarded)>> guarded;
};

Model::Call Model::call(const std::vector<Array> &inputs) const {
  bool hasResults = !resultTypes.empty();
  Call call;
  std::vector<void *> args;
  size_t resultWords = 0;
  for (RankedTensorType type : resultTypes)
    resultWords += 3 + 2 * type.getRank();
  call.results.resize(resultWords);
  if (hasResults)
    args.push_back(call.results.data());
  for (const Array &array : inputs) {
    const void *bytes = array.data.data();
    if (guard) {
      void *copy = allocateGuarded(*guard, 1, array.data.size());
      if (!copy)
        elfatt_fail("no memory for a guarded argument");
      std::memcpy(copy, bytes, array.data.size());
      call.guarded.emplace_back(copy, freeGuarded);
      bytes = copy;
    }
    int64_t data = reinterpret_cast<int64_t>(bytes);
    std::vector<int64_t> descriptor{data, data, 0};
    descriptor.insert(descriptor.end(), array.shape.begin(), array.shape.end());
    std::vector<int64_t> strides(array.shape.size(), 1);
    for (size_t d = array.shape.size(); d-- > 1;)
      strides[d - 1] = strides[d] * array.shape[d];
    descriptor.insert(descriptor.end(), strides.begin(), strides.end());
    call.inputs.push_back(std::move(descriptor));
  }
  for (std::vector<int64_t> &descriptor : call.inputs)
    args.push_back(descriptor.data());
  if (launcher) {
    std::vector<sim::Buffer> ranges;
    for (auto [i, array] : llvm::enumerate(inputs))
      if (!llvm::is_contained(writtenArguments, i))
        ranges.push_back({reinterpret_cast<const void *>(call.inputs[i][1]), array.data.size(),
                          /*isWritable=*/false, "arg" + std::to_string(i) + " of @main"});
    launcher->setReadOnly(std::move(ranges));
  }
  Launcher::Scope launches(launcher.get());
  entry(args.data());
  return call;
}

void Model::freeResult(int64_t allocated) const {
  void *block = reinterpret_cast<void *>(allocated);
  guard ? freeGuarded(block) : elfatt_free(block);
}

/// Ends the command by the failure handler, as compiled code does.
static void mustSucceed(Error error) {
  if (error)
    elfatt_fail(toString(std::move(error)).c_str());
}

Results Model::run(const std::vector<Array> &given) const {
  if (bundle) {
    auto results = bundle->makeResults(given);
    if (!results)
      mustSucceed(results.takeError());
    mustSucceed(bundle->run(given, *results));
    return std::move(*results);
  }
  std::vector<Array> copy;
  if (!writtenArguments.empty())
    copy = given;
  const std::vector<Array> &inputs = writtenArguments.empty() ? given : copy;
  Call done = call(inputs);
  Results results;
  const int64_t *word = done.results.data();
  for (RankedTensorType type : resultTypes) {
    int64_t rank = type.getRank();
    Array array{*getElementType(type.getElementType()), {word + 3, word + 3 + rank}, {}};
    const char *data = reinterpret_cast<const char *>(word[1]) + word[2] * array.type.bytes;
    array.data.assign(data, data + array.size() * array.type.bytes);
    results.push_back(std::move(array));
    freeResult(word[0]);
    word += 3 + 2 * rank;
  }
  for (size_t i : writtenArguments) {
    Array array = inputs[i];
    std::memcpy(array.data.data(), reinterpret_cast<const void *>(done.inputs[i][1]),
                array.data.size());
    results.push_back(std::move(array));
  }
  return results;
}

void Model::runDiscarding(const std::vector<Array> &inputs) const {
  if (bundle) {
    // The same buffers for all calls, as an embedder has them.
    if (discarded.empty()) {
      auto made = bundle->makeResults(inputs);
      if (!made)
        return mustSucceed(made.takeError());
      discarded = std::move(*made);
    }
    return mustSucceed(bundle->run(inputs, discarded));
  }
  if (!writtenArguments.empty()) {
    run(inputs);
    return;
  }
  Call done = call(inputs);
  const int64_t *word = done.results.data();
  for (RankedTensorType type : resultTypes) {
    freeResult(word[0]);
    word += 3 + 2 * type.getRank();
  }
}

} // namespace elfatt::run
