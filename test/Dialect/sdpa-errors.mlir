// RUN: elfatt-opt %s -split-input-file -verify-diagnostics
// Constraints of attention.sdpa and attention.linear in docs/Semantics.md.

func.func @sdpa_c1_no_class(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<8xf32>) {
  // expected-error @below {{expected maps of attention, got ones where dim d0 is no batch, row, key, channel or value dim}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<8xf32>)  -> tensor<8xf32>
  return
}

// -----

func.func @sdpa_c1_two_value_dims(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8x2xf32>, %o: tensor<7x8x2xf32>) {
  // expected-error @below {{expected maps of attention, got ones where expected one channel dim and one value dim, got 1 and 2}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e, f) -> (i, d)>,
      affine_map<(i, j, d, e, f) -> (j, d)>,
      affine_map<(i, j, d, e, f) -> (j, e, f)>,
      affine_map<(i, j, d, e, f) -> (i, e, f)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8x2xf32>) 
    outs(%o : tensor<7x8x2xf32>)  -> tensor<7x8x2xf32>
  return
}

// -----

func.func @sdpa_c1_no_key_dim(%q: tensor<7x8xf32>, %k: tensor<8xf32>, %v: tensor<8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected a key dim, in the maps of key and value alone}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, d, e) -> (i, d)>,
      affine_map<(i, d, e) -> (d)>,
      affine_map<(i, d, e) -> (e)>,
      affine_map<(i, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<8xf32>, tensor<8xf32>) 
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @sdpa_c2_bias_over_channels(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>, %b: tensor<7x8xf32>) {
  // expected-error @below {{expected a bias over batch, row and key dims, got map affine_map<(d0, d1, d2, d3) -> (d0, d2)>}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) bias(%b : tensor<7x8xf32>)
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @sdpa_c3_causal_of_two_key_dims(%q: tensor<7x8xf32>, %k: tensor<7x2x8xf32>, %v: tensor<7x2x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected a row dim and exactly one key dim with causal, got 1 and 2}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, l, d, e) -> (i, d)>,
      affine_map<(i, j, l, d, e) -> (j, l, d)>,
      affine_map<(i, j, l, d, e) -> (j, l, e)>,
      affine_map<(i, j, l, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x2x8xf32>, tensor<7x2x8xf32>) 
    outs(%o : tensor<7x8xf32>) causal -> tensor<7x8xf32>
  return
}

// -----

func.func @sdpa_c4_offsets_per_position(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>, %x: index) {
  // expected-error @below {{expected no offsets or 2, one per batch, row and key dim where a position matters, got 1}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) offsets(%x)
    outs(%o : tensor<7x8xf32>) causal -> tensor<7x8xf32>
  return
}

// -----

func.func @sdpa_c4_offsets_without_position(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>, %x: index) {
  // expected-error @below {{expected no offsets or 0, one per batch, row and key dim where a position matters, got 2}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) offsets(%x, %x)
    outs(%o : tensor<7x8xf32>)  -> tensor<7x8xf32>
  return
}

// -----

func.func @sdpa_c5_score_arguments(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected a score region of ('f32', 'index', 'index'), got ('f32')}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>) score {
    ^bb0(%s: f32):
      attention.yield %s : f32
    } -> tensor<7x8xf32>
  return
}

// -----

func.func @sdpa_c5_score_in_the_type_of_the_computation(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected a score region of ('f32', 'index', 'index'), got ('f16', 'index', 'index')}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>) score {
    ^bb0(%s: f16, %i: index, %j: index):
      attention.yield %s : f16
    } -> tensor<7x8xf32>
  return
}

// -----

func.func @sdpa_c6_yield_of_another_type(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected the score region to end by attention.yield of 'f32'}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>) score {
    ^bb0(%s: f32, %i: index, %j: index):
      %h = arith.truncf %s : f32 to f16
      attention.yield %h : f16
    } -> tensor<7x8xf32>
  return
}

// -----

func.func @sdpa_c7_effects(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<7x8xf32>, %m: memref<f32>) {
  // expected-error @below {{expected a score region without side effects}}
  %r = attention.sdpa indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<7x8xf32>) score {
    ^bb0(%s: f32, %i: index, %j: index):
      // expected-note @below {{got memref.load here}}
      %x = memref.load %m[] : memref<f32>
      attention.yield %x : f32
    } -> tensor<7x8xf32>
  return
}

// -----

func.func @linear_c1_no_class(%q: tensor<7x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>, %o: tensor<8xf32>) {
  // expected-error @below {{expected maps of attention, got ones where dim d0 is no batch, row, key, channel or value dim}}
  %r = attention.linear indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (e)>]
    ins(%q, %k, %v : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) 
    outs(%o : tensor<8xf32>)  -> tensor<8xf32>
  return
}
