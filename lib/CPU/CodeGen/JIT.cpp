// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/JIT.h"

#include "elfatt/CPU/MachineCode.h"
#include "elfatt/CPU/SplitModule.h"
#include "elfatt/Runtime.h"
#include "elfatt/Runtime/CodeInterface.h"

#include "mlir/IR/Threading.h"
#include "llvm/ExecutionEngine/Orc/CompileUtils.h"
#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"

#include <dnnl.h>

#include <mutex>

extern "C" void omp_set_num_threads(int);

using namespace mlir;
using llvm::Error;
using llvm::Expected;

namespace elfatt::cpu {
namespace {

/// oneDNN generates its code for the processor it finds: docs/Rationale.md has
/// the measurements. Its threads are ours.
void useDenseLibrary() {
  elfatt_set_dense_product([](char transA, char transB, int64_t m, int64_t n, int64_t k,
                              float alpha, const float *a, int64_t lda, const float *b, int64_t ldb,
                              float beta, float *c, int64_t ldc) -> int {
    omp_set_num_threads(1);
    return dnnl_sgemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  });
}

/// What the code may call and read beyond the process's own libraries.
/// Compiled code writes to what it is given.
void *allocateOrFail(int64_t alignment, int64_t bytes) {
  void *block = elfatt_alloc(alignment, bytes);
  if (!block)
    elfatt_fail(("no memory for " + std::to_string(bytes) + " bytes").c_str());
  return block;
}

llvm::orc::SymbolMap getSymbols(ArrayRef<std::pair<llvm::StringRef, ArrayRef<char>>> constants,
                                ArrayRef<JIT::Function> functions,
                                llvm::orc::MangleAndInterner &mangle) {
  llvm::orc::SymbolMap symbols;
  auto add = [&](llvm::StringRef name, const void *address) {
    symbols[mangle(name)] = {llvm::orc::ExecutorAddr::fromPtr(address),
                             llvm::JITSymbolFlags::Exported};
  };
  add("elfatt_parallel_for", reinterpret_cast<void *>(elfatt_parallel_for));
  add("elfatt_sgemm", reinterpret_cast<void *>(elfatt_sgemm));
  add("elfatt_fail", reinterpret_cast<void *>(elfatt_fail));
  add("_mlir_memref_to_llvm_aligned_alloc", reinterpret_cast<void *>(allocateOrFail));
  add("_mlir_memref_to_llvm_free", reinterpret_cast<void *>(elfatt_free));
  for (auto [name, address] : functions)
    add(name, address);
  for (auto [name, bytes] : constants)
    add(name, bytes.data());
  return symbols;
}

/// The object code of a module for this machine.
Expected<std::unique_ptr<llvm::MemoryBuffer>> compile(ModuleOp module,
                                                      llvm::orc::JITTargetMachineBuilder builder) {
  auto target = builder.createTargetMachine();
  if (!target)
    return target.takeError();
  llvm::LLVMContext context;
  auto code = makeLLVMModule(module, context, **target, getHostVectorBits());
  if (!code)
    return code.takeError();
  optimize(**code, **target);
  return llvm::orc::SimpleCompiler(**target)(**code);
}

/// Each thread compiles some of the functions.
Expected<SmallVector<std::unique_ptr<llvm::MemoryBuffer>>>
compileParts(ModuleOp module, const llvm::orc::JITTargetMachineBuilder &builder) {
  MLIRContext *context = module.getContext();
  SmallVector<OwningOpRef<ModuleOp>> parts =
      splitModule(module, context->isMultithreadingEnabled() ? context->getNumThreads() : 1);
  SmallVector<std::unique_ptr<llvm::MemoryBuffer>> objects(parts.size());
  std::mutex mutex;
  Error errors = Error::success();
  parallelFor(context, 0, parts.size(), [&](size_t i) {
    auto object = compile(*parts[i], builder);
    if (object) {
      objects[i] = std::move(*object);
      return;
    }
    std::lock_guard<std::mutex> lock(mutex);
    errors = llvm::joinErrors(std::move(errors), object.takeError());
  });
  if (errors)
    return errors;
  return objects;
}

} // namespace

int64_t getHostVectorBits() {
  llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  if (features.lookup("avx512f") && features.lookup("avx512dq"))
    return 512;
  return features.lookup("avx2") ? 256 : 128;
}

bool hostDotsBF16() {
  return getHostVectorBits() == 512 && llvm::sys::getHostCPUFeatures().lookup("avx512bf16");
}

JIT::JIT(std::unique_ptr<llvm::orc::LLJIT> jit) : jit(std::move(jit)) {}
JIT::~JIT() = default;

Expected<std::unique_ptr<JIT>> JIT::create(ModuleOp module, ArrayRef<Function> functions) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  useDenseLibrary();
  auto constants = getConstants(module);
  if (!constants)
    return constants.takeError();
  auto builder = llvm::orc::JITTargetMachineBuilder::detectHost();
  if (!builder)
    return builder.takeError();
  builder->setCodeGenOptLevel(llvm::CodeGenOptLevel::Default);
  // As LLJIT would: parts and the process may lie far from each other.
  builder->setRelocationModel(llvm::Reloc::PIC_);
  builder->setCodeModel(llvm::CodeModel::Small);
  auto objects = compileParts(module, *builder);
  if (!objects)
    return objects.takeError();

  auto jit = llvm::orc::LLJITBuilder().setJITTargetMachineBuilder(*builder).create();
  if (!jit)
    return jit.takeError();
  llvm::orc::MangleAndInterner mangle((*jit)->getExecutionSession(), (*jit)->getDataLayout());
  if (Error error = (*jit)->getMainJITDylib().define(
          llvm::orc::absoluteSymbols(getSymbols(*constants, functions, mangle))))
    return error;
  auto process = llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
      (*jit)->getDataLayout().getGlobalPrefix());
  if (!process)
    return process.takeError();
  (*jit)->getMainJITDylib().addGenerator(std::move(*process));
  for (std::unique_ptr<llvm::MemoryBuffer> &object : *objects)
    if (Error error = (*jit)->addObjectFile(std::move(object)))
      return error;
  return std::unique_ptr<JIT>(new JIT(std::move(*jit)));
}

Expected<JIT::Entry> JIT::lookup(llvm::StringRef function) {
  auto address = jit->lookup((ELFATT_CODE_ENTRY + function).str());
  if (!address)
    return address.takeError();
  return address->toPtr<Entry>();
}

} // namespace elfatt::cpu
