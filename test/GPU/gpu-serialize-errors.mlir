// RUN: elfatt-opt %s --elfatt-gpu-serialize -split-input-file -verify-diagnostics

// Each of these ends the process inside of LLVM.

// expected-error@below {{sm_80 needs PTX 7.0, got 6.5}}
gpu.module @ptx_too_old [#nvvm.target<chip = "sm_80", features = "+ptx65">] {
  llvm.func @k() attributes {gpu.kernel, nvvm.kernel} { llvm.return }
}

// -----

// expected-error@below {{expected features with a PTX version, such as '+ptx70', got '+ptx60a'}}
gpu.module @no_ptx_version [#nvvm.target<chip = "sm_80", features = "+ptx60a">] {
}

// -----

// expected-error@below {{expected PTX 9.0 or older, got 9.9}}
gpu.module @ptx_too_new [#nvvm.target<chip = "sm_80", features = "+ptx99">] {
}

// -----

// expected-error@below {{unknown chip 'sm_70', expected one of sm_53, }}
gpu.module @unknown_chip [#nvvm.target<chip = "sm_70", features = "+ptx70">] {
}

// -----

// expected-error@below {{expected a gpu.module with a target, such as #nvvm.target<}}
gpu.module @no_target {
}

// -----

gpu.module @no_async_copy [#nvvm.target<chip = "sm_75", features = "+ptx65">] {
  // expected-error@below {{kernel 'copy': sm_75 with PTX 6.5 has no cp.async (it needs sm_80); there is: a load and a store}}
  llvm.func @copy(%to: !llvm.ptr<3>, %from: !llvm.ptr<1>) attributes {gpu.kernel, nvvm.kernel} {
    nvvm.cp.async.shared.global %to, %from, 16, cache = cg : !llvm.ptr<3>, !llvm.ptr<1>
    llvm.return
  }
}

// -----

// The newest of the targets has it, the oldest has not.
gpu.module @one_target_lacks_it [#nvvm.target<chip = "sm_80", features = "+ptx70">, #nvvm.target<chip = "sm_75", features = "+ptx65">] {
  // expected-error@below {{kernel 'product': sm_75 with PTX 6.5 has no mma.sync of m16n8k16 bf16 (it needs sm_80); there is: mma.sync of m8n8k4 f16, m16n8k8 f16, m8n8k16 s8, m8n8k16 u8}}
  llvm.func @product(%a: i32, %c: f32, %p: !llvm.ptr<1>) attributes {gpu.kernel, nvvm.kernel} {
    %d = nvvm.mma.sync A[%a, %a, %a, %a] B[%a, %a] C[%c, %c, %c, %c]
      {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, shape = #nvvm.shape<m = 16, n = 8, k = 16>,
       multiplicandAPtxType = #nvvm.mma_type<bf16>, multiplicandBPtxType = #nvvm.mma_type<bf16>} : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
    %e = llvm.extractvalue %d[0] : !llvm.struct<(f32, f32, f32, f32)>
    llvm.store %e, %p : f32, !llvm.ptr<1>
    llvm.return
  }
}
