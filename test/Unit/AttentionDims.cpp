// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Dialect/Attention/IR/Attention.h"

#include "mlir/IR/AffineMap.h"
#include "mlir/IR/MLIRContext.h"

#include <gtest/gtest.h>

using elfatt::attention::AttentionDims;
using mlir::AffineMap;

namespace {

class AttentionDimsTest : public ::testing::Test {
protected:
  /// A map from six dims (b, h, i, j, d, e) to those of `results`.
  AffineMap map(llvm::ArrayRef<unsigned> results) {
    return AffineMap::getMultiDimMapWithTargets(6, results, &context);
  }

  mlir::MLIRContext context;
};

TEST_F(AttentionDimsTest, ClassifiesSoftmaxAttention) {
  llvm::FailureOr<AttentionDims> dims = AttentionDims::infer(map({0, 1, 2, 4}), map({0, 1, 3, 4}),
                                                             map({0, 1, 3, 5}), map({0, 1, 2, 5}));
  ASSERT_TRUE(mlir::succeeded(dims));
  EXPECT_EQ(dims->batch, (llvm::SmallVector<unsigned>{0, 1}));
  EXPECT_EQ(dims->rows, (llvm::SmallVector<unsigned>{2}));
  EXPECT_EQ(dims->keys, (llvm::SmallVector<unsigned>{3}));
  EXPECT_EQ(dims->channels, 4u);
  EXPECT_EQ(dims->values, 5u);
}

TEST_F(AttentionDimsTest, ClassifiesWindowsAsBatch) {
  // Two token dims, as a window has, are both rows.
  AffineMap query = AffineMap::getMultiDimMapWithTargets(7, {0, 1, 2, 5}, &context);
  AffineMap key = AffineMap::getMultiDimMapWithTargets(7, {0, 3, 4, 5}, &context);
  AffineMap value = AffineMap::getMultiDimMapWithTargets(7, {0, 3, 4, 6}, &context);
  AffineMap output = AffineMap::getMultiDimMapWithTargets(7, {0, 1, 2, 6}, &context);
  llvm::FailureOr<AttentionDims> dims = AttentionDims::infer(query, key, value, output);
  ASSERT_TRUE(mlir::succeeded(dims));
  EXPECT_EQ(dims->rows, (llvm::SmallVector<unsigned>{1, 2}));
  EXPECT_EQ(dims->keys, (llvm::SmallVector<unsigned>{3, 4}));
}

TEST_F(AttentionDimsTest, SaysWhyItFails) {
  // Two channel dims.
  std::string why;
  EXPECT_TRUE(mlir::failed(AttentionDims::infer(map({0, 2, 1, 4}), map({0, 3, 1, 4}),
                                                map({0, 3, 5}), map({0, 2, 5}), &why)));
  EXPECT_FALSE(why.empty());
}

} // namespace
