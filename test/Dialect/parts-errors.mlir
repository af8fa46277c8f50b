// RUN: elfatt-opt %s -split-input-file -verify-diagnostics
// Constraints of the parts in docs/Semantics.md.

func.func @context_c1_no_own_dim_of_key(%a: tensor<7xf32>, %b: tensor<7x8xf32>, %o: tensor<8xf32>) {
  // expected-error @below {{expected maps (b, j, d), (b, j, e) and (b, d, e), got affine_map<(d0, d1) -> (d0)>, affine_map<(d0, d1) -> (d0, d1)> and affine_map<(d0, d1) -> (d1)>}}
  %r = attention.context indexing_maps = [affine_map<(j, e) -> (j)>,
      affine_map<(j, e) -> (j, e)>,
      affine_map<(j, e) -> (e)>]
    ins(%a, %b : tensor<7xf32>, tensor<7x8xf32>) outs(%o : tensor<8xf32>) -> tensor<8xf32>
  return
}

// -----

func.func @context_c1_no_key_dim(%a: tensor<7xf32>, %b: tensor<8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected maps (b, j, d), (b, j, e) and (b, d, e)}}
  %r = attention.context indexing_maps = [affine_map<(d, e) -> (d)>,
      affine_map<(d, e) -> (e)>,
      affine_map<(d, e) -> (d, e)>]
    ins(%a, %b : tensor<7xf32>, tensor<8xf32>) outs(%o : tensor<7x8xf32>) -> tensor<7x8xf32>
  return
}

// -----

func.func @partial_context_c1_no_key_dim(%a: tensor<7xf32>, %b: tensor<8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected maps (b, j, d), (b, j, e) and (b, d, e)}}
  %r:3 = attention.partial_context indexing_maps = [affine_map<(d, e) -> (d)>,
      affine_map<(d, e) -> (e)>, affine_map<(d, e) -> (d, e)>, affine_map<(d, e) -> (d)>,
      affine_map<(d, e) -> (d)>]
    ins(%a, %b : tensor<7xf32>, tensor<8xf32>) outs(%o, %a, %a : tensor<7x8xf32>, tensor<7xf32>, tensor<7xf32>)
    -> tensor<7x8xf32>, tensor<7xf32>, tensor<7xf32>
  return
}

// -----

func.func @partial_context_c2_state_over_values(%a: tensor<9x8xf32>, %o: tensor<8x8xf32>, %m: tensor<8xf32>) {
  // expected-error @below {{expected max and sum over the batch and channel dims, got map affine_map<(d0, d1, d2) -> (d2)>}}
  %r:3 = attention.partial_context indexing_maps = [affine_map<(j, d, e) -> (j, d)>,
      affine_map<(j, d, e) -> (j, e)>, affine_map<(j, d, e) -> (d, e)>, affine_map<(j, d, e) -> (d)>,
      affine_map<(j, d, e) -> (e)>]
    ins(%a, %a : tensor<9x8xf32>, tensor<9x8xf32>) outs(%o, %m, %m : tensor<8x8xf32>, tensor<8xf32>, tensor<8xf32>)
    -> tensor<8x8xf32>, tensor<8xf32>, tensor<8xf32>
  return
}

// -----

func.func @partial_context_c3_state_in_the_type_of_the_computation(%a: tensor<9x8xf16>, %o: tensor<8x8xf16>, %m: tensor<8xf32>) {
  // expected-error @below {{expected acc, max and sum in the type of the computation, 'f32', got 'tensor<8x8xf16>'}}
  %r:3 = attention.partial_context indexing_maps = [affine_map<(j, d, e) -> (j, d)>,
      affine_map<(j, d, e) -> (j, e)>, affine_map<(j, d, e) -> (d, e)>, affine_map<(j, d, e) -> (d)>,
      affine_map<(j, d, e) -> (d)>]
    ins(%a, %a : tensor<9x8xf16>, tensor<9x8xf16>) outs(%o, %m, %m : tensor<8x8xf16>, tensor<8xf32>, tensor<8xf32>)
    -> tensor<8x8xf16>, tensor<8xf32>, tensor<8xf32>
  return
}

// -----

func.func @merge_c1_no_segments(%a: tensor<7x8xf32>, %m: tensor<7xf32>) {
  // expected-error @below {{expected maps (s, b, d, e), (s, b, d), (s, b, d) and (b, d, e), got}}
  %r = attention.merge indexing_maps = [affine_map<(d, e) -> (d, e)>,
      affine_map<(d, e) -> (d)>, affine_map<(d, e) -> (d)>, affine_map<(d, e) -> (d, e)>]
    ins(%a, %m, %m : tensor<7x8xf32>, tensor<7xf32>, tensor<7xf32>) outs(%a : tensor<7x8xf32>)
    -> tensor<7x8xf32>
  return
}

