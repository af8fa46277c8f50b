// RUN: elfatt-opt %s -split-input-file -verify-diagnostics -pass-pipeline='builtin.module(gpu.module(elfatt-gpu-lower-math))' | FileCheck %s

gpu.module @kernels {
  // CHECK-LABEL: gpu.func @exp2
  // CHECK-NOT: math.exp2
  // CHECK-COUNT-2: llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f32"
  // CHECK: vector.from_elements
  gpu.func @exp2(%x: vector<2xf32>) -> vector<2xf32> {
    %y = math.exp2 %x : vector<2xf32>
    gpu.return %y : vector<2xf32>
  }

  // Two numbers of bf16 that were loaded together are the halves of a word; one alone is none.
  // CHECK-LABEL: gpu.func @widened
  // CHECK: %[[PAIR:.*]] = vector.load %{{.*}} : memref<8xbf16>, vector<2xbf16>
  // CHECK: %[[BITS:.*]] = vector.bitcast %[[PAIR]] : vector<2xbf16> to vector<1xi32>
  // CHECK: %[[WORD:.*]] = vector.extract %[[BITS]][0]
  // CHECK: %[[SIXTEEN:.*]] = arith.constant 16 : i32
  // CHECK: arith.shli %[[WORD]], %[[SIXTEEN]]
  // CHECK: %[[UPPER:.*]] = arith.constant -65536 : i32
  // CHECK: arith.andi %{{.*}}, %[[UPPER]]
  // CHECK: arith.extf %{{.*}} : bf16 to f32
  // CHECK: vector.from_elements {{.*}} : vector<3xf32>
  gpu.func @widened(%a: memref<8xbf16>, %i: index) -> vector<3xf32> {
    %pair = vector.load %a[%i] : memref<8xbf16>, vector<2xbf16>
    %x = vector.extract %pair[0] : bf16 from vector<2xbf16>
    %y = vector.extract %pair[1] : bf16 from vector<2xbf16>
    %z = memref.load %a[%i] : memref<8xbf16>
    %all = vector.from_elements %x, %y, %z : vector<3xbf16>
    %wide = arith.extf %all : vector<3xbf16> to vector<3xf32>
    gpu.return %wide : vector<3xf32>
  }
}

// -----

gpu.module @kernels {
  // A polynomial, no call.
  // CHECK-LABEL: gpu.func @tanh
  // CHECK-NOT: math.tanh
  // CHECK: llvm.call_intrinsic "llvm.fabs"
  // CHECK: llvm.intr.fma
  gpu.func @tanh(%x: f32) -> f32 {
    %y = math.tanh %x : f32
    gpu.return %y : f32
  }
}

// -----

gpu.module @kernels {
  // CHECK-LABEL: gpu.func @powers
  // CHECK-SAME: %[[X:.*]]: f32, %[[Y:.*]]: vector<2xf32>)
  // CHECK-DAG: %[[LOG:.*]] = arith.constant dense<3.321928{{[0-9]*}}> : vector<2xf32>
  // CHECK-DAG: llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f32"(%[[X]])
  // CHECK-DAG: arith.mulf %[[Y]], %[[LOG]]
  // CHECK-COUNT-2: llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f32"
  gpu.func @powers(%x: f32, %y: vector<2xf32>) -> (f32, vector<2xf32>) {
    %two = arith.constant 2.0 : f32
    %ten = arith.constant dense<10.0> : vector<2xf32>
    %a = math.powf %two, %x : f32
    %b = math.powf %ten, %y : vector<2xf32>
    gpu.return %a, %b : f32, vector<2xf32>
  }
}

// -----

gpu.module @kernels {
  gpu.func @library(%x: f32) -> f32 {
    // expected-error @below {{would call a device library, which kernels do not link with}}
    %y = math.asin %x : f32
    gpu.return %y : f32
  }
}

// -----

gpu.module @kernels {
  gpu.func @base_is_not_known(%x: f32) -> f32 {
    %three = arith.constant 3.0 : f32
    // expected-error @below {{would call a device library, which kernels do not link with}}
    %y = math.powf %x, %three : f32
    gpu.return %y : f32
  }
}
