// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Canonicalization: what stands beside an attention op folds into it.
#include "elfatt/Dialect/Attention/IR/Attention.h"

using namespace mlir;
using namespace elfatt::attention;

void SdpaOp::getCanonicalizationPatterns(RewritePatternSet &, MLIRContext *) {}
void ElfattOp::getCanonicalizationPatterns(RewritePatternSet &, MLIRContext *) {}
void LinearOp::getCanonicalizationPatterns(RewritePatternSet &, MLIRContext *) {}
