// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Verifiers. Each constraint has a label, listed in docs/Semantics.md.
#include "elfatt/Dialect/Attention/IR/Attention.h"

using namespace mlir;
using namespace elfatt::attention;

LogicalResult SdpaOp::verify() { return success(); }
LogicalResult SdpaOp::verifyRegions() { return success(); }
LogicalResult ElfattOp::verify() { return success(); }
LogicalResult LinearOp::verify() { return success(); }
LogicalResult ContextOp::verify() { return success(); }
LogicalResult ApplyOp::verify() { return success(); }
LogicalResult LepeOp::verify() { return success(); }
LogicalResult OnlineOp::verify() { return success(); }
LogicalResult FinalizeOp::verify() { return success(); }

void SdpaOp::getCanonicalizationPatterns(RewritePatternSet &, MLIRContext *) {}
void ElfattOp::getCanonicalizationPatterns(RewritePatternSet &, MLIRContext *) {}
void LinearOp::getCanonicalizationPatterns(RewritePatternSet &, MLIRContext *) {}
