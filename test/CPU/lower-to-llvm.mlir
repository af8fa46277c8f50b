// RUN: elfatt-opt %s --elfatt-cpu-lower-to-llvm --split-input-file | FileCheck %s

// All of them at once: no casts between them are left.
// CHECK: llvm.func @_mlir_memref_to_llvm_aligned_alloc(i64, i64) -> !llvm.ptr
// CHECK-LABEL: llvm.func @dialects(
// CHECK-NOT: unrealized_conversion_cast
// CHECK: %[[NOTHING:.*]] = llvm.mlir.poison : f32
// CHECK: llvm.sdiv
// CHECK: llvm.call @_mlir_memref_to_llvm_aligned_alloc
// CHECK: llvm.cond_br {{.*}}(%[[NOTHING]] : f32)
// CHECK: llvm.intr.masked.load
// CHECK: llvm.intr.fmuladd({{.*}}) : (vector<8xf32>, vector<8xf32>, vector<8xf32>) -> vector<8xf32>
// CHECK: llvm.store {{.*}} : vector<8xf32>, !llvm.ptr
// CHECK: llvm.call @_mlir_memref_to_llvm_free
// CHECK-NOT: unrealized_conversion_cast
// CHECK: llvm.return
func.func @dialects(%in: memref<?xf32>, %count: index, %some: i1) -> f32 {
  %c8 = arith.constant 8 : index
  %zero = arith.constant 0 : index
  %padding = arith.constant dense<0.0> : vector<8xf32>
  %blocks = arith.ceildivsi %count, %c8 : index
  %size = index.mul %blocks, %c8
  %buffer = memref.alloc(%size) {alignment = 64} : memref<?xf32>
  %nothing = ub.poison : f32
  cf.cond_br %some, ^some, ^end(%nothing : f32)
^some:
  %lanes = vector.create_mask %count : vector<8xi1>
  %x = vector.maskedload %in[%zero], %lanes, %padding
      : memref<?xf32>, vector<8xi1>, vector<8xf32> into vector<8xf32>
  %y = vector.fma %x, %x, %padding : vector<8xf32>
  vector.store %y, %buffer[%zero] : memref<?xf32>, vector<8xf32>
  %first = memref.load %buffer[%zero] : memref<?xf32>
  cf.br ^end(%first : f32)
^end(%result: f32):
  memref.dealloc %buffer : memref<?xf32>
  return %result : f32
}

// -----

// Lanes of a mask are counted in 32 bits.
// CHECK-LABEL: llvm.func @mask(
// CHECK: llvm.icmp "sgt" {{.*}} : vector<16xi32>
// CHECK-NOT: vector<16xi64>
// CHECK: llvm.return
func.func @mask(%count: index) -> vector<16xi1> {
  %0 = vector.create_mask %count : vector<16xi1>
  return %0 : vector<16xi1>
}

// -----

// Vectors of two dims are arrays of vectors.
// CHECK-LABEL: llvm.func @rows(
// CHECK-SAME: !llvm.array<2 x vector<4xf32>>
// CHECK: llvm.extractvalue %{{.*}}[1] : !llvm.array<2 x vector<4xf32>>
// CHECK-NOT: unrealized_conversion_cast
// CHECK: llvm.return
func.func @rows(%rows: vector<2x4xf32>) -> vector<4xf32> {
  %0 = vector.extract %rows[1] : vector<4xf32> from vector<2x4xf32>
  return %0 : vector<4xf32>
}

// -----

// CHECK-LABEL: llvm.func @dot(
// CHECK: llvm.call_intrinsic "llvm.x86.avx512bf16.dpbf16ps.512"
func.func @dot(%sum: vector<16xf32>, %lhs: vector<32xbf16>, %rhs: vector<32xbf16>)
    -> vector<16xf32> {
  %0 = x86vector.avx512.dot %sum, %lhs, %rhs : vector<32xbf16> -> vector<16xf32>
  return %0 : vector<16xf32>
}
