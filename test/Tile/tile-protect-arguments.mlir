// What a caller passes as a tensor is only read, though an update in place would need no
// copy. Memory that the caller lends is written.

// RUN: elfatt-opt %s --elfatt-tile-protect-arguments | FileCheck %s --check-prefix=MARK
// RUN: elfatt-opt %s --elfatt-to-gpu | FileCheck %s
// RUN: elfatt-opt %s --elfatt-to-cpu --stop-after=bufferize | FileCheck %s

// MARK: @update(%{{.*}}: tensor<2x8xf32> {bufferization.writable = false}, %{{.*}}: tensor<2x4xf32> {bufferization.writable = false})
// MARK: @write(%{{.*}}: memref<2x8xf32>, %{{.*}}: tensor<2x4xf32> {bufferization.writable = false})
// MARK: @inner(%{{.*}}: tensor<2x8xf32>,

// CHECK-LABEL: func.func @update
// CHECK-SAME: (%[[CACHE:.*]]: memref<2x8xf32>, %[[NEW:.*]]: memref<2x4xf32>)
// CHECK: %[[COPY:.*]] = memref.alloc()
// CHECK: memref.copy %[[CACHE]], %[[COPY]]
// CHECK: %[[SLICE:.*]] = memref.subview %[[COPY]]
// CHECK: memref.copy %[[NEW]], %[[SLICE]]
func.func @update(%cache: tensor<2x8xf32>, %new: tensor<2x4xf32>) -> tensor<2x8xf32> {
  %r = tensor.insert_slice %new into %cache[0, 2] [2, 4] [1, 1]
      : tensor<2x4xf32> into tensor<2x8xf32>
  return %r : tensor<2x8xf32>
}

// CHECK-LABEL: func.func @write
// CHECK-SAME: (%[[CACHE:.*]]: memref<2x8xf32>, %[[NEW:.*]]: memref<2x4xf32>)
// CHECK-NOT: memref.alloc
// CHECK: %[[SLICE:.*]] = memref.subview %[[CACHE]]
// CHECK: memref.copy %[[NEW]], %[[SLICE]]
func.func @write(%cache: memref<2x8xf32>, %new: tensor<2x4xf32>) {
  %slice = memref.subview %cache[0, 2] [2, 4] [1, 1]
      : memref<2x8xf32> to memref<2x4xf32, strided<[8, 1], offset: 2>>
  bufferization.materialize_in_destination %new in writable %slice
      : (tensor<2x4xf32>, memref<2x4xf32, strided<[8, 1], offset: 2>>) -> ()
  return
}

// Its callers are known: their tensors may be updated.
// CHECK-LABEL: func.func private @inner
// CHECK-NOT: memref.alloc
// CHECK: return
func.func private @inner(%cache: tensor<2x8xf32>, %new: tensor<2x4xf32>) -> tensor<2x8xf32> {
  %r = tensor.insert_slice %new into %cache[0, 2] [2, 4] [1, 1]
      : tensor<2x4xf32> into tensor<2x8xf32>
  return %r : tensor<2x8xf32>
}
func.func @outer(%new: tensor<2x4xf32>) -> tensor<2x8xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<2x8xf32>
  %cache = linalg.fill ins(%zero : f32) outs(%empty : tensor<2x8xf32>) -> tensor<2x8xf32>
  %r = call @inner(%cache, %new) : (tensor<2x8xf32>, tensor<2x4xf32>) -> tensor<2x8xf32>
  return %r : tensor<2x8xf32>
}
