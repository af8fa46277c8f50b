// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The kinds of processor that bundles hold code for: pure data.
#ifndef ELFATT_TARGET_PROCESSOR_H
#define ELFATT_TARGET_PROCESSOR_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace elfatt::target {

/// One level of an architecture; the runtime picks the best that it can run.
struct Processor {
  llvm::StringLiteral name;         ///< "x86-64-v3", as manifests and --target have it
  llvm::StringLiteral architecture; ///< "x86_64", as in a triple
  llvm::StringLiteral cpu;          ///< as LLVM's back end has it
  llvm::StringLiteral features;     ///< on top of those
  int64_t vectorBits;
  int64_t vectorRegisters;
  bool fma; ///< multiply-adds with one rounding
  /// Sums of two products of bf16: code of its own where something is such a sum.
  bool dotsBF16 = false;
};

llvm::ArrayRef<Processor> getProcessors();

/// What `cpu[:TRIPLE[:LEVEL[+LEVEL...]]]` names.
struct ProcessorTarget {
  std::string triple; ///< "x86_64-linux-gnu"
  std::vector<const Processor *> levels;
};

/// Reads the part of a target behind `cpu`: empty, or ":TRIPLE[:LEVELS]". No
/// triple means this machine's architecture, no levels all that it has.
llvm::Expected<ProcessorTarget> parseProcessorTarget(llvm::StringRef text);

} // namespace elfatt::target

#endif // ELFATT_TARGET_PROCESSOR_H
