// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the worker's next iteration will read, to be asked for before.
#ifndef ELFATT_LIB_TILE_BUILDERS_NEXTTILE_H
#define ELFATT_LIB_TILE_BUILDERS_NEXTTILE_H

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace elfatt::tile {

/// Views of the iteration after this one of the loop over workers around the place where
/// the builder stands. The loop's last dim runs fastest, and the first iteration follows
/// the last.
class NextTile {
public:
  explicit NextTile(mlir::ImplicitLocOpBuilder &b) : b(b) {}

  /// What `view` is in the next iteration. Where it does not depend on the iteration, or is
  /// made by more than views and arithmetic, null.
  mlir::Value get(mlir::Value view);

private:
  void advance(mlir::Operation *loop);
  bool canMove(mlir::Value value, mlir::Operation *loop, bool &depends);
  mlir::Value move(mlir::Value value);

  mlir::ImplicitLocOpBuilder &b;
  mlir::Operation *of = nullptr; ///< the loop whose indices `mapping` has
  mlir::IRMapping mapping;
};

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_BUILDERS_NEXTTILE_H
