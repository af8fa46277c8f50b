// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/SymbolTable.h"

using namespace mlir;

namespace elfatt::cpu {
#define GEN_PASS_DEF_LOWERASSERTIONSPASS
#include "elfatt/CPU/Passes.h.inc"

namespace {

constexpr StringLiteral failName = "elfatt_fail";

/// The message as a zero-terminated string; equal messages are one.
LLVM::GlobalOp getOrMakeMessage(ModuleOp module, SymbolTable &symbols, StringAttr message) {
  std::string text = message.str() + '\0';
  OpBuilder b(module.getBodyRegion());
  for (auto global : module.getOps<LLVM::GlobalOp>())
    if (global.getValueAttr() == b.getStringAttr(text))
      return global;
  auto type = LLVM::LLVMArrayType::get(b.getI8Type(), text.size());
  auto global =
      LLVM::GlobalOp::create(b, module.getLoc(), type, /*isConstant=*/true, LLVM::Linkage::Internal,
                             "elfatt_message", b.getStringAttr(text));
  symbols.insert(global);
  return global;
}

func::FuncOp getOrDeclareFail(ModuleOp module, SymbolTable &symbols) {
  if (auto fail = symbols.lookup<func::FuncOp>(failName))
    return fail;
  OpBuilder b(module.getContext());
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  auto fail = func::FuncOp::create(module.getLoc(), failName, b.getFunctionType({pointer}, {}));
  fail.setPrivate();
  symbols.insert(fail, module.getBody()->begin());
  return fail;
}

struct LowerAssertions : impl::LowerAssertionsPassBase<LowerAssertions> {
  using LowerAssertionsPassBase::LowerAssertionsPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    SymbolTable symbols(module);
    SmallVector<cf::AssertOp> assertions;
    module.walk([&](cf::AssertOp op) { assertions.push_back(op); });
    for (cf::AssertOp op : assertions) {
      OpBuilder b(op);
      Location loc = op.getLoc();
      LLVM::GlobalOp message = getOrMakeMessage(module, symbols, op.getMsgAttr());
      func::FuncOp fail = getOrDeclareFail(module, symbols);
      auto branch = scf::IfOp::create(b, loc, op.getArg(), /*withElseRegion=*/true);
      b.setInsertionPointToStart(branch.elseBlock());
      Value address = LLVM::AddressOfOp::create(b, loc, message);
      func::CallOp::create(b, loc, fail, address);
      op.erase();
      ++numLowered;
    }
  }
};

} // namespace
} // namespace elfatt::cpu
