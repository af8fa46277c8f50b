// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// AggregatedOpInterface: elfatt and linear into parts that write disjoint slices
// of one destination.
#include "elfatt/Dialect/Attention/IR/Attention.h"

using namespace mlir;
using namespace elfatt::attention;

FailureOr<SmallVector<Value>> ElfattOp::decomposeOperation(OpBuilder &builder) {
  return failure();
}
FailureOr<SmallVector<Value>> LinearOp::decomposeOperation(OpBuilder &builder) {
  return failure();
}
