// RUN: elfatt-opt %s --elfatt-tile-decompose --elfatt-tile-to-forall=machine=cpu --canonicalize --cse | FileCheck %s
// RUN: elfatt-opt %s --elfatt-tile-decompose --elfatt-tile-to-forall=machine=gpu --canonicalize --cse | FileCheck %s --check-prefix=GPU

#q = affine_map<(b, h, n, d, e) -> (b, n, 0, h, d)>
#k = affine_map<(b, h, n, d, e) -> (b, n, 1, h, d)>
#v = affine_map<(b, h, n, d, e) -> (b, n, 2, h, e)>
#o = affine_map<(b, h, n, d, e) -> (b, n, h, e)>
#lq = affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>
#lk = affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>
#lv = affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>
#lo = affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>

// One loop over windows for the local half, one over batches for the context,
// one over batches and image lines for the global half; LePE is inside.
// CHECK-LABEL: func.func @one_loop_a_chain
// CHECK:         scf.forall ({{.*}}) in (2, 2, 2)
// CHECK:           %[[LOCAL:.*]] = attention.sdpa {{.*}} tensor<1x1x7x1x7x1x8xf32>
// CHECK-NEXT:      %[[LEPE:.*]] = attention.lepe {{.*}} outs(%[[LOCAL]]
// CHECK:           tensor.parallel_insert_slice %[[LEPE]]
// CHECK:         scf.forall ({{.*}}) in (2)
// CHECK:           attention.context
// CHECK:         scf.forall
// CHECK:           %[[GLOBAL:.*]] = attention.apply
// CHECK-NEXT:      attention.lepe {{.*}} outs(%[[GLOBAL]]
// CHECK-NOT:     scf.forall (
func.func @one_loop_a_chain(%qkv: tensor<2x196x3x2x8xf32>, %w: tensor<3x3x1x8xf32>,
                            %init: tensor<2x196x2x8xf32>) -> tensor<2x196x2x8xf32> {
  %o = attention.elfatt indexing_maps = [#q, #k, #v, #o]
    ins(%qkv, %qkv, %qkv : tensor<2x196x3x2x8xf32>, tensor<2x196x3x2x8xf32>, tensor<2x196x3x2x8xf32>)
    global_lepe(%w : tensor<3x3x1x8xf32>) local_lepe(%w : tensor<3x3x1x8xf32>)
    outs(%init : tensor<2x196x2x8xf32>) global_heads = 1 grid = [14, 14] window = [7, 7]
    -> tensor<2x196x2x8xf32>
  return %o : tensor<2x196x2x8xf32>
}

// Prefix keys and a window share one softmax: its state stays inside the tile.
// CHECK-LABEL: func.func @prefix_and_window_in_one_tile
// CHECK:         scf.forall
// CHECK:           %[[FIRST:.*]]:3 = attention.online
// CHECK:           %[[SECOND:.*]]:3 = attention.online {{.*}} outs(%[[FIRST]]#0, %[[FIRST]]#1, %[[FIRST]]#2
// CHECK:           attention.finalize {{.*}} ins(%[[SECOND]]#0, %[[SECOND]]#2
func.func @prefix_and_window_in_one_tile(%q: tensor<1x2x50x8xf32>, %init: tensor<1x2x50x8xf32>)
    -> tensor<1x2x50x8xf32> {
  %o = attention.elfatt indexing_maps = [
      affine_map<(b, h, n, d, e) -> (b, h, n, d)>, affine_map<(b, h, n, d, e) -> (b, h, n, d)>,
      affine_map<(b, h, n, d, e) -> (b, h, n, e)>, affine_map<(b, h, n, d, e) -> (b, h, n, e)>]
    ins(%q, %q, %q : tensor<1x2x50x8xf32>, tensor<1x2x50x8xf32>, tensor<1x2x50x8xf32>)
    outs(%init : tensor<1x2x50x8xf32>) global_heads = 0 grid = [7, 7] window = [7, 7] prefix = 1
    -> tensor<1x2x50x8xf32>
  return %o : tensor<1x2x50x8xf32>
}

// Long rows are cut into blocks, short ones are not.
// CHECK-LABEL: func.func @long_rows_are_cut
// CHECK:         scf.forall ({{.*}}) = (0, 0) to (2, 1000) step (1, 128)
// CHECK:           affine.min
func.func @long_rows_are_cut(%q: tensor<1x2x1000x8xf32>, %init: tensor<1x2x1000x8xf32>)
    -> tensor<1x2x1000x8xf32> {
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %q, %q : tensor<1x2x1000x8xf32>, tensor<1x2x1000x8xf32>, tensor<1x2x1000x8xf32>)
    outs(%init : tensor<1x2x1000x8xf32>) -> tensor<1x2x1000x8xf32>
  return %o : tensor<1x2x1000x8xf32>
}

