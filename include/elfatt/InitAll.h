// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Registers what the project brings, and everything of upstream's that its
// pipelines and tools use.
#ifndef ELFATT_INITALL_H
#define ELFATT_INITALL_H

namespace mlir {
class DialectRegistry;
} // namespace mlir

namespace elfatt {

/// The project's dialects with their external interfaces.
void registerAllDialects(mlir::DialectRegistry &registry);

/// Everything of upstream: dialects, extensions, translations to LLVM IR.
void registerUpstreamDialects(mlir::DialectRegistry &registry);

/// The project's passes, then its pipelines, by their command-line names.
void registerAllPasses();
void registerAllPipelines();

/// Upstream's passes.
void registerUpstreamPasses();

} // namespace elfatt

#endif // ELFATT_INITALL_H
