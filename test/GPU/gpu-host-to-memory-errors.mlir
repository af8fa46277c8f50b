// RUN: elfatt-opt %s --elfatt-gpu-host-to-memory -split-input-file -verify-diagnostics

func.func @library(%dnx: index) {
  %t0 = gpu.wait async
  %mem, %t1 = gpu.alloc async [%t0] () : memref<4xf32>
  // expected-error@below {{'gpu.create_dn_tensor' op is not known outside of kernels}}
  %d, %t2 = gpu.create_dn_tensor async [%t1] %mem, %dnx : index into memref<4xf32>
  return
}