// -----

func.func @merge_c2_state_in_the_type_of_the_computation(%a: tensor<2x7x8xf32>, %m: tensor<2x7xf16>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected acc, max and sum in the type of the computation, 'f32', got 'tensor<2x7xf16>'}}
  %r = attention.merge indexing_maps = [affine_map<(s, d, e) -> (s, d, e)>,
      affine_map<(s, d, e) -> (s, d)>, affine_map<(s, d, e) -> (s, d)>, affine_map<(s, d, e) -> (d, e)>]
    ins(%a, %m, %m : tensor<2x7x8xf32>, tensor<2x7xf16>, tensor<2x7xf16>) outs(%o : tensor<7x8xf32>)
    -> tensor<7x8xf32>
  return
}

// -----

func.func @apply_c1_two_channel_dims(%a: tensor<7x2x8xf32>, %b: tensor<2x8x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected maps (b, i, d), (b, d, e) and (b, i, e)}}
  %r = attention.apply indexing_maps = [affine_map<(i, c, d, e) -> (i, c, d)>,
      affine_map<(i, c, d, e) -> (c, d, e)>,
      affine_map<(i, c, d, e) -> (i, e)>]
    ins(%a, %b : tensor<7x2x8xf32>, tensor<2x8x8xf32>) outs(%o : tensor<7x8xf32>) -> tensor<7x8xf32>
  return
}

// -----

func.func @finalize_c1_sum_over_all_dims(%a: tensor<7x8xf32>, %b: tensor<7x8xf32>, %o: tensor<7x8xf32>) {
  // expected-error @below {{expected maps (b, i, e), (b, i) and (b, i, e)}}
  %r = attention.finalize indexing_maps = [affine_map<(i, e) -> (i, e)>,
      affine_map<(i, e) -> (i, e)>,
      affine_map<(i, e) -> (i, e)>]
    ins(%a, %b : tensor<7x8xf32>, tensor<7x8xf32>) outs(%o : tensor<7x8xf32>) -> tensor<7x8xf32>
  return
}

// -----

func.func @online_c1_no_class(%q: tensor<7x8xf32>, %acc: tensor<7x8xf32>, %m: tensor<7xf32>) {
  // expected-error @below {{expected maps of attention, got ones where dim d2 is no batch, row, key, channel or value dim}}
  %r:3 = attention.online indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, 0)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>,
      affine_map<(i, j, d, e) -> (i)>,
      affine_map<(i, j, d, e) -> (i)>]
    ins(%q, %q, %q : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) outs(%acc, %m, %m : tensor<7x8xf32>, tensor<7xf32>, tensor<7xf32>)
    -> tensor<7x8xf32>, tensor<7xf32>, tensor<7xf32>
  return
}

// -----

func.func @online_c2_state_over_rows(%q: tensor<7x8xf32>, %acc: tensor<7x8xf32>, %m: tensor<8xf32>) {
  // expected-error @below {{expected max and sum over the batch and row dims, got map affine_map<(d0, d1, d2, d3) -> (d3)>}}
  %r:3 = attention.online indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>,
      affine_map<(i, j, d, e) -> (e)>,
      affine_map<(i, j, d, e) -> (e)>]
    ins(%q, %q, %q : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) outs(%acc, %m, %m : tensor<7x8xf32>, tensor<8xf32>, tensor<8xf32>)
    -> tensor<7x8xf32>, tensor<8xf32>, tensor<8xf32>
  return
}

// -----

func.func @online_c3_state_in_the_type_of_the_computation(%q: tensor<7x8xf32>, %acc: tensor<7x8xf16>, %m: tensor<7xf32>) {
  // expected-error @below {{expected acc, max and sum in the type of the computation, 'f32', got 'tensor<7x8xf16>'}}
  %r:3 = attention.online indexing_maps = [affine_map<(i, j, d, e) -> (i, d)>,
      affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>,
      affine_map<(i, j, d, e) -> (i)>,
      affine_map<(i, j, d, e) -> (i)>]
    ins(%q, %q, %q : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) outs(%acc, %m, %m : tensor<7x8xf16>, tensor<7xf32>, tensor<7xf32>)
    -> tensor<7x8xf16>, tensor<7xf32>, tensor<7xf32>
  return
}

