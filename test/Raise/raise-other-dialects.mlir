// Attention whose elementwise ops are those of arith and math on tensors, and attention in
// TOSA, are read as linalg, which upstream's passes make of both.

// RUN: elfatt-opt %s --elfatt-raise 2>%t.remarks | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK --input-file=%t.remarks
// REMARK-COUNT-2: remark: raised to attention.sdpa: B=2 H=1 N=64 M=64 D=32 Dv=32, bias none

// CHECK-LABEL: func.func @elementwise
// CHECK-NOT: linalg.
// CHECK: attention.sdpa
// CHECK-NOT: arith.{{.*}}tensor
// CHECK: return
func.func @elementwise(%q: tensor<2x64x32xf32>, %kt: tensor<2x32x64xf32>, %v: tensor<2x64x32xf32>) -> tensor<2x64x32xf32> {
  %z = arith.constant 0.0 : f32
  %ninf = arith.constant 0xFF800000 : f32
  %scale = arith.constant dense<0.17677669> : tensor<2x64x64xf32>
  %e0 = tensor.empty() : tensor<2x64x64xf32>
  %f0 = linalg.fill ins(%z : f32) outs(%e0 : tensor<2x64x64xf32>) -> tensor<2x64x64xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<2x64x32xf32>, tensor<2x32x64xf32>) outs(%f0 : tensor<2x64x64xf32>) -> tensor<2x64x64xf32>
  %ss = arith.mulf %s, %scale : tensor<2x64x64xf32>
  %e1 = tensor.empty() : tensor<2x64xf32>
  %f1 = linalg.fill ins(%ninf : f32) outs(%e1 : tensor<2x64xf32>) -> tensor<2x64xf32>
  %m = linalg.reduce { arith.maximumf } ins(%ss : tensor<2x64x64xf32>) outs(%f1 : tensor<2x64xf32>) dimensions = [2]
  %mb = linalg.broadcast ins(%m : tensor<2x64xf32>) outs(%e0 : tensor<2x64x64xf32>) dimensions = [2]
  %d = arith.subf %ss, %mb : tensor<2x64x64xf32>
  %x = math.exp %d : tensor<2x64x64xf32>
  %f2 = linalg.fill ins(%z : f32) outs(%e1 : tensor<2x64xf32>) -> tensor<2x64xf32>
  %sum = linalg.reduce { arith.addf } ins(%x : tensor<2x64x64xf32>) outs(%f2 : tensor<2x64xf32>) dimensions = [2]
  %sb = linalg.broadcast ins(%sum : tensor<2x64xf32>) outs(%e0 : tensor<2x64x64xf32>) dimensions = [2]
  %p = arith.divf %x, %sb : tensor<2x64x64xf32>
  %e3 = tensor.empty() : tensor<2x64x32xf32>
  %f3 = linalg.fill ins(%z : f32) outs(%e3 : tensor<2x64x32xf32>) -> tensor<2x64x32xf32>
  %o = linalg.batch_matmul ins(%p, %v : tensor<2x64x64xf32>, tensor<2x64x32xf32>) outs(%f3 : tensor<2x64x32xf32>) -> tensor<2x64x32xf32>
  return %o : tensor<2x64x32xf32>
}

// CHECK-LABEL: func.func @tosa
// CHECK-NOT: linalg.
// CHECK: attention.sdpa
// CHECK-NOT: tosa.
// CHECK: return
func.func @tosa(%q: tensor<2x64x32xf32>, %k: tensor<2x64x32xf32>, %v: tensor<2x64x32xf32>) -> tensor<2x64x32xf32> {
  %zp = "tosa.const"() {values = dense<0.0> : tensor<1xf32>} : () -> tensor<1xf32>
  %kt = tosa.transpose %k {perms = array<i32: 0, 2, 1>} : (tensor<2x64x32xf32>) -> tensor<2x32x64xf32>
  %s = tosa.matmul %q, %kt, %zp, %zp : (tensor<2x64x32xf32>, tensor<2x32x64xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<2x64x64xf32>
  %m = tosa.reduce_max %s {axis = 2 : i32} : (tensor<2x64x64xf32>) -> tensor<2x64x1xf32>
  %d = tosa.sub %s, %m : (tensor<2x64x64xf32>, tensor<2x64x1xf32>) -> tensor<2x64x64xf32>
  %x = tosa.exp %d : (tensor<2x64x64xf32>) -> tensor<2x64x64xf32>
  %sum = tosa.reduce_sum %x {axis = 2 : i32} : (tensor<2x64x64xf32>) -> tensor<2x64x1xf32>
  %r = tosa.reciprocal %sum : (tensor<2x64x1xf32>) -> tensor<2x64x1xf32>
  %sh = "tosa.const"() {values = dense<0> : tensor<1xi8>} : () -> tensor<1xi8>
  %p = tosa.mul %x, %r, %sh : (tensor<2x64x64xf32>, tensor<2x64x1xf32>, tensor<1xi8>) -> tensor<2x64x64xf32>
  %o = tosa.matmul %p, %v, %zp, %zp : (tensor<2x64x64xf32>, tensor<2x64x32xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<2x64x32xf32>
  return %o : tensor<2x64x32xf32>
}

// What has no attention stays as it is.
// CHECK-LABEL: func.func @no_attention
// CHECK-NEXT: %[[X:.*]] = tosa.exp %arg0
// CHECK-NEXT: %[[Y:.*]] = arith.addf %[[X]], %arg0 : tensor<4xf32>
// CHECK-NEXT: return %[[Y]]
func.func @no_attention(%a: tensor<4xf32>) -> tensor<4xf32> {
  %x = tosa.exp %a : (tensor<4xf32>) -> tensor<4xf32>
  %y = arith.addf %x, %a : tensor<4xf32>
  return %y : tensor<4xf32>
}
