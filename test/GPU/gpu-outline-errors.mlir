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
