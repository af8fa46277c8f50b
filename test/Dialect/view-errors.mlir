// RUN: elfatt-opt %s -split-input-file -verify-diagnostics
// Constraints of docs/Semantics.md that all ops share.

func.func @view_c1_one_map_per_operand(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected one map for each of its 4 viewed operands, got 3 maps}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @view_c2_one_domain(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected every map to have 4 dims and no symbols, got 3 and 0 in map 3}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @view_c2_no_symbols(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected every map to have 4 dims and no symbols, got 4 and 1 in map 0}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e)[s] -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @view_c3_rank(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected map 0 to give 2 dims of its operand 'tensor<7x8xf32>', got 3}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d, 0)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @view_c4_dim_twice(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected each dim once in map 0, got d0 twice}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, i)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @view_c4_no_sum(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected dims and constants in map 0, got affine_map<(d0, d1, d2, d3) -> (d0 + d1, d2)>}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i + j, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @view_c5_constant_beyond(%q: tensor<7x3x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected constants of map 0 inside of 'tensor<7x3x8xf32>', got 3 for dim 1}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, 3, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x3x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @view_c5_negative_constant(%q: tensor<7x?x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected constants of map 0 inside of 'tensor<7x?x8xf32>', got -1 for dim 1}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, -1, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x?x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @view_c6_destination_written_whole(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x3x8xf32>) {
  // expected-error @below {{expected a destination to be written whole, got a constant in map 3 for dim 1 of 'tensor<7x3x8xf32>'}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, 0, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x3x8xf32>)  -> tensor<7x3x8xf32>
  return
}

// -----

func.func @view_c7_element_type(%q: tensor<7x8xf32>, %k: tensor<7x8xf8E5M2>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected elements of f16, bf16, f32 or f64, got 'tensor<7x8xf8E5M2>'}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf8E5M2>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @view_c7_element_type_of_a_bias(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>, %b: tensor<7x7xf8E5M2>) {
  // expected-error @below {{expected elements of f16, bf16, f32 or f64, or i1 for a mask, got 'tensor<7x7xf8E5M2>'}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, j)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) bias(%b : tensor<7x7xf8E5M2>)
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @view_c8_tensors_or_buffers(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: memref<7x8xf32>) {
  // expected-error @below {{expected all operands to be tensors or all to be buffers, got 'memref<7x8xf32>' beside 'tensor<7x8xf32>'}}
  attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : memref<7x8xf32>) 
  return
}

// -----

func.func @view_c9_one_extent_per_dim(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<9x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected one extent for d1, got 7 in 'tensor<7x8xf32>' and 9 in 'tensor<9x8xf32>'}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<9x8xf32>) 
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @view_c10_every_dim_in_a_map(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected every dim of the domain in a map, got none with d4}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e, z) -> (i, d)>,
      affine_map<(i, j, d, e, z) -> (j, d)>,
      affine_map<(i, j, d, e, z) -> (j, e)>,
      affine_map<(i, j, d, e, z) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @view_c11_default_scale_of_no_channels(%q: tensor<7x0xf32>, %k: tensor<7x0xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected at least 1 channel for the default scale, got 0}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x0xf32>, tensor<7x0xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}
