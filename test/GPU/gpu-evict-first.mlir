// RUN: elfatt-opt %s -pass-pipeline='builtin.module(gpu.module(elfatt-gpu-evict-first))' | FileCheck %s
//
// Copies and stores of data that is not needed again, in words of PTX.
#shared = #gpu.address_space<workgroup>

// CHECK-LABEL: gpu.module @served
gpu.module @served [#nvvm.target<chip = "sm_87", features = "+ptx74">] {
  // CHECK-LABEL: gpu.func @copy
  // CHECK-NOT: nvgpu.device_async_copy
  // CHECK: %[[FROM:.*]] = llvm.addrspacecast %{{.*}} : !llvm.ptr to !llvm.ptr<1>
  // CHECK: llvm.inline_asm has_side_effects "{{.*}}createpolicy.fractional.L2::evict_first.b64 first, 1.0; cp.async.cg.shared.global.L2::cache_hint [$0], [$1], 16, first; }", "l,l" %{{.*}}, %[[FROM]] : (!llvm.ptr<3>, !llvm.ptr<1>) -> ()
  // CHECK-NOT: nvgpu.device_async_copy
  // CHECK: gpu.return
  gpu.func @copy(%a: memref<64x32xf16>, %i: index) workgroup(%s: memref<64x32xf16, #shared>) kernel {
    %c0 = arith.constant 0 : index
    nvgpu.device_async_copy %a[%i, %c0], %s[%i, %c0], 8 {bypassL1, elfatt.evict_first} : memref<64x32xf16> to memref<64x32xf16, #shared>
    gpu.return
  }

  // LLVM would read the words one by one from where they come, but for the freeze.
  // CHECK-LABEL: gpu.func @store
  // CHECK: %[[WORDS:.*]] = llvm.freeze %{{.*}} : vector<4xi32>
  // CHECK-COUNT-4: llvm.extractelement %[[WORDS]]
  // CHECK: llvm.inline_asm has_side_effects "st.global.cs.v4.b32 [$0], {$1, $2, $3, $4};", "l,r,r,r,r" {{.*}} : (!llvm.ptr<1>, i32, i32, i32, i32) -> ()
  // CHECK-NOT: vector.store
  // CHECK: gpu.return
  gpu.func @store(%a: memref<64xbf16>, %v: vector<8xbf16>, %i: index) kernel {
    vector.store %v, %a[%i] {elfatt.evict_first} : memref<64xbf16>, vector<8xbf16>
    gpu.return
  }

  // Without the mark, of other sizes and in shared memory they are what they were.
  // CHECK-LABEL: gpu.func @others
  // CHECK-NOT: llvm.inline_asm
  // CHECK-COUNT-2: nvgpu.device_async_copy
  // CHECK-COUNT-3: vector.store
  // CHECK-NOT: llvm.inline_asm
  // CHECK: gpu.return
  gpu.func @others(%a: memref<64x32xf16>, %v: vector<8xf16>, %w: vector<4xf16>, %i: index) workgroup(%s: memref<64x32xf16, #shared>) kernel {
    %c0 = arith.constant 0 : index
    nvgpu.device_async_copy %a[%i, %c0], %s[%i, %c0], 8 {bypassL1} : memref<64x32xf16> to memref<64x32xf16, #shared>
    nvgpu.device_async_copy %a[%i, %c0], %s[%i, %c0], 4 {elfatt.evict_first} : memref<64x32xf16> to memref<64x32xf16, #shared>
    vector.store %v, %a[%i, %c0] : memref<64x32xf16>, vector<8xf16>
    vector.store %w, %a[%i, %c0] {elfatt.evict_first} : memref<64x32xf16>, vector<4xf16>
    vector.store %v, %s[%i, %c0] {elfatt.evict_first} : memref<64x32xf16, #shared>, vector<8xf16>
    gpu.return
  }
}

// Cache policies came with PTX 7.4; without a target nothing is known.
// CHECK-LABEL: gpu.module @old
// CHECK-NOT: llvm.inline_asm
// CHECK: vector.store
// CHECK-LABEL: gpu.module @unknown
// CHECK-NOT: llvm.inline_asm
// CHECK: vector.store
gpu.module @old [#nvvm.target<chip = "sm_80", features = "+ptx73">] {
  gpu.func @store(%a: memref<64xbf16>, %v: vector<8xbf16>, %i: index) kernel {
    vector.store %v, %a[%i] {elfatt.evict_first} : memref<64xbf16>, vector<8xbf16>
    gpu.return
  }
}
gpu.module @unknown {
  gpu.func @store(%a: memref<64xbf16>, %v: vector<8xbf16>, %i: index) kernel {
    vector.store %v, %a[%i] {elfatt.evict_first} : memref<64xbf16>, vector<8xbf16>
    gpu.return
  }
}
