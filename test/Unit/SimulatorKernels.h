// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Kernels for the simulator's tests, from LLVM IR.
#ifndef ELFATT_TEST_UNIT_SIMULATORKERNELS_H
#define ELFATT_TEST_UNIT_SIMULATORKERNELS_H

#include "elfatt/Simulator/Simulator.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/SourceMgr.h"
#include "gtest/gtest.h"

namespace elfatt::sim {

/// Compiles LLVM IR; declarations of the intrinsics that it calls are added. With `error` it
/// must not compile, and the message lands there.
inline std::unique_ptr<Program> compile(const std::string &body, std::string *error = nullptr,
                                        const target::Chip *chip = nullptr) {
  auto context = std::make_unique<llvm::LLVMContext>();
  llvm::SMDiagnostic diagnostic;
  std::string text = R"(
    target triple = "nvptx64-nvidia-cuda"
    declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
    declare i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
    declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
    declare i32 @llvm.nvvm.read.ptx.sreg.laneid()
    declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)
    declare void @llvm.nvvm.barrier.cta.sync.aligned.count(i32, i32)
    declare void @llvm.nvvm.barrier.cta.arrive.aligned.count(i32, i32)
    declare void @llvm.nvvm.bar.warp.sync(i32)
    declare i32 @llvm.nvvm.shfl.sync.bfly.i32(i32, i32, i32, i32)
    declare void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3), ptr addrspace(1))
    declare void @llvm.nvvm.cp.async.commit.group()
    declare void @llvm.nvvm.cp.async.wait.group(i32)
    declare i32 @llvm.nvvm.activemask()
    declare void @llvm.trap()
  )" + body;
  auto module = llvm::parseAssemblyString(text, diagnostic, *context);
  if (!module) {
    ADD_FAILURE() << diagnostic.getMessage().str() << ": " << diagnostic.getLineContents().str();
    return nullptr;
  }
  // What no test calls is not there.
  for (llvm::Function &function : llvm::make_early_inc_range(*module))
    if (function.isDeclaration() && function.use_empty())
      function.eraseFromParent();
  auto program = Program::create(std::move(context), std::move(module), chip);
  if (program)
    return std::move(*program);
  std::string message = llvm::toString(program.takeError());
  if (error)
    *error = message;
  else
    ADD_FAILURE() << message;
  return nullptr;
}

/// A kernel of pointers alone, each to one of `buffers`.
inline llvm::Expected<LaunchCounts> launch(Program &program, llvm::StringRef kernel,
                                           LaunchConfig config, std::vector<Buffer> buffers) {
  std::vector<const void *> pointers;
  for (auto [i, buffer] : llvm::enumerate(buffers)) {
    if (buffer.name.empty())
      buffer.name = "argument " + std::to_string(i);
    pointers.push_back(buffer.data);
  }
  std::vector<void *> args;
  for (const void *&pointer : pointers)
    args.push_back(&pointer);
  config.buffers = std::move(buffers);
  return program.launch(kernel, config, args);
}

/// Launches and expects an error; its message.
inline std::string launchError(Program &program, llvm::StringRef kernel, LaunchConfig config,
                               std::vector<Buffer> buffers) {
  auto counts = launch(program, kernel, std::move(config), std::move(buffers));
  if (counts)
    return "no error";
  return llvm::toString(counts.takeError());
}

template <typename T, size_t N> Buffer bufferOf(T (&array)[N], bool isWritable = true) {
  return {array, sizeof(array), isWritable, ""};
}
template <typename T> Buffer bufferOf(std::vector<T> &array, bool isWritable = true) {
  return {array.data(), array.size() * sizeof(T), isWritable, ""};
}

inline const target::Chip &getChip(llvm::StringRef name) {
  return *llvm::cantFail(target::findChip(name));
}

/// `text` with the first `from` as `to`.
inline std::string replace(std::string text, const std::string &from, const std::string &to) {
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

inline bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}
#define EXPECT_CONTAINS(text, part) EXPECT_TRUE(contains(text, part)) << text

/// One block of n threads.
inline LaunchConfig threads(uint32_t n) {
  LaunchConfig config;
  config.block = {n};
  return config;
}

inline const std::string kBarrier = "call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)";

} // namespace elfatt::sim

#endif // ELFATT_TEST_UNIT_SIMULATORKERNELS_H