// -----

func.func @lepe_c1_grid_dims_in_range(%v: tensor<7x7x4xf32>, %w: tensor<3x3x4xf32>, %o: tensor<7x7x4xf32>) {
  // expected-error @below {{expected different grid dims below 3, got 3}}
  %r = attention.lepe indexing_maps = [affine_map<(y, x, e) -> (y, x, e)>,
      affine_map<(y, x, e) -> (e)>,
      affine_map<(y, x, e) -> (y, x, e)>]
    ins(%v, %w : tensor<7x7x4xf32>, tensor<3x3x4xf32>) outs(%o : tensor<7x7x4xf32>) grid_dims = [0, 3] -> tensor<7x7x4xf32>
  return
}

// -----

func.func @lepe_c1_grid_dims_differ(%v: tensor<7x7x4xf32>, %w: tensor<3x3x4xf32>, %o: tensor<7x7x4xf32>) {
  // expected-error @below {{expected different grid dims below 3, got 0}}
  %r = attention.lepe indexing_maps = [affine_map<(y, x, e) -> (y, x, e)>,
      affine_map<(y, x, e) -> (e)>,
      affine_map<(y, x, e) -> (y, x, e)>]
    ins(%v, %w : tensor<7x7x4xf32>, tensor<3x3x4xf32>) outs(%o : tensor<7x7x4xf32>) grid_dims = [0, 0] -> tensor<7x7x4xf32>
  return
}

// -----

func.func @lepe_c1_a_grid_dim(%v: tensor<7x7x4xf32>, %w: tensor<3x3x4xf32>, %o: tensor<7x7x4xf32>) {
  // expected-error @below {{expected at least one grid dim}}
  %r = attention.lepe indexing_maps = [affine_map<(y, x, e) -> (y, x, e)>,
      affine_map<(y, x, e) -> (e)>,
      affine_map<(y, x, e) -> (y, x, e)>]
    ins(%v, %w : tensor<7x7x4xf32>, tensor<3x3x4xf32>) outs(%o : tensor<7x7x4xf32>) grid_dims = [] -> tensor<7x7x4xf32>
  return
}

// -----

func.func @lepe_c2_destination_has_all_dims(%v: tensor<7x7x4xf32>, %w: tensor<3x3x4xf32>, %o: tensor<7x7xf32>) {
  // expected-error @below {{expected every dim in the map of its destination, got affine_map<(d0, d1, d2) -> (d0, d1)>}}
  %r = attention.lepe indexing_maps = [affine_map<(y, x, e) -> (y, x, e)>,
      affine_map<(y, x, e) -> (e)>,
      affine_map<(y, x, e) -> (y, x)>]
    ins(%v, %w : tensor<7x7x4xf32>, tensor<3x3x4xf32>) outs(%o : tensor<7x7xf32>) grid_dims = [0, 1] -> tensor<7x7xf32>
  return
}

// -----

func.func @lepe_c3_value_on_grid(%v: tensor<7x7x4xf32>, %w: tensor<3x3x4xf32>, %o: tensor<7x7x4xf32>) {
  // expected-error @below {{expected every grid dim in the map of its value, got affine_map<(d0, d1, d2) -> (d0, 0, d2)>}}
  %r = attention.lepe indexing_maps = [affine_map<(y, x, e) -> (y, 0, e)>,
      affine_map<(y, x, e) -> (e)>,
      affine_map<(y, x, e) -> (y, x, e)>]
    ins(%v, %w : tensor<7x7x4xf32>, tensor<3x3x4xf32>) outs(%o : tensor<7x7x4xf32>) grid_dims = [0, 1] -> tensor<7x7x4xf32>
  return
}

// -----

func.func @lepe_c3_weight_off_grid(%v: tensor<7x7x4xf32>, %w: tensor<3x3x7xf32>, %o: tensor<7x7x4xf32>) {
  // expected-error @below {{expected no grid dim in the maps of weight and bias, got affine_map<(d0, d1, d2) -> (d1)>}}
  %r = attention.lepe indexing_maps = [affine_map<(y, x, e) -> (y, x, e)>,
      affine_map<(y, x, e) -> (x)>,
      affine_map<(y, x, e) -> (y, x, e)>]
    ins(%v, %w : tensor<7x7x4xf32>, tensor<3x3x7xf32>) outs(%o : tensor<7x7x4xf32>) grid_dims = [0, 1] -> tensor<7x7x4xf32>
  return
}

