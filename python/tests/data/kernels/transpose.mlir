// A transpose through a tile of shared memory that is padded against bank conflicts, already in
// the NVVM and LLVM dialects: 64 x 96 floats, tiles of 32 x 32 by 32 x 8 threads.
module attributes {gpu.container_module} {
  func.func @main(%xt: tensor<64x96xf32>) -> tensor<96x64xf32> {
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c3 = arith.constant 3 : index
    %c8 = arith.constant 8 : index
    %c32 = arith.constant 32 : index
    %x = bufferization.to_buffer %xt read_only : tensor<64x96xf32> to memref<64x96xf32>
    %y = memref.alloc() : memref<96x64xf32>
    gpu.launch_func @kernels::@transpose blocks in (%c3, %c2, %c1) threads in (%c32, %c8, %c1)
        args(%x : memref<64x96xf32>, %y : memref<96x64xf32>)
    %o = bufferization.to_tensor %y restrict : memref<96x64xf32> to tensor<96x64xf32>
    return %o : tensor<96x64xf32>
  }

  gpu.module @kernels {
    llvm.mlir.global internal @tile() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<32 x array<33 x f32>>

    llvm.func @transpose(%x: !llvm.ptr, %y: !llvm.ptr) attributes {gpu.kernel, nvvm.kernel} {
      %tile = llvm.mlir.addressof @tile : !llvm.ptr<3>
      %tx = nvvm.read.ptx.sreg.tid.x : i32
      %ty = nvvm.read.ptx.sreg.tid.y : i32
      %bx = nvvm.read.ptx.sreg.ctaid.x : i32
      %by = nvvm.read.ptx.sreg.ctaid.y : i32
      %c0 = llvm.mlir.constant(0 : i32) : i32
      %c8 = llvm.mlir.constant(8 : i32) : i32
      %c32 = llvm.mlir.constant(32 : i32) : i32
      %c33 = llvm.mlir.constant(33 : i32) : i32
      %c64 = llvm.mlir.constant(64 : i32) : i32
      %c96 = llvm.mlir.constant(96 : i32) : i32
      %firstColumn = llvm.mul %bx, %c32 : i32
      %firstRow = llvm.mul %by, %c32 : i32
      llvm.br ^load(%ty : i32)
    ^load(%r: i32):
      %row = llvm.add %firstRow, %r : i32
      %column = llvm.add %firstColumn, %tx : i32
      %a = llvm.mul %row, %c96 : i32
      %b = llvm.add %a, %column : i32
      %from = llvm.getelementptr %x[%b] : (!llvm.ptr, i32) -> !llvm.ptr, f32
      %value = llvm.load %from : !llvm.ptr -> f32
      %c = llvm.mul %r, %c33 : i32
      %d = llvm.add %c, %tx : i32
      %to = llvm.getelementptr %tile[%d] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
      llvm.store %value, %to : f32, !llvm.ptr<3>
      %next = llvm.add %r, %c8 : i32
      %more = llvm.icmp "ult" %next, %c32 : i32
      llvm.cond_br %more, ^load(%next : i32), ^sync
    ^sync:
      nvvm.barrier0
      llvm.br ^store(%ty : i32)
    ^store(%s: i32):
      %e = llvm.mul %tx, %c33 : i32
      %f = llvm.add %e, %s : i32
      %at = llvm.getelementptr %tile[%f] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
      %turned = llvm.load %at : !llvm.ptr<3> -> f32
      %outRow = llvm.add %firstColumn, %s : i32
      %outColumn = llvm.add %firstRow, %tx : i32
      %g = llvm.mul %outRow, %c64 : i32
      %h = llvm.add %g, %outColumn : i32
      %out = llvm.getelementptr %y[%h] : (!llvm.ptr, i32) -> !llvm.ptr, f32
      llvm.store %turned, %out : f32, !llvm.ptr
      %after = llvm.add %s, %c8 : i32
      %again = llvm.icmp "ult" %after, %c32 : i32
      llvm.cond_br %again, ^store(%after : i32), ^end
    ^end:
      llvm.return
    }
  }
}
