// RUN: elfatt-opt %s -split-input-file -verify-diagnostics
// Constraints of attention.elfatt in docs/Semantics.md.

func.func @elfatt_c1_few_dims(%q: tensor<49x8xf32>, %v: tensor<49x8xf32>, %o: tensor<49x8xf32>) {
  // expected-error @below {{expected at least 4 dims (h, n, d, e), got 3}}
  %r = attention.elfatt indexing_maps = [affine_map<(n, d, e) -> (n, d)>,
      affine_map<(n, d, e) -> (n, d)>,
      affine_map<(n, d, e) -> (n, e)>,
      affine_map<(n, d, e) -> (n, e)>]
    ins(%q, %q, %v : tensor<49x8xf32>, tensor<49x8xf32>, tensor<49x8xf32>) 
    outs(%o : tensor<49x8xf32>) global_heads = 2 grid = [7, 7] window = [7, 7]  -> tensor<49x8xf32>
  return
}

// -----

func.func @elfatt_c1_order_of_dims(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>) {
  // expected-error @below {{expected map 0 to hold every dim of (batch.., h, n, d, e) but d4, got affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, d1, d4)>}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, e, d) -> (b, n, h, d)>,
      affine_map<(b, h, n, e, d) -> (b, n, h, d)>,
      affine_map<(b, h, n, e, d) -> (b, n, h, e)>,
      affine_map<(b, h, n, e, d) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) 
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [7, 7] window = [7, 7]  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c1_shared_heads(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>) {
  // expected-error @below {{expected map 0 to hold every dim of (batch.., h, n, d, e) but d4, got affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, 0, d3)>}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, 0, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) 
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [7, 7] window = [7, 7]  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c2_ranks(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>) {
  // expected-error @below {{expected one window extent per grid axis and at least one axis, got 1 and 2}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) 
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [7, 7] window = [7]  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c2_no_axis(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>) {
  // expected-error @below {{expected one window extent per grid axis and at least one axis, got 0 and 0}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) 
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [] window = []  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c4_two_inferred(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>) {
  // expected-error @below {{expected at most one inferred grid extent, got 2}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) 
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [-1, -1] window = [7, 7]  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c4_negative_extent(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>) {
  // expected-error @below {{expected a grid extent that is not negative, or -1, got -7 for axis 0}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) 
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [-7, 7] window = [7, 7]  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c4_window_of_0(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>) {
  // expected-error @below {{expected a window extent of at least 1, got 0 for axis 1}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) 
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [7, 7] window = [7, 0]  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c5_window_divides_grid(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>) {
  // expected-error @below {{expected the window to divide the grid, got 6 and 7 for axis 0}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) 
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [7, 7] window = [6, 7]  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c6_tokens(%q: tensor<2x50x4x8xf32>, %v: tensor<2x50x4x8xf32>, %o: tensor<2x50x4x8xf32>) {
  // expected-error @below {{expected as many grid tokens as tokens behind the prefix, got 49 and 50 - 0}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x50x4x8xf32>, tensor<2x50x4x8xf32>, tensor<2x50x4x8xf32>) 
    outs(%o : tensor<2x50x4x8xf32>) global_heads = 2 grid = [7, 7] window = [7, 7]  -> tensor<2x50x4x8xf32>
  return
}

// -----

func.func @elfatt_c6_tokens_with_prefix(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>) {
  // expected-error @below {{expected as many grid tokens as tokens behind the prefix, got 49 and 49 - 2}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) 
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [7, 7] window = [7, 7] prefix = 2 -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c6_prefix(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>) {
  // expected-error @below {{expected at most 49 prefix tokens, got 50}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) 
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [0, 0] window = [7, 7] prefix = 50 -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c6_inferred_extent(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>) {
  // expected-error @below {{expected whole windows along the inferred grid axis, got 49 grid tokens, which 21 does not divide}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) 
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [7, -1] window = [7, 3]  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c6_inferred_beside_0(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>) {
  // expected-error @below {{expected no inferred grid extent beside an extent of 0}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) 
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [0, -1] window = [7, 7]  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c6_overflow(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>) {
  // expected-error @below {{expected fewer grid tokens than 2^63}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) 
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [4611686018427387904, 4611686018427387904] window = [1, 1]  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c7_global_heads(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>) {
  // expected-error @below {{expected at most 4 global heads, got 5}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) 
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 5 grid = [7, 7] window = [7, 7]  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c8_global_lepe_weights(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>, %w: tensor<3x3x4x8xf32>) {
  // expected-error @below {{expected global_lepe weights of 3x3x2x8, got 'tensor<3x3x4x8xf32>'}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) global_lepe(%w : tensor<3x3x4x8xf32>)
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [7, 7] window = [7, 7]  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c8_local_lepe_bias(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>, %w: tensor<3x3x2x8xf32>, %c: tensor<8xf32>) {
  // expected-error @below {{expected local_lepe bias of 2x8, got 'tensor<8xf32>'}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) local_lepe(%w, %c : tensor<3x3x2x8xf32>, tensor<8xf32>)
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [7, 7] window = [7, 7]  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c8_five_taps(%q: tensor<2x49x4x8xf32>, %v: tensor<2x49x4x8xf32>, %o: tensor<2x49x4x8xf32>, %w: tensor<5x5x2x8xf32>) {
  // expected-error @below {{expected local_lepe weights of 3x3x2x8, got 'tensor<5x5x2x8xf32>'}}
  %r = attention.elfatt indexing_maps = [affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%q, %q, %v : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) local_lepe(%w : tensor<5x5x2x8xf32>)
    outs(%o : tensor<2x49x4x8xf32>) global_heads = 2 grid = [7, 7] window = [7, 7]  -> tensor<2x49x4x8xf32>
  return
}

// -----

func.func @elfatt_c3_grid_operands(%q: tensor<49x4x8xf32>) {
  // expected-error @below {{expected one grid operand per dynamic axis, got 0 for 1}}
  %r = "attention.elfatt"(%q, %q, %q, %q) <{
    indexing_maps = [affine_map<(h, n, d, e) -> (n, h, d)>, affine_map<(h, n, d, e) -> (n, h, d)>,
                     affine_map<(h, n, d, e) -> (n, h, e)>, affine_map<(h, n, d, e) -> (n, h, e)>],
    global_heads = 2 : i64, prefix = 0 : i64,
    static_grid = array<i64: -9223372036854775808>, window = array<i64: 7>,
    operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 1>}>
    : (tensor<49x4x8xf32>, tensor<49x4x8xf32>, tensor<49x4x8xf32>, tensor<49x4x8xf32>)
    -> tensor<49x4x8xf32>
  return
}
