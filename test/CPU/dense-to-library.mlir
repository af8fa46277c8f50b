// RUN: elfatt-opt %s --elfatt-cpu-dense-to-library --cse | FileCheck %s

// CHECK: func.func private @elfatt_sgemm(

// CHECK-LABEL: func @adds_to_what_is_there
// CHECK: %[[BETA:.*]] = arith.constant 1.0
// CHECK: call @elfatt_sgemm({{.*}}, %[[BETA]])
// CHECK-NOT: linalg
func.func @adds_to_what_is_there(%a: memref<4x8xf32>, %b: memref<8x16xf32>, %c: memref<4x16xf32>) {
  linalg.matmul ins(%a, %b : memref<4x8xf32>, memref<8x16xf32>) outs(%c : memref<4x16xf32>)
  return
}

// CHECK-LABEL: func @zero_fill_goes_away
// CHECK-NOT: linalg.fill
// CHECK: %[[BETA:.*]] = arith.constant 0.0
// CHECK: call @elfatt_sgemm({{.*}}, %[[BETA]])
func.func @zero_fill_goes_away(%a: memref<4x8xf32>, %b: memref<8x16xf32>) -> memref<4x16xf32> {
  %zero = arith.constant 0.0 : f32
  %c = memref.alloc() : memref<4x16xf32>
  linalg.fill ins(%zero : f32) outs(%c : memref<4x16xf32>)
  linalg.matmul ins(%a, %b : memref<4x8xf32>, memref<8x16xf32>) outs(%c : memref<4x16xf32>)
  return %c : memref<4x16xf32>
}

// The result is read between the fill and the product.
// CHECK-LABEL: func @zero_fill_that_is_read_stays
// CHECK: linalg.fill
// CHECK: memref.load
// CHECK: call @elfatt_sgemm
func.func @zero_fill_that_is_read_stays(%a: memref<4x8xf32>, %b: memref<8x16xf32>)
    -> (memref<4x16xf32>, f32) {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c = memref.alloc() : memref<4x16xf32>
  linalg.fill ins(%zero : f32) outs(%c : memref<4x16xf32>)
  %x = memref.load %c[%c0, %c0] : memref<4x16xf32>
  linalg.matmul ins(%a, %b : memref<4x8xf32>, memref<8x16xf32>) outs(%c : memref<4x16xf32>)
  return %c, %x : memref<4x16xf32>, f32
}

// Both dims of the left rows lie behind each other: one product of 15 rows,
// the transposed right operand by its strides.
// CHECK-LABEL: func @shared_weight_is_one_product
// CHECK-DAG: %[[ROWS:.*]] = arith.constant 15 : index
// CHECK-NOT: scf.for
// CHECK: call @elfatt_sgemm({{.*}}, {{.*}}, %[[ROWS]],
#a = affine_map<(i, j, n, k) -> (i, j, k)>
#w = affine_map<(i, j, n, k) -> (n, k)>
#c = affine_map<(i, j, n, k) -> (i, j, n)>
func.func @shared_weight_is_one_product(%a: memref<3x5x8xf32>, %w: memref<7x8xf32>,
                                        %c: memref<3x5x7xf32>) {
  linalg.generic {indexing_maps = [#a, #w, #c],
                  iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%a, %w : memref<3x5x8xf32>, memref<7x8xf32>) outs(%c : memref<3x5x7xf32>) {
  ^bb0(%x: f32, %y: f32, %z: f32):
    %0 = arith.mulf %x, %y : f32
    %1 = arith.addf %z, %0 : f32
    linalg.yield %1 : f32
  }
  return
}

// CHECK-LABEL: func @other_bodies_stay
// CHECK-NOT: call
// CHECK: linalg.generic
func.func @other_bodies_stay(%a: memref<3x5x8xf32>, %w: memref<7x8xf32>, %c: memref<3x5x7xf32>) {
  linalg.generic {indexing_maps = [#a, #w, #c],
                  iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%a, %w : memref<3x5x8xf32>, memref<7x8xf32>) outs(%c : memref<3x5x7xf32>) {
  ^bb0(%x: f32, %y: f32, %z: f32):
    %0 = arith.mulf %x, %y : f32
    %1 = arith.maximumf %z, %0 : f32
    linalg.yield %1 : f32
  }
  return
}

// CHECK-LABEL: func @f64_stays
// CHECK: linalg.matmul
func.func @f64_stays(%a: memref<4x8xf64>, %b: memref<8x16xf64>, %c: memref<4x16xf64>) {
  linalg.matmul ins(%a, %b : memref<4x8xf64>, memref<8x16xf64>) outs(%c : memref<4x16xf64>)
  return
}

// What is summed over one operand alone is no part of a product.
// CHECK-LABEL: func @sum_of_one_operand_stays
// CHECK-NOT: elfatt_sgemm
// CHECK: linalg.generic
func.func @sum_of_one_operand_stays(%a: memref<4x5x3xf32>, %b: memref<5x6xf32>,
                                    %c: memref<4x6xf32>) {
  linalg.generic {indexing_maps = [affine_map<(m, n, k, l) -> (m, k, l)>,
                                   affine_map<(m, n, k, l) -> (k, n)>,
                                   affine_map<(m, n, k, l) -> (m, n)>],
                  iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
      ins(%a, %b : memref<4x5x3xf32>, memref<5x6xf32>) outs(%c : memref<4x6xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %out, %p : f32
    linalg.yield %s : f32
  }
  return
}
