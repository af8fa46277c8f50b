// RUN: elfatt-opt %s --elfatt-raise-simplify-sizes --canonicalize | FileCheck %s

// What broadcasting products of matrices make of an open batch.
// CHECK-LABEL: @batch
func.func @batch(%x: tensor<?x2x50x50xf32>) -> index {
  // CHECK: %[[DIM:.*]] = tensor.dim %{{.*}}, %c0
  // CHECK: return %[[DIM]]
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %dim = tensor.dim %x, %c0 : tensor<?x2x50x50xf32>
  %merged = arith.muli %dim, %c2 : index
  %split = arith.divsi %merged, %c2 : index
  %larger = arith.maxui %split, %dim : index
  %again = arith.muli %larger, %c2 : index
  %result = arith.divui %again, %c2 : index
  return %result : index
}

// CHECK-LABEL: @inferred
func.func @inferred(%x: tensor<?x64xf32>) -> i64 {
  // CHECK: return %c2_i64
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : i64
  %c32 = arith.constant 32 : i64
  %dim = tensor.dim %x, %c0 : tensor<?x64xf32>
  %size = arith.index_cast %dim : index to i64
  %elements = arith.muli %size, %c64 : i64
  %known = arith.muli %size, %c32 : i64
  %heads = arith.divsi %elements, %known : i64
  return %heads : i64
}

// A size of -1 would stand for what is left.
// CHECK-LABEL: @negative
func.func @negative(%x: tensor<?x64xf32>, %other: i64) -> i64 {
  // CHECK: %[[SIZE:.*]] = arith.index_cast
  // CHECK: return %[[SIZE]]
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0 : i64
  %dim = tensor.dim %x, %c0 : tensor<?x64xf32>
  %size = arith.index_cast %dim : index to i64
  %is_negative = arith.cmpi slt, %size, %zero : i64
  %result = arith.select %is_negative, %other, %size : i64
  return %result : i64
}

// An index passes between two types of integers.
// CHECK-LABEL: @widths
func.func @widths(%n: i32) -> i64 {
  // CHECK: %[[INDEX:.*]] = arith.index_cast %{{.*}} : i32 to index
  // CHECK: %[[WIDE:.*]] = arith.index_cast %[[INDEX]] : index to i64
  // CHECK: return %[[WIDE]]
  %c2 = arith.constant 2 : i64
  %index = arith.index_cast %n : i32 to index
  %wide = arith.index_cast %index : index to i64
  %twice = arith.muli %wide, %c2 : i64
  %half = arith.divsi %twice, %c2 : i64
  return %half : i64
}

// No quotient of these is a size for all that is open.
// CHECK-LABEL: @left
func.func @left(%x: tensor<?x?xf32>, %n: index) -> (index, index, index, index) {
  // CHECK: arith.divsi
  // CHECK: arith.maxui
  // CHECK: arith.divsi
  // CHECK: arith.cmpi
  // CHECK: arith.select
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %a = tensor.dim %x, %c0 : tensor<?x?xf32>
  %b = tensor.dim %x, %c1 : tensor<?x?xf32>
  %half = arith.divsi %a, %c2 : index
  %larger = arith.maxui %a, %b : index
  %part = arith.divsi %n, %b : index
  // An argument may be negative.
  %is_negative = arith.cmpi slt, %n, %c0 : index
  %chosen = arith.select %is_negative, %a, %n : index
  return %half, %larger, %part, %chosen : index, index, index, index
}
