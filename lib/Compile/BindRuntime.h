// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_COMPILE_BINDRUNTIME_H
#define ELFATT_LIB_COMPILE_BINDRUNTIME_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"

#include <string>

namespace llvm {
class Module;
} // namespace llvm

namespace elfatt::compile {

/// The file of constants: each value once, however many versions of the code
/// read it.
class ConstantFile {
public:
  /// The place of `bytes` in the file.
  int64_t add(llvm::ArrayRef<char> bytes);

  std::string contents;

private:
  llvm::StringMap<int64_t> places;
};

/// Adds the interface of CodeInterface.h to `module`, and has calls of the
/// runtime and addresses of constants go through it. Everything but the entries
/// becomes internal.
void bindRuntime(llvm::Module &module,
                 llvm::ArrayRef<std::pair<llvm::StringRef, llvm::ArrayRef<char>>> values,
                 ConstantFile &constants);

/// Adds the conversions between f32 and the types of 16 bits that some
/// processors have no instruction for: LLVM calls them by name.
llvm::Error addConversions(llvm::Module &module);

/// For processors without fused multiply-adds: a call of the C library for each
/// element would take their place. Those of vectors become a product and a sum.
void splitMultiplyAdds(llvm::Module &module);

} // namespace elfatt::compile

#endif // ELFATT_LIB_COMPILE_BINDRUNTIME_H
