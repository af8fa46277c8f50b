// RUN: elfatt-opt %s -split-input-file -verify-diagnostics --elfatt-tile-to-vector

#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#o = affine_map<(b, i, j, d, e) -> (b, i, e)>
func.func @batch_of_two(%x: memref<2x16x8xf32>) {
  // expected-error @below {{expected batch dims of extent 1 (run elfatt-tile-to-forall first), got d0}}
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%x, %x, %x : memref<2x16x8xf32>, memref<2x16x8xf32>, memref<2x16x8xf32>)
    outs(%x : memref<2x16x8xf32>)
  return
}

// -----

#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#o = affine_map<(b, i, j, d, e) -> (b, i, e)>
func.func @tensors(%x: tensor<1x16x8xf32>) -> tensor<1x16x8xf32> {
  // expected-error @below {{expected buffers; run bufferization first}}
  %0 = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%x, %x, %x : tensor<1x16x8xf32>, tensor<1x16x8xf32>, tensor<1x16x8xf32>)
    outs(%x : tensor<1x16x8xf32>) -> tensor<1x16x8xf32>
  return %0 : tensor<1x16x8xf32>
}

// -----

#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#o = affine_map<(b, i, j, d, e) -> (b, i, e)>
func.func @dynamic_channels(%x: memref<1x16x?xf32>) {
  // expected-error @below {{expected static channel and value extents}}
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%x, %x, %x : memref<1x16x?xf32>, memref<1x16x?xf32>, memref<1x16x?xf32>)
    outs(%x : memref<1x16x?xf32>)
  return
}

// -----

#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#o = affine_map<(b, i, j, d, e) -> (b, i, e)>
func.func @undecomposed(%x: memref<1x16x8xf32>) {
  // expected-error @below {{is not a part; run elfatt-tile-decompose first}}
  attention.linear indexing_maps = [#q, #k, #v, #o]
    ins(%x, %x, %x : memref<1x16x8xf32>, memref<1x16x8xf32>, memref<1x16x8xf32>)
    outs(%x : memref<1x16x8xf32>)
  return
}

// -----

#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#o = affine_map<(b, i, j, d, e) -> (b, i, e)>
func.func @region_with_control_flow(%x: memref<1x16x8xf32>) {
  // expected-error @below {{cannot tile a score region that holds 'scf.if'; expected elementwise ops and constants}}
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%x, %x, %x : memref<1x16x8xf32>, memref<1x16x8xf32>, memref<1x16x8xf32>)
    outs(%x : memref<1x16x8xf32>) score {
    ^bb0(%s: f32, %b: index, %i: index, %j: index):
      %c = arith.cmpi slt, %i, %j : index
      %r = scf.if %c -> f32 {
        scf.yield %s : f32
      } else {
        %z = arith.constant 0.0 : f32
        scf.yield %z : f32
      }
      attention.yield %r : f32
    }
  return
}
