// RUN: elfatt-opt %s --elfatt-cpu-externalize-constants="min-bytes=32" | FileCheck %s

// The values go to the module; a splat and a small value stay.
// CHECK: module attributes {elfatt.constants = {elfatt_constant_large = dense<{{.*}}> : tensor<16xf32>}}
// CHECK: memref.global @elfatt_constant_large : memref<16xf32>
// CHECK: memref.global "private" constant @splat : memref<64xf32> = dense<1.000000e+00>
// CHECK: memref.global "private" constant @small : memref<2xf32> = dense<
// CHECK: memref.get_global @elfatt_constant_large
memref.global "private" constant @large : memref<16xf32> =
  dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0]>
memref.global "private" constant @splat : memref<64xf32> = dense<1.0>
memref.global "private" constant @small : memref<2xf32> = dense<[1.0, 2.0]>
func.func @reads() -> memref<16xf32> {
  %0 = memref.get_global @large : memref<16xf32>
  return %0 : memref<16xf32>
}

// A blob of i1 holds a byte for each, of which LLVM makes no constant.
// CHECK: memref.global "private" constant @bits : memref<4xi1> = dense<[true, false, false, true]>
memref.global "private" constant @bits : memref<4xi1> = dense_resource<bits>
func.func @reads_bits() -> memref<4xi1> {
  %0 = memref.get_global @bits : memref<4xi1>
  return %0 : memref<4xi1>
}

{-#
  dialect_resources: {
    builtin: {
      bits: "0x0100000001000001"
    }
  }
#-}