// CHECK-LABEL: func.func @short_rows_are_whole
// CHECK:         scf.forall ({{.*}}) in (2) shared_outs
func.func @short_rows_are_whole(%q: tensor<1x2x49x8xf32>, %init: tensor<1x2x49x8xf32>)
    -> tensor<1x2x49x8xf32> {
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %q, %q : tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>)
    outs(%init : tensor<1x2x49x8xf32>) -> tensor<1x2x49x8xf32>
  return %o : tensor<1x2x49x8xf32>
}

// A causal tile knows where it lies.
// CHECK-LABEL: func.func @tiles_keep_their_position
// CHECK:         scf.forall (%[[H:.*]], %[[ROW:.*]]) =
// CHECK:           attention.sdpa {{.*}} offsets(%c0, %[[H]], %[[ROW]], %c0) {{.*}} causal
func.func @tiles_keep_their_position(%q: tensor<1x2x1000x8xf32>, %init: tensor<1x2x1000x8xf32>)
    -> tensor<1x2x1000x8xf32> {
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %q, %q : tensor<1x2x1000x8xf32>, tensor<1x2x1000x8xf32>, tensor<1x2x1000x8xf32>)
    outs(%init : tensor<1x2x1000x8xf32>) causal -> tensor<1x2x1000x8xf32>
  return %o : tensor<1x2x1000x8xf32>
}

// On the GPU a loop of one iteration stays, to become a kernel.
// CHECK-LABEL: func.func @one_worker
// CHECK-NOT:     scf.forall
// GPU-LABEL:   func.func @one_worker
// GPU:           scf.forall ({{.*}}) in (1, 1)
// GPU:           {mapping = [#gpu.block<linear_dim_0>, #gpu.block<linear_dim_1>]}
func.func @one_worker(%q: tensor<1x1x9x8xf32>, %init: tensor<1x1x9x8xf32>) -> tensor<1x1x9x8xf32> {
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %q, %q : tensor<1x1x9x8xf32>, tensor<1x1x9x8xf32>, tensor<1x1x9x8xf32>)
    outs(%init : tensor<1x1x9x8xf32>) -> tensor<1x1x9x8xf32>
  return %o : tensor<1x1x9x8xf32>
}

// CHECK-LABEL: func.func @no_rows
// CHECK-SAME:    %[[INIT:[^ ]*]]: tensor<1x1x0x8xf32>)
// CHECK-NEXT:    return %[[INIT]]
func.func @no_rows(%q: tensor<1x1x0x8xf32>, %k: tensor<1x1x9x8xf32>, %init: tensor<1x1x0x8xf32>)
    -> tensor<1x1x0x8xf32> {
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %k, %k : tensor<1x1x0x8xf32>, tensor<1x1x9x8xf32>, tensor<1x1x9x8xf32>)
    outs(%init : tensor<1x1x0x8xf32>) -> tensor<1x1x0x8xf32>
  return %o : tensor<1x1x0x8xf32>
}

// Without keys every row is masked.
// CHECK-LABEL: func.func @no_keys
// CHECK:         %[[NAN:.*]] = arith.constant 0x7FC00000 : f32
// CHECK:         linalg.fill ins(%[[NAN]] : f32)
func.func @no_keys(%q: tensor<1x1x9x8xf32>, %k: tensor<1x1x0x8xf32>, %init: tensor<1x1x9x8xf32>)
    -> tensor<1x1x9x8xf32> {
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %k, %k : tensor<1x1x9x8xf32>, tensor<1x1x0x8xf32>, tensor<1x1x0x8xf32>)
    outs(%init : tensor<1x1x9x8xf32>) masked_rows = nan -> tensor<1x1x9x8xf32>
  return %o : tensor<1x1x9x8xf32>
}

// Without batch dims the rows, or what else is parallel, hold the tile.
// GPU-LABEL:   func.func @no_batch
// GPU:           scf.forall ({{.*}}) = (0) to (9) step (9)
// GPU:             attention.sdpa
// GPU:           scf.forall ({{.*}}) = (0, 0) to (8, 8) step (8, 8)
// GPU:             attention.context
func.func @no_batch(%x: tensor<9x8xf32>, %init: tensor<9x8xf32>, %ctx: tensor<8x8xf32>)
    -> (tensor<9x8xf32>, tensor<8x8xf32>) {
  %o = attention.sdpa indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%x, %x, %x : tensor<9x8xf32>, tensor<9x8xf32>, tensor<9x8xf32>)
    outs(%init : tensor<9x8xf32>) -> tensor<9x8xf32>
  %c = attention.context indexing_maps = [
      affine_map<(j, d, e) -> (j, d)>, affine_map<(j, d, e) -> (j, e)>,
      affine_map<(j, d, e) -> (d, e)>]
    ins(%x, %x : tensor<9x8xf32>, tensor<9x8xf32>) outs(%ctx : tensor<8x8xf32>) -> tensor<8x8xf32>
  return %o, %c : tensor<9x8xf32>, tensor<8x8xf32>
}
