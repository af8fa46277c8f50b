// A sum of any number of floats: shuffles in the warp, shared memory between warps, an atomic
// between blocks. Host code with device memory and asynchronous launches.
module attributes {gpu.container_module} {
  func.func @main(%xt: tensor<?xf32>) -> tensor<1xf32> {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c256 = arith.constant 256 : index
    %zero = arith.constant 0.0 : f32
    %x = bufferization.to_buffer %xt read_only : tensor<?xf32> to memref<?xf32>
    %n = memref.dim %x, %c0 : memref<?xf32>
    %grid = arith.ceildivui %n, %c256 : index
    %t0 = gpu.wait async
    %dx, %t1 = gpu.alloc async [%t0] (%n) : memref<?xf32>
    %dsum, %t2 = gpu.alloc async [%t1] () : memref<1xf32>
    %t3 = gpu.memcpy async [%t2] %dx, %x : memref<?xf32>, memref<?xf32>
    %t4 = gpu.memset async [%t3] %dsum, %zero : memref<1xf32>, f32
    %t5 = gpu.launch_func async [%t4] @kernels::@sum blocks in (%grid, %c1, %c1)
        threads in (%c256, %c1, %c1) args(%dx : memref<?xf32>, %dsum : memref<1xf32>)
    %sum = memref.alloc() : memref<1xf32>
    %t6 = gpu.memcpy async [%t5] %sum, %dsum : memref<1xf32>, memref<1xf32>
    %t7 = gpu.dealloc async [%t6] %dx : memref<?xf32>
    gpu.wait [%t7]
    %o = bufferization.to_tensor %sum restrict : memref<1xf32> to tensor<1xf32>
    return %o : tensor<1xf32>
  }

  gpu.module @kernels {
    gpu.func @sum(%x: memref<?xf32>, %sum: memref<1xf32>)
        workgroup(%partial : memref<8xf32, #gpu.address_space<workgroup>>) kernel {
      %c0 = arith.constant 0 : index
      %c8 = arith.constant 8 : index
      %c32 = arith.constant 32 : index
      %zero = arith.constant 0.0 : f32
      %width = arith.constant 32 : i32
      %block = gpu.block_id x
      %tid = gpu.thread_id x
      %threads = gpu.block_dim x
      %first = arith.muli %block, %threads : index
      %i = arith.addi %first, %tid : index
      %n = memref.dim %x, %c0 : memref<?xf32>
      %inside = arith.cmpi ult, %i, %n : index
      %value = scf.if %inside -> (f32) {
        %v = memref.load %x[%i] : memref<?xf32>
        scf.yield %v : f32
      } else {
        scf.yield %zero : f32
      }
      %o16 = arith.constant 16 : i32
      %o8 = arith.constant 8 : i32
      %o4 = arith.constant 4 : i32
      %o2 = arith.constant 2 : i32
      %o1 = arith.constant 1 : i32
      %v16, %p16 = gpu.shuffle xor %value, %o16, %width : f32
      %s16 = arith.addf %value, %v16 : f32
      %v8, %p8 = gpu.shuffle xor %s16, %o8, %width : f32
      %s8 = arith.addf %s16, %v8 : f32
      %v4, %p4 = gpu.shuffle xor %s8, %o4, %width : f32
      %s4 = arith.addf %s8, %v4 : f32
      %v2, %p2 = gpu.shuffle xor %s4, %o2, %width : f32
      %s2 = arith.addf %s4, %v2 : f32
      %v1, %p1 = gpu.shuffle xor %s2, %o1, %width : f32
      %s1 = arith.addf %s2, %v1 : f32
      %lane = arith.remui %tid, %c32 : index
      %warp = arith.divui %tid, %c32 : index
      %isFirstLane = arith.cmpi eq, %lane, %c0 : index
      scf.if %isFirstLane {
        memref.store %s1, %partial[%warp] : memref<8xf32, #gpu.address_space<workgroup>>
      }
      gpu.barrier
      %isFirst = arith.cmpi eq, %tid, %c0 : index
      scf.if %isFirst {
        %c1 = arith.constant 1 : index
        %all = scf.for %w = %c0 to %c8 step %c1 iter_args(%acc = %zero) -> (f32) {
          %p = memref.load %partial[%w] : memref<8xf32, #gpu.address_space<workgroup>>
          %next = arith.addf %acc, %p : f32
          scf.yield %next : f32
        }
        %old = memref.atomic_rmw addf %all, %sum[%c0] : (f32, memref<1xf32>) -> f32
      }
      gpu.return
    }
  }
}
