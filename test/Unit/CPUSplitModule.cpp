// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Functions of a module in modules that threads compile beside each other.
#include "elfatt/CPU/SplitModule.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"

#include "gtest/gtest.h"

using namespace mlir;

namespace {

class SplitModule : public testing::Test {
protected:
  SplitModule() { context.loadDialect<LLVM::LLVMDialect>(); }

  /// The functions defined in each part of the module in `text`, each part being valid.
  std::vector<std::vector<std::string>> split(llvm::StringRef text, size_t count) {
    auto module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module);
    parts = elfatt::cpu::splitModule(*module, count);
    std::vector<std::vector<std::string>> names;
    for (OwningOpRef<ModuleOp> &part : parts) {
      EXPECT_TRUE(succeeded(verify(*part)));
      EXPECT_EQ((*part)->getAttrs(), (*module)->getAttrs());
      names.emplace_back();
      for (auto function : part->getOps<LLVM::LLVMFuncOp>())
        if (!function.isExternal())
          names.back().push_back(function.getSymName().str());
    }
    return names;
  }

  bool knows(size_t part, llvm::StringRef name) { return parts[part]->lookupSymbol(name); }

  MLIRContext context;
  SmallVector<OwningOpRef<ModuleOp>> parts;
};

using Names = std::vector<std::vector<std::string>>;

constexpr llvm::StringLiteral kernels = R"(
module attributes {elfatt.constants = {}} {
  llvm.mlir.global internal constant @text("text")
  llvm.mlir.global external @weights() : !llvm.array<8 x f32>
  llvm.func @launch(!llvm.ptr)
  llvm.func @main() {
    %0 = llvm.mlir.addressof @large : !llvm.ptr
    llvm.call @launch(%0) : (!llvm.ptr) -> ()
    llvm.return
  }
  llvm.func @small() {
    llvm.return
  }
  llvm.func internal @large() {
    %0 = llvm.mlir.addressof @text : !llvm.ptr
    %1 = llvm.mlir.addressof @weights : !llvm.ptr
    %2 = llvm.load %1 : !llvm.ptr -> f32
    llvm.store %2, %0 : f32, !llvm.ptr
    llvm.return
  }
})";

TEST_F(SplitModule, PartsHoldAboutAsManyOps) {
  EXPECT_EQ(split(kernels, 2), (Names{{"large"}, {"main", "small"}}));
  EXPECT_EQ(split(kernels, 8), (Names{{"large"}, {"main"}, {"small"}}))
      << "no part without a function";
}

TEST_F(SplitModule, PartsDeclareWhatTheyUse) {
  split(kernels, 2);
  EXPECT_TRUE(knows(0, "text") && knows(0, "weights"));
  EXPECT_FALSE(knows(1, "text") || knows(1, "weights") || knows(0, "launch"));
  EXPECT_TRUE(knows(1, "launch"));
  auto definition = parts[0]->lookupSymbol<LLVM::LLVMFuncOp>("large");
  EXPECT_EQ(definition.getLinkage(), LLVM::Linkage::External) << "another part takes its address";
  EXPECT_TRUE(parts[1]->lookupSymbol<LLVM::LLVMFuncOp>("large").isExternal());
}

TEST_F(SplitModule, OnePartIsTheModule) {
  EXPECT_EQ(split(kernels, 1), (Names{{"main", "small", "large"}}));
  EXPECT_EQ(split(kernels, 0), (Names{{"main", "small", "large"}}));
}

TEST_F(SplitModule, VariablesAreNotCopied) {
  constexpr llvm::StringLiteral variable = R"(
    llvm.mlir.global internal @count(0 : i32) : i32
    llvm.func @a() {
      llvm.return
    }
    llvm.func @b() {
      llvm.return
    }
  )";
  EXPECT_EQ(split(variable, 2), (Names{{"a", "b"}}));
}

} // namespace
