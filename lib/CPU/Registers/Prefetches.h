// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_CPU_REGISTERS_PREFETCHES_H
#define ELFATT_LIB_CPU_REGISTERS_PREFETCHES_H

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace elfatt::cpu {

/// Whether `op` is a loop of a known number of iterations that asks for memory and does nothing
/// else.
bool isPrefetchLoop(mlir::Operation *op);

/// Loops of prefetches that the loops of a product take along. A core waits for few lines at once:
/// asked for in a row, they delay what is behind them.
class Prefetches {
public:
  void add(mlir::scf::ForOp loop) { loops.push_back(loop); }

  /// Makes the loop over the steps `from` <= k < `bound` of the `depth` of panel `panel` of
  /// `panels` of a product, with their share of the prefetches between the steps. `step` makes
  /// one, from its k and the sums before it; the sums after it are yielded.
  mlir::ValueRange forEachStep(
      mlir::ImplicitLocOpBuilder &b, mlir::Value from, mlir::Value bound, int64_t depth,
      size_t panel, size_t panels, mlir::ValueRange sums,
      llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value, mlir::ValueRange)> step) const;

  /// Erases the loops, which are part of a product now.
  void erase();

private:
  llvm::SmallVector<mlir::scf::ForOp> loops;
};

} // namespace elfatt::cpu

#endif // ELFATT_LIB_CPU_REGISTERS_PREFETCHES_H
