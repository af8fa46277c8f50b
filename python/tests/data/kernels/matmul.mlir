// A matrix product on tensor cores as upstream's nvgpu dialect writes it: C = A B in f16 with f32
// sums, tiles by cp.async in two stages, fragments by ldmatrix. Four warps, 16 rows each.
#shared = #gpu.address_space<workgroup>
func.func @main(%at: tensor<128x64xf16>, %bt: tensor<64x32xf16>) -> tensor<128x32xf32> {
  %a = bufferization.to_buffer %at read_only : tensor<128x64xf16> to memref<128x64xf16>
  %b = bufferization.to_buffer %bt read_only : tensor<64x32xf16> to memref<64x32xf16>
  %c = memref.alloc() : memref<128x32xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c4 = arith.constant 4 : index
  %c8 = arith.constant 8 : index
  %c16 = arith.constant 16 : index
  %c32 = arith.constant 32 : index
  %c64 = arith.constant 64 : index
  %c128 = arith.constant 128 : index
  gpu.launch blocks(%bx, %by, %bz) in (%gx = %c2, %gy = %c1, %gz = %c1)
             threads(%tx, %ty, %tz) in (%sx = %c128, %sy = %c1, %sz = %c1)
             workgroup(%sa : memref<2x64x16xf16, #shared>, %sb : memref<2x16x32xf16, #shared>) {
    %zero = arith.constant dense<0.0> : vector<2x2xf32>
    %warp = arith.divui %tx, %c32 : index
    %lane = arith.remui %tx, %c32 : index
    %blockRow = arith.muli %bx, %c64 : index
    %warpRow = arith.muli %warp, %c16 : index
    // Thread t copies 8 of A's elements (row t / 2) and, if below 64, of B's (row t / 4).
    %aRow = arith.divui %tx, %c2 : index
    %aPart = arith.remui %tx, %c2 : index
    %aColumn = arith.muli %aPart, %c8 : index
    %aGlobalRow = arith.addi %blockRow, %aRow : index
    %bRow = arith.divui %tx, %c4 : index
    %bPart = arith.remui %tx, %c4 : index
    %bColumn = arith.muli %bPart, %c8 : index
    %copiesB = arith.cmpi ult, %tx, %c64 : index
    %t0 = nvgpu.device_async_copy %a[%aGlobalRow, %aColumn], %sa[%c0, %aRow, %aColumn], 8 {bypassL1}
        : memref<128x64xf16> to memref<2x64x16xf16, #shared>
    scf.if %copiesB {
      %t = nvgpu.device_async_copy %b[%bRow, %bColumn], %sb[%c0, %bRow, %bColumn], 8 {bypassL1}
          : memref<64x32xf16> to memref<2x16x32xf16, #shared>
    }
    %g0 = nvgpu.device_async_create_group {}
    %row16 = arith.remui %lane, %c16 : index
    %half = arith.divui %lane, %c16 : index
    %fragRow = arith.addi %warpRow, %row16 : index
    %fragColumn = arith.muli %half, %c8 : index
    %sums:4 = scf.for %k = %c0 to %c64 step %c16
        iter_args(%s0 = %zero, %s1 = %zero, %s2 = %zero, %s3 = %zero)
        -> (vector<2x2xf32>, vector<2x2xf32>, vector<2x2xf32>, vector<2x2xf32>) {
      %step = arith.divui %k, %c16 : index
      %stage = arith.remui %step, %c2 : index
      %other = arith.subi %c1, %stage : index
      %nextK = arith.addi %k, %c16 : index
      %hasNext = arith.cmpi ult, %nextK, %c64 : index
      scf.if %hasNext {
        %aNext = arith.addi %nextK, %aColumn : index
        %t1 = nvgpu.device_async_copy %a[%aGlobalRow, %aNext], %sa[%other, %aRow, %aColumn], 8 {bypassL1}
            : memref<128x64xf16> to memref<2x64x16xf16, #shared>
        scf.if %copiesB {
          %bNext = arith.addi %nextK, %bRow : index
          %t = nvgpu.device_async_copy %b[%bNext, %bColumn], %sb[%other, %bRow, %bColumn], 8 {bypassL1}
              : memref<64x32xf16> to memref<2x16x32xf16, #shared>
        }
      }
      %g1 = nvgpu.device_async_create_group {}
      nvgpu.device_async_wait %g1 {numGroups = 1 : i32}
      gpu.barrier
      %fa = nvgpu.ldmatrix %sa[%stage, %fragRow, %fragColumn] {numTiles = 4 : i32, transpose = false}
          : memref<2x64x16xf16, #shared> -> vector<4x2xf16>
      %n1 = arith.constant 8 : index
      %n2 = arith.constant 16 : index
      %n3 = arith.constant 24 : index
      %fb0 = nvgpu.ldmatrix %sb[%stage, %row16, %c0] {numTiles = 2 : i32, transpose = true}
          : memref<2x16x32xf16, #shared> -> vector<2x2xf16>
      %fb1 = nvgpu.ldmatrix %sb[%stage, %row16, %n1] {numTiles = 2 : i32, transpose = true}
          : memref<2x16x32xf16, #shared> -> vector<2x2xf16>
      %fb2 = nvgpu.ldmatrix %sb[%stage, %row16, %n2] {numTiles = 2 : i32, transpose = true}
          : memref<2x16x32xf16, #shared> -> vector<2x2xf16>
      %fb3 = nvgpu.ldmatrix %sb[%stage, %row16, %n3] {numTiles = 2 : i32, transpose = true}
          : memref<2x16x32xf16, #shared> -> vector<2x2xf16>
      %r0 = nvgpu.mma.sync(%fa, %fb0, %s0) {mmaShape = [16, 8, 16]}
          : (vector<4x2xf16>, vector<2x2xf16>, vector<2x2xf32>) -> vector<2x2xf32>
      %r1 = nvgpu.mma.sync(%fa, %fb1, %s1) {mmaShape = [16, 8, 16]}
          : (vector<4x2xf16>, vector<2x2xf16>, vector<2x2xf32>) -> vector<2x2xf32>
      %r2 = nvgpu.mma.sync(%fa, %fb2, %s2) {mmaShape = [16, 8, 16]}
          : (vector<4x2xf16>, vector<2x2xf16>, vector<2x2xf32>) -> vector<2x2xf32>
      %r3 = nvgpu.mma.sync(%fa, %fb3, %s3) {mmaShape = [16, 8, 16]}
          : (vector<4x2xf16>, vector<2x2xf16>, vector<2x2xf32>) -> vector<2x2xf32>
      gpu.barrier
      scf.yield %r0, %r1, %r2, %r3 : vector<2x2xf32>, vector<2x2xf32>, vector<2x2xf32>, vector<2x2xf32>
    }
    %group = arith.divui %lane, %c4 : index
    %inGroup = arith.remui %lane, %c4 : index
    %pair = arith.muli %inGroup, %c2 : index
    %r = arith.addi %warpRow, %group : index
    %row = arith.addi %blockRow, %r : index
    %rowBelow = arith.addi %row, %c8 : index
    %m1 = arith.addi %pair, %c8 : index
    %m2 = arith.addi %m1, %c8 : index
    %m3 = arith.addi %m2, %c8 : index
    %u0 = vector.extract %sums#0[0] : vector<2xf32> from vector<2x2xf32>
    %v0 = vector.extract %sums#0[1] : vector<2xf32> from vector<2x2xf32>
    %u1 = vector.extract %sums#1[0] : vector<2xf32> from vector<2x2xf32>
    %v1 = vector.extract %sums#1[1] : vector<2xf32> from vector<2x2xf32>
    %u2 = vector.extract %sums#2[0] : vector<2xf32> from vector<2x2xf32>
    %v2 = vector.extract %sums#2[1] : vector<2xf32> from vector<2x2xf32>
    %u3 = vector.extract %sums#3[0] : vector<2xf32> from vector<2x2xf32>
    %v3 = vector.extract %sums#3[1] : vector<2xf32> from vector<2x2xf32>
    vector.store %u0, %c[%row, %pair] : memref<128x32xf32>, vector<2xf32>
    vector.store %v0, %c[%rowBelow, %pair] : memref<128x32xf32>, vector<2xf32>
    vector.store %u1, %c[%row, %m1] : memref<128x32xf32>, vector<2xf32>
    vector.store %v1, %c[%rowBelow, %m1] : memref<128x32xf32>, vector<2xf32>
    vector.store %u2, %c[%row, %m2] : memref<128x32xf32>, vector<2xf32>
    vector.store %v2, %c[%rowBelow, %m2] : memref<128x32xf32>, vector<2xf32>
    vector.store %u3, %c[%row, %m3] : memref<128x32xf32>, vector<2xf32>
    vector.store %v3, %c[%rowBelow, %m3] : memref<128x32xf32>, vector<2xf32>
    gpu.terminator
  }
  %o = bufferization.to_tensor %c restrict : memref<128x32xf32> to tensor<128x32xf32>
  return %o : tensor<128x32xf32>
}
