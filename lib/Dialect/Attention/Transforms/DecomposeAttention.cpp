// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Dialect/Attention/Transforms/Passes.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"

namespace elfatt::attention {
#define GEN_PASS_DEF_DECOMPOSEATTENTIONPASS
#include "elfatt/Dialect/Attention/Transforms/Passes.h.inc"

namespace {
struct DecomposeAttentionPass : impl::DecomposeAttentionPassBase<DecomposeAttentionPass> {
  void runOnOperation() override {}
};
} // namespace
} // namespace elfatt::attention