// -----

func.func @lepe_c4_extents(%v: tensor<7x7x4xf32>, %w: tensor<3x3x4xf32>, %o: tensor<5x7x4xf32>) {
  // expected-error @below {{expected its destination to be as large as the grid along d0, got 5 and 7}}
  %r = attention.lepe indexing_maps = [affine_map<(y, x, e) -> (y, x, e)>,
      affine_map<(y, x, e) -> (e)>,
      affine_map<(y, x, e) -> (y, x, e)>]
    ins(%v, %w : tensor<7x7x4xf32>, tensor<3x3x4xf32>) outs(%o : tensor<5x7x4xf32>) grid_dims = [0, 1] -> tensor<5x7x4xf32>
  return
}

// -----

func.func @lepe_c4_extents_of_a_tile(%v: tensor<7x7x4xf32>, %w: tensor<3x3x4xf32>, %o: tensor<9x7x4xf32>, %y: index) {
  // expected-error @below {{expected its destination to be no larger than the grid along d0, got 9 and 7}}
  %r = attention.lepe indexing_maps = [affine_map<(y, x, e) -> (y, x, e)>,
      affine_map<(y, x, e) -> (e)>,
      affine_map<(y, x, e) -> (y, x, e)>]
    ins(%v, %w : tensor<7x7x4xf32>, tensor<3x3x4xf32>) offsets(%y, %y) outs(%o : tensor<9x7x4xf32>) grid_dims = [0, 1] -> tensor<9x7x4xf32>
  return
}

// -----

func.func @lepe_c5_taps(%v: tensor<7x7x4xf32>, %w: tensor<5x3x4xf32>, %o: tensor<7x7x4xf32>) {
  // expected-error @below {{expected 3 taps per grid dim first in its weight, got 'tensor<5x3x4xf32>'}}
  %r = attention.lepe indexing_maps = [affine_map<(y, x, e) -> (y, x, e)>,
      affine_map<(y, x, e) -> (e)>,
      affine_map<(y, x, e) -> (y, x, e)>]
    ins(%v, %w : tensor<7x7x4xf32>, tensor<5x3x4xf32>) outs(%o : tensor<7x7x4xf32>) grid_dims = [0, 1] -> tensor<7x7x4xf32>
  return
}

// -----

func.func @lepe_c6_offsets(%v: tensor<7x7x4xf32>, %w: tensor<3x3x4xf32>, %o: tensor<7x7x4xf32>, %y: index) {
  // expected-error @below {{expected no offsets or one per grid dim, got 1 for 2}}
  %r = attention.lepe indexing_maps = [affine_map<(y, x, e) -> (y, x, e)>,
      affine_map<(y, x, e) -> (e)>,
      affine_map<(y, x, e) -> (y, x, e)>]
    ins(%v, %w : tensor<7x7x4xf32>, tensor<3x3x4xf32>) offsets(%y) outs(%o : tensor<7x7x4xf32>) grid_dims = [0, 1] -> tensor<7x7x4xf32>
  return
}

// -----

func.func @convert_layout_c1_dims(%x: vector<16x8xf32>) {
  // expected-error @below {{expected layouts of 2 dims, got #attention.lanes<group>}}
  %r = attention.convert_layout %x <group, quad> to <group> : vector<16x8xf32>
  return
}

// -----

func.func @convert_layout_c2_lanes(%x: vector<16x8xf32>) {
  // expected-error @below {{expected dims that are spread over different lanes, got #attention.lanes<quad, quad>}}
  %r = attention.convert_layout %x <quad, quad> to <group, quad> : vector<16x8xf32>
  return
}

// -----

func.func @convert_layout_c3_extent(%x: vector<12x1xf32>) {
  // expected-error @below {{expected a multiple of 8 for group, got 12}}
  %r = attention.convert_layout %x <group, none> to <quad, none> : vector<12x1xf32>
  return
}

// -----

func.func @convert_layout_c3_pairs(%x: vector<8x8xf16>) {
  // expected-error @below {{expected a multiple of 16 for pair_left, got 8}}
  %r = attention.convert_layout %x <pair_row, pair_column> to <pair_left, none> : vector<8x8xf16>
  return
}

// -----

func.func @convert_layout_c2_pairs(%x: vector<16x8xf16>) {
  // expected-error @below {{expected dims that are spread over different lanes, got #attention.lanes<pair_left, quad>}}
  %r = attention.convert_layout %x <pair_left, quad> to <pair_left, none> : vector<16x8xf16>
  return
}
