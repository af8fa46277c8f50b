// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;

namespace elfatt::cpu {
#define GEN_PASS_DEF_COPIESTOLINALGPASS
#include "elfatt/CPU/Passes.h.inc"

namespace {

struct CopiesToLinalg : impl::CopiesToLinalgPassBase<CopiesToLinalg> {
  using CopiesToLinalgPassBase::CopiesToLinalgPassBase;

  void runOnOperation() override {
    getOperation()->walk([&](memref::CopyOp copy) {
      OpBuilder b(copy);
      linalg::makeMemRefCopyOp(b, copy.getLoc(), copy.getSource(), copy.getTarget());
      copy.erase();
      ++numCopies;
    });
  }
};

} // namespace
} // namespace elfatt::cpu
