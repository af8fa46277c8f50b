// RUN: elfatt-opt %s --elfatt-gpu-outline="chip=sm_86" -split-input-file -verify-diagnostics

func.func @too_much_scratch(%a: memref<4xf32>) {
  // expected-error @below {{needs 131072 bytes of shared memory a block, expected at most 101376 (sm_86)}}
  scf.forall (%i) in (4) {
    %s = memref.alloca() : memref<256x128xf32, #gpu.address_space<workgroup>>
    %x = memref.load %a[%i] : memref<4xf32>
    memref.store %x, %s[%i, %i] : memref<256x128xf32, #gpu.address_space<workgroup>>
  }
  return
}

// -----

func.func @scratch_of_one_thread(%a: memref<4xf32>) {
  scf.forall (%i) in (4) {
    // expected-error @below {{scratch of a kernel must be static and in #gpu.address_space<workgroup>}}
    %s = memref.alloca() : memref<8xf32>
    %x = memref.load %a[%i] : memref<4xf32>
    memref.store %x, %s[%i] : memref<8xf32>
  }
  return
}

// -----

func.func @too_many_blocks(%a: memref<70000x70000xf32>) {
  %zero = arith.constant 0.0 : f32
  // expected-error @below {{needs a grid of 4900000000 blocks, expected at most 2147483647; fewer images a call need less}}
  scf.forall (%i, %j) in (70000, 70000) {
    memref.store %zero, %a[%i, %j] : memref<70000x70000xf32>
  }
  return
}
