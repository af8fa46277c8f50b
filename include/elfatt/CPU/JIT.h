// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Compiles a module of the LLVM dialect for this machine and loads it.
#ifndef ELFATT_CPU_JIT_H
#define ELFATT_CPU_JIT_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

namespace llvm::orc {
class LLJIT;
} // namespace llvm::orc

namespace elfatt::cpu {

/// Width of this machine's vector registers in bits: 512, 256 or 128.
int64_t getHostVectorBits();

/// Whether this machine multiplies pairs of bf16 in registers of 512 bits (AVX512-BF16).
bool hostDotsBF16();

/// Code in memory. It reads the constants bound by `elfatt.constants` where
/// the MLIR context holds them: the context must outlive the code.
class JIT {
public:
  /// Compiles `module`, every function of which is LLVM dialect. Errors say
  /// which step failed. `functions` are what the code calls by name, beside the
  /// runtime's.
  using Function = std::pair<llvm::StringRef, const void *>;
  static llvm::Expected<std::unique_ptr<JIT>> create(mlir::ModuleOp module,
                                                     llvm::ArrayRef<Function> functions = {});
  ~JIT();

  /// Runs the C interface of `function` (made by `llvm.emit_c_interface`):
  /// `args` points to one pointer for each of its parameters.
  using Entry = void (*)(void **args);
  llvm::Expected<Entry> lookup(llvm::StringRef function);

private:
  explicit JIT(std::unique_ptr<llvm::orc::LLJIT> jit);
  std::unique_ptr<llvm::orc::LLJIT> jit;
};

} // namespace elfatt::cpu

#endif // ELFATT_CPU_JIT_H
