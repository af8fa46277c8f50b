// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "SharedObject.h"

#include "elfatt/CPU/MachineCode.h"

#include "lld/Common/Driver.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

using namespace llvm;

LLD_HAS_DRIVER(elf)

namespace elfatt::compile {

namespace {

/// What the code may ask of the C library, beside the memory functions: each
/// also with an f behind its name.
constexpr StringLiteral kMathFunctions[] = {
    "acos",      "acosh", "asin",  "asinh",     "atan",  "atan2", "atanh", "cbrt",  "ceil", "cos",
    "cosh",      "erf",   "erfc",  "exp",       "exp2",  "expm1", "fabs",  "floor", "fma",  "fmax",
    "fmin",      "fmod",  "ldexp", "log",       "log10", "log1p", "log2",  "pow",   "rint", "round",
    "nearbyint", "sin",   "sinh",  "roundeven", "sqrt",  "tan",   "tanh",  "trunc"};

bool isProvided(StringRef name) {
  if (is_contained({"memcpy", "memmove", "memset", "memcmp"}, name))
    return true;
  return is_contained(kMathFunctions, name) ||
         (name.consume_back("f") && is_contained(kMathFunctions, name));
}

Error emitObject(Module &module, TargetMachine &target, StringRef path) {
  SmallVector<char, 0> bytes;
  raw_svector_ostream os(bytes);
  legacy::PassManager passes;
  if (target.addPassesToEmitFile(passes, os, nullptr, CodeGenFileType::ObjectFile))
    return createStringError("LLVM's back end cannot write object code for " +
                             target.getTargetTriple().str());
  passes.run(module);
  std::error_code code;
  raw_fd_ostream file(path, code);
  if (!code) {
    file.write(bytes.data(), bytes.size());
    file.close();
    code = file.error();
    file.clear_error();
  }
  if (code)
    return createStringError("cannot write '" + path + "': " + code.message());
  return Error::success();
}

Error link(ArrayRef<std::string> arguments) {
  SmallVector<const char *> args{"ld.lld"};
  for (const std::string &argument : arguments)
    args.push_back(argument.c_str());
  std::string output;
  raw_string_ostream os(output);
  lld::Result result = lld::lldMain(args, os, os, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode != 0)
    return createStringError("cannot link the code: " + StringRef(output).trim());
  return Error::success();
}

/// A symbol that nothing would provide is found here, and not when a user loads
/// the bundle.
Error checkSymbols(const object::ObjectFile &file) {
  const auto &elf = cast<object::ELFObjectFileBase>(file);
  for (const object::ELFSymbolRef &symbol : elf.getDynamicSymbolIterators()) {
    Expected<uint32_t> flags = symbol.getFlags();
    Expected<StringRef> name = symbol.getName();
    if (!flags || !name)
      return joinErrors(flags.takeError(), name.takeError());
    if ((*flags & object::SymbolRef::SF_Undefined) && !name->empty() && !isProvided(*name))
      return createStringError("the code needs '" + *name + "', which bundles do not have");
  }
  return Error::success();
}

std::unique_ptr<TargetMachine> makeTarget(StringRef tripleText, const target::Processor &processor,
                                          std::string &message) {
  InitializeAllTargetInfos();
  InitializeAllTargets();
  InitializeAllTargetMCs();
  InitializeAllAsmPrinters();
  Triple triple(Triple::normalize(tripleText));
  const Target *target = TargetRegistry::lookupTarget(triple, message);
  if (!target)
    return nullptr;
  TargetOptions options;
  // Conversions that are not called are dropped by the linker.
  options.FunctionSections = true;
  return std::unique_ptr<TargetMachine>(
      target->createTargetMachine(triple, processor.cpu, processor.features, options, Reloc::PIC_,
                                  std::nullopt, CodeGenOptLevel::Default));
}

} // namespace

Expected<std::string> makeSharedObject(Tool &tool, mlir::ModuleOp module, StringRef triple,
                                       const target::Processor &processor,
                                       ConstantFile &constants) {
  std::string message;
  std::unique_ptr<TargetMachine> target = makeTarget(triple, processor, message);
  if (!target)
    return createStringError(message);
  auto values = cpu::getConstants(module);
  if (!values)
    return values.takeError();
  LLVMContext context;
  auto code = cpu::makeLLVMModule(module, context, *target, processor.vectorBits);
  if (!code)
    return code.takeError();
  bindRuntime(**code, *values, constants);
  if (!processor.fma)
    splitMultiplyAdds(**code);
  if (Error error = addConversions(**code))
    return std::move(error);
  cpu::optimize(**code, *target);

  SmallString<128> folder;
  if (std::error_code error = sys::fs::createUniqueDirectory("elfatt-compile", folder))
    return createStringError("cannot make a folder for temporary files: " + error.message());
  tool.rememberTemporary(folder);
  llvm::scope_exit remove([&] {
    (void)sys::fs::remove_directories(folder);
    tool.forgetTemporary(folder);
  });
  auto inFolder = [&](StringRef name) { return (folder + "/" + name).str(); };
  Module empty("empty", context);
  empty.setDataLayout(target->createDataLayout());
  empty.setTargetTriple(target->getTargetTriple());
  if (Error error = emitObject(empty, *target, inFolder("empty.o")))
    return std::move(error);
  if (Error error = emitObject(**code, *target, inFolder("code.o")))
    return std::move(error);
  // Stand-ins for the C library of whatever machine it will be: only their names
  // matter.
  std::vector<std::string> objects{inFolder("code.o")};
  for (const char *library : {"libm.so.6", "libc.so.6"}) {
    objects.push_back(inFolder(library));
    if (Error error =
            link({"-shared", "-soname", library, "-o", objects.back(), inFolder("empty.o")}))
      return std::move(error);
  }
  std::vector<std::string> arguments{
      "-shared",          "--eh-frame-hdr",   "--build-id=none", "-z",
      "noexecstack",      "--hash-style=gnu", "--gc-sections",   "-o",
      inFolder("code.so")};
  arguments.insert(arguments.end(), objects.begin(), objects.end());
  if (Error error = link(arguments))
    return std::move(error);
  auto bytes = MemoryBuffer::getFile(inFolder("code.so"));
  if (!bytes)
    return createStringError("cannot read the linked code: " + bytes.getError().message());
  auto file = object::ObjectFile::createELFObjectFile((*bytes)->getMemBufferRef());
  if (!file)
    return file.takeError();
  if (Error error = checkSymbols(**file))
    return std::move(error);
  return (*bytes)->getBuffer().str();
}

} // namespace elfatt::compile
