// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/View/Trace.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace elfatt::view;

namespace {

class Trace : public ::testing::Test {
protected:
  Trace() {
    context.loadDialect<arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect,
                        memref::MemRefDialect, tensor::TensorDialect>();
  }

  /// Traces the operand of `return` at one atom per dim.
  Element trace(StringRef text) {
    module = parseSourceString<ModuleOp>(text, &context);
    Value value;
    module->walk([&](func::ReturnOp op) { value = op.getOperand(0); });
    Element element{value, {}};
    for (const Size &size : sizes.getSizes(value)) {
      atoms.push_back(space.addAtom(size));
      element.indices.push_back(space.get(atoms.back()));
    }
    return tracer.trace(element);
  }
  /// Stride of the leaf of `atom` that is `part`, in dim `dim` of `element`.
  int64_t getStride(const Element &element, unsigned dim, unsigned atom) {
    for (const Term &term : space.normalize(element.indices[dim]).terms)
      if (term.atom == atom)
        return term.stride.getNumber();
    return 0;
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  IndexSpace space;
  SizeAnalysis sizes;
  Tracer tracer{space, sizes};
  SmallVector<unsigned> atoms;
};

TEST_F(Trace, PackedProjection) {
  Element element = trace(R"(
    func.func @f(%qkv: tensor<2x5x24xf32>) -> tensor<2x2x5x4xf32> {
      %x = tensor.expand_shape %qkv [[0], [1], [2, 3, 4]] output_shape [2, 5, 3, 2, 4]
        : tensor<2x5x24xf32> into tensor<2x5x3x2x4xf32>
      %k = tensor.extract_slice %x[0, 0, 1, 0, 0] [2, 5, 1, 2, 4] [1, 1, 1, 1, 1]
        : tensor<2x5x3x2x4xf32> to tensor<2x5x2x4xf32>
      %e = tensor.empty() : tensor<2x2x5x4xf32>
      %t = linalg.transpose ins(%k : tensor<2x5x2x4xf32>) outs(%e : tensor<2x2x5x4xf32>)
        permutation = [0, 2, 1, 3]
      return %t : tensor<2x2x5x4xf32>
    })");
  EXPECT_TRUE(isa<BlockArgument>(element.source));
  ASSERT_EQ(element.indices.size(), 3u);
  EXPECT_EQ(getStride(element, 0, atoms[0]), 1);
  EXPECT_EQ(getStride(element, 1, atoms[2]), 1);
  EXPECT_EQ(getStride(element, 2, atoms[1]), 4);
  EXPECT_EQ(getStride(element, 2, atoms[3]), 1);
  EXPECT_EQ(element.indices[2].offset, 8);
}

TEST_F(Trace, BroadcastByMapHasNoAtom) {
  Element element = trace(R"(
    #in = affine_map<(a, b) -> (b)>
    #out = affine_map<(a, b) -> (a, b)>
    func.func @f(%x: tensor<6xf32>) -> tensor<4x6xf32> {
      %e = tensor.empty() : tensor<4x6xf32>
      %y = linalg.generic {indexing_maps = [#in, #out], iterator_types = ["parallel", "parallel"]}
          ins(%x : tensor<6xf32>) outs(%e : tensor<4x6xf32>) {
      ^bb0(%a: f32, %o: f32):
        linalg.yield %a : f32
      } -> tensor<4x6xf32>
      return %y : tensor<4x6xf32>
    })");
  EXPECT_TRUE(isa<BlockArgument>(element.source));
  EXPECT_EQ(getStride(element, 0, atoms[0]), 0);
  EXPECT_EQ(getStride(element, 0, atoms[1]), 1);
}

TEST_F(Trace, StopsAtComputation) {
  Element element = trace(R"(
    func.func @f(%x: tensor<4x6xf32>) -> tensor<24xf32> {
      %e = tensor.empty() : tensor<4x6xf32>
      %y = linalg.exp ins(%x : tensor<4x6xf32>) outs(%e : tensor<4x6xf32>) -> tensor<4x6xf32>
      %z = tensor.collapse_shape %y [[0, 1]] : tensor<4x6xf32> into tensor<24xf32>
      return %z : tensor<24xf32>
    })");
  EXPECT_TRUE(element.source.getDefiningOp<linalg::ExpOp>());
  EXPECT_EQ(space.getLeaves(atoms[0]).size(), 2u);
}

TEST_F(Trace, DynamicSizesAreSymbolsThatTheIRShowsEqual) {
  Element element = trace(R"(
    func.func @f(%x: tensor<?x5x8xf32>) -> tensor<?x2x5x4xf32> {
      %c0 = arith.constant 0 : index
      %n = tensor.dim %x, %c0 : tensor<?x5x8xf32>
      %flat = tensor.collapse_shape %x [[0, 1], [2]] : tensor<?x5x8xf32> into tensor<?x8xf32>
      %y = tensor.expand_shape %flat [[0, 1], [2, 3]] output_shape [%n, 5, 2, 4]
        : tensor<?x8xf32> into tensor<?x5x2x4xf32>
      %e = tensor.empty(%n) : tensor<?x2x5x4xf32>
      %t = linalg.transpose ins(%y : tensor<?x5x2x4xf32>) outs(%e : tensor<?x2x5x4xf32>)
        permutation = [0, 2, 1, 3]
      return %t : tensor<?x2x5x4xf32>
    })");
  EXPECT_TRUE(isa<BlockArgument>(element.source));
  ASSERT_EQ(element.indices.size(), 3u);
  EXPECT_EQ(getStride(element, 0, atoms[0]), 1);
  EXPECT_EQ(getStride(element, 1, atoms[2]), 1);
  EXPECT_EQ(getStride(element, 2, atoms[1]), 4);
}

TEST_F(Trace, SizesThroughSlices) {
  Element element = trace(R"(
    func.func @f(%x: tensor<?x4x6xf32>) -> tensor<?x6xf32> {
      %c0 = arith.constant 0 : index
      %n = tensor.dim %x, %c0 : tensor<?x4x6xf32>
      %a = tensor.extract_slice %x[0, 1, 0] [%n, 1, 6] [1, 1, 1]
        : tensor<?x4x6xf32> to tensor<?x6xf32>
      %b = tensor.extract_slice %a[0, 0] [%n, 6] [1, 1] : tensor<?x6xf32> to tensor<?x6xf32>
      return %b : tensor<?x6xf32>
    })");
  EXPECT_TRUE(isa<BlockArgument>(element.source));
  ASSERT_EQ(element.indices.size(), 3u);
  EXPECT_EQ(element.indices[1].offset, 1);
}

// Two ways to the values of one window, whose place is a value.
TEST_F(Trace, ViewsOfBuffersAddressTheSame) {
  module = parseSourceString<ModuleOp>(R"(
    func.func @f(%x: memref<12x3x2x8xf32>, %at: index) {
      %a = memref.subview %x[%at, 0, 1, 0] [6, 3, 1, 8] [1, 1, 1, 1] : memref<12x3x2x8xf32>
        to memref<6x3x8xf32, strided<[48, 16, 1], offset: ?>>
      %b = memref.expand_shape %a [[0, 1], [2], [3]] output_shape [2, 3, 3, 8]
        : memref<6x3x8xf32, strided<[48, 16, 1], offset: ?>>
        into memref<2x3x3x8xf32, strided<[144, 48, 16, 1], offset: ?>>
      %c = memref.subview %x[0, 2, 0, 0] [12, 1, 2, 8] [1, 1, 1, 1] : memref<12x3x2x8xf32>
        to memref<12x2x8xf32, strided<[48, 8, 1], offset: 32>>
      %d = memref.subview %c[%at, 1, 0] [6, 1, 8] [1, 1, 1]
        : memref<12x2x8xf32, strided<[48, 8, 1], offset: 32>>
        to memref<6x8xf32, strided<[48, 1], offset: ?>>
      %e = memref.expand_shape %d [[0, 1], [2]] output_shape [2, 3, 8]
        : memref<6x8xf32, strided<[48, 1], offset: ?>>
        into memref<2x3x8xf32, strided<[144, 48, 1], offset: ?>>
      return
    })",
                                       &context);
  ASSERT_TRUE(module);
  SmallVector<Value> expanded;
  module->walk([&](memref::ExpandShapeOp op) { expanded.push_back(op); });
  const Index y = space.get(space.addAtom(2)), x = space.get(space.addAtom(3)),
              c = space.get(space.addAtom(8));
  Element first = tracer.trace({expanded[0], {y, x, Index::constant(2), c}});
  Element second = tracer.trace({expanded[1], {y, x, c}});
  EXPECT_TRUE(isa<BlockArgument>(first.source));
  EXPECT_EQ(first.source, second.source);
  EXPECT_TRUE(space.equal(first.indices, second.indices));
  Element other = tracer.trace({expanded[0], {y, x, Index::constant(1), c}});
  EXPECT_FALSE(space.equal(other.indices, second.indices));
}

// Windows of 3 tokens, as `unfold` computes them: 3 * window + position.
TEST_F(Trace, GatherAtComputedPositions) {
  Element element = trace(R"(
    #id = affine_map<(w, i, c) -> (w, i, c)>
    func.func @f(%x: tensor<12x5xf32>) -> tensor<4x3x5xf32> {
      %c0 = arith.constant 0 : index
      %c3 = arith.constant 3 : index
      %c12 = arith.constant 12 : index
      %e = tensor.empty() : tensor<4x3x5xf32>
      %y = linalg.generic {indexing_maps = [#id], iterator_types = ["parallel", "parallel", "parallel"]}
        outs(%e : tensor<4x3x5xf32>) {
      ^bb0(%o: f32):
        %w = linalg.index 0 : index
        %i = linalg.index 1 : index
        %c = linalg.index 2 : index
        %first = arith.muli %w, %c3 : index
        %t = arith.addi %first, %i : index
        %negative = arith.cmpi slt, %t, %c0 : index
        %wrapped = arith.addi %t, %c12 : index
        %at = arith.select %negative, %wrapped, %t : index
        %v = tensor.extract %x[%at, %c] : tensor<12x5xf32>
        linalg.yield %v : f32
      } -> tensor<4x3x5xf32>
      return %y : tensor<4x3x5xf32>
    })");
  EXPECT_TRUE(isa<BlockArgument>(element.source));
  ASSERT_EQ(element.indices.size(), 2u);
  EXPECT_EQ(getStride(element, 0, atoms[0]), 3);
  EXPECT_EQ(getStride(element, 0, atoms[1]), 1);
  EXPECT_EQ(getStride(element, 1, atoms[2]), 1);
}

// A table that permutes 2 x 2 blocks of 2 tokens cuts its atom; one that is no sum of
// strides, or reaches out of the tensor, does not move as a view does.
TEST_F(Trace, GatherByTable) {
  auto gather = [](StringRef table) {
    return (R"(
    #at = affine_map<(t) -> (t)>
    func.func @f(%x: tensor<8xf32>) -> tensor<8xf32> {
      %table = arith.constant dense<[)" +
            table + R"(]> : tensor<8xi64>
      %e = tensor.empty() : tensor<8xf32>
      %y = linalg.generic {indexing_maps = [#at, #at], iterator_types = ["parallel"]}
        ins(%table : tensor<8xi64>) outs(%e : tensor<8xf32>) {
      ^bb0(%i: i64, %o: f32):
        %at = arith.index_cast %i : i64 to index
        %v = tensor.extract %x[%at] : tensor<8xf32>
        linalg.yield %v : f32
      } -> tensor<8xf32>
      return %y : tensor<8xf32>
    })")
        .str();
  };
  Element element = trace(gather("0, 1, 4, 5, 2, 3, 6, 7"));
  EXPECT_TRUE(isa<BlockArgument>(element.source));
  SmallVector<unsigned> leaves = space.getLeaves(atoms[0]);
  ASSERT_EQ(leaves.size(), 3u);
  EXPECT_EQ(getStride(element, 0, leaves[0]), 2);
  EXPECT_EQ(getStride(element, 0, leaves[1]), 4);
  EXPECT_EQ(getStride(element, 0, leaves[2]), 1);
  EXPECT_TRUE(space.isPartOf(leaves[0], atoms[0]));
  for (StringRef table : {"0, 1, 4, 5, 2, 3, 7, 6", "1, 2, 3, 4, 5, 6, 7, 8"}) {
    atoms.clear();
    EXPECT_TRUE(trace(gather(table)).source.getDefiningOp<linalg::GenericOp>());
  }
}

} // namespace
