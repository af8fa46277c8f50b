// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/JIT.h"

#include "elfatt/Runtime.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"

using namespace mlir;
using llvm::Error;
using llvm::Expected;

namespace elfatt::cpu {
namespace {

constexpr llvm::StringLiteral wrapperPrefix = "elfatt_entry_";
constexpr llvm::StringLiteral interfacePrefix = "_mlir_ciface_";

Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

/// For each function with a C interface, adds `void elfatt_entry_NAME(void **)`
/// that takes its arguments from an array.
void addEntries(llvm::Module &module) {
  llvm::IRBuilder<> b(module.getContext());
  for (llvm::Function &function : llvm::make_early_inc_range(module)) {
    llvm::StringRef name = function.getName();
    if (function.isDeclaration() || !name.consume_front(interfacePrefix))
      continue;
    auto *type = llvm::FunctionType::get(b.getVoidTy(), {b.getPtrTy()}, false);
    auto *entry = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage,
                                         wrapperPrefix + name, module);
    b.SetInsertPoint(llvm::BasicBlock::Create(module.getContext(), "", entry));
    llvm::SmallVector<llvm::Value *> args;
    for (llvm::Argument &arg : function.args()) {
      llvm::Value *slot = b.CreateConstGEP1_64(b.getPtrTy(), entry->getArg(0), arg.getArgNo());
      args.push_back(b.CreateLoad(arg.getType(), slot));
    }
    b.CreateCall(&function, args);
    b.CreateRetVoid();
  }
}

/// The same target on every function, so that the vectorizers see the host's
/// registers as wide as they are.
void setHostAttributes(llvm::Module &module, const llvm::TargetMachine &target) {
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", target.getTargetCPU());
    function.addFnAttr("target-features", target.getTargetFeatureString());
    function.addFnAttr("prefer-vector-width", std::to_string(getHostVectorBits()));
  }
}

void optimize(llvm::Module &module, llvm::TargetMachine &target) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graph;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = true;
  tuning.SLPVectorization = false;
  llvm::PassBuilder builder(&target, tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graph, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2).run(module, modules);
}

/// What the code may call and read beyond the process's own libraries.
llvm::orc::SymbolMap getSymbols(ModuleOp module, ArrayRef<JIT::Function> functions,
                                llvm::orc::MangleAndInterner &mangle) {
  llvm::orc::SymbolMap symbols;
  auto add = [&](llvm::StringRef name, const void *address) {
    symbols[mangle(name)] = {llvm::orc::ExecutorAddr::fromPtr(address),
                             llvm::JITSymbolFlags::Exported};
  };
  add("elfatt_parallel_for", reinterpret_cast<void *>(elfatt_parallel_for));
  add("elfatt_sgemm", reinterpret_cast<void *>(elfatt_sgemm));
  add("elfatt_fail", reinterpret_cast<void *>(elfatt_fail));
  add("_mlir_memref_to_llvm_aligned_alloc", reinterpret_cast<void *>(elfatt_alloc));
  add("_mlir_memref_to_llvm_free", reinterpret_cast<void *>(elfatt_free));
  for (auto [name, address] : functions)
    add(name, address);
  if (auto constants = module->getAttrOfType<DictionaryAttr>("elfatt.constants"))
    for (NamedAttribute constant : constants) {
      if (auto resource = dyn_cast<DenseResourceElementsAttr>(constant.getValue()))
        add(constant.getName(), resource.getRawHandle().getBlob()->getData().data());
      else if (auto dense = dyn_cast<DenseElementsAttr>(constant.getValue()))
        add(constant.getName(), dense.getRawData().data());
    }
  return symbols;
}

/// A resource named in the text without its bytes is refused here.
Error checkConstants(ModuleOp module) {
  auto constants = module->getAttrOfType<DictionaryAttr>("elfatt.constants");
  if (!constants)
    return Error::success();
  for (NamedAttribute constant : constants) {
    auto resource = dyn_cast<DenseResourceElementsAttr>(constant.getValue());
    if (!resource)
      continue;
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    size_t bytes =
        resource.getNumElements() * (resource.getElementType().getIntOrFloatBitWidth() / 8);
    if (!blob || blob->getData().size() != bytes)
      return makeError("resource '" + resource.getRawHandle().getKey() + "' has " +
                       llvm::Twine(blob ? blob->getData().size() : 0) + " bytes, expected " +
                       llvm::Twine(bytes));
  }
  return Error::success();
}

} // namespace

int64_t getHostVectorBits() {
  llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  if (features.lookup("avx512f"))
    return 512;
  return features.lookup("avx2") ? 256 : 128;
}

JIT::JIT(std::unique_ptr<llvm::orc::LLJIT> jit) : jit(std::move(jit)) {}
JIT::~JIT() = default;

Expected<std::unique_ptr<JIT>> JIT::create(ModuleOp module, ArrayRef<Function> functions) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  if (Error error = checkConstants(module))
    return error;
  auto builder = llvm::orc::JITTargetMachineBuilder::detectHost();
  if (!builder)
    return builder.takeError();
  builder->setCodeGenOptLevel(llvm::CodeGenOptLevel::Default);
  auto target = builder->createTargetMachine();
  if (!target)
    return target.takeError();

  auto context = std::make_unique<llvm::LLVMContext>();
  std::unique_ptr<llvm::Module> code = translateModuleToLLVMIR(module, *context, "elfatt");
  if (!code)
    return makeError("translation to LLVM IR failed");
  code->setDataLayout((*target)->createDataLayout());
  code->setTargetTriple((*target)->getTargetTriple());
  addEntries(*code);
  setHostAttributes(*code, **target);
  optimize(*code, **target);

  auto jit = llvm::orc::LLJITBuilder().setJITTargetMachineBuilder(*builder).create();
  if (!jit)
    return jit.takeError();
  llvm::orc::MangleAndInterner mangle((*jit)->getExecutionSession(), (*jit)->getDataLayout());
  if (Error error = (*jit)->getMainJITDylib().define(
          llvm::orc::absoluteSymbols(getSymbols(module, functions, mangle))))
    return error;
  auto process = llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
      (*jit)->getDataLayout().getGlobalPrefix());
  if (!process)
    return process.takeError();
  (*jit)->getMainJITDylib().addGenerator(std::move(*process));
  if (Error error = (*jit)->addIRModule({std::move(code), std::move(context)}))
    return error;
  return std::unique_ptr<JIT>(new JIT(std::move(*jit)));
}

Expected<JIT::Entry> JIT::lookup(llvm::StringRef function) {
  auto address = jit->lookup((wrapperPrefix + function).str());
  if (!address)
    return address.takeError();
  return address->toPtr<Entry>();
}

} // namespace elfatt::cpu
