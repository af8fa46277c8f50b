// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/Passes.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

namespace elfatt::tile {
#define GEN_PASS_DEF_TILEPROTECTARGUMENTSPASS
#include "elfatt/Tile/Passes.h.inc"

using namespace mlir;

namespace {
struct TileProtectArgumentsPass : impl::TileProtectArgumentsPassBase<TileProtectArgumentsPass> {
  void runOnOperation() override {
    Builder b(&getContext());
    for (auto function : getOperation().getOps<FunctionOpInterface>()) {
      if (!function.isPublic() || function.isExternal())
        continue;
      for (auto [i, type] : llvm::enumerate(function.getArgumentTypes()))
        if (isa<TensorType>(type))
          function.setArgAttr(i, bufferization::BufferizationDialect::kWritableAttrName,
                              b.getBoolAttr(false));
    }
  }
};
} // namespace
} // namespace elfatt::tile
