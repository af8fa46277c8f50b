// RUN: elfatt-opt %s --elfatt-tile-to-vector=machine=cpu --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,CPU
// RUN: elfatt-opt %s --elfatt-tile-to-vector=machine=gpu --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,GPU

#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#o = affine_map<(b, i, j, d, e) -> (b, i, e)>
#bias = affine_map<(b, i, j, d, e) -> (j)>

// One block of keys: the whole softmax stays in registers, keys beyond 49 are
// -inf, and each formula is there once. On the CPU the last register of scores is half a one;
// rows of scratch begin a line of the cache.
// CHECK-LABEL: func.func @window
// CHECK-NOT:     attention.
// CPU-DAG:       %[[KEYS:.*]] = memref.alloca() {{.*}} : memref<16x64xf32>
// GPU-DAG:       memref.alloca() {{.*}} : memref<64x24xf16, #gpu.address_space<workgroup>>
// CPU:           linalg.{{generic|transpose}}
// GPU:           linalg.copy
// CPU:           scf.for
// GPU:           scf.forall (%{{.*}}) in (4) {
// CPU:             vector.contract {{.*}} : vector<7x16xf32>, vector<16x56xf32> into vector<7x56xf32>
// GPU:             vector.contract {{.*}} : vector<16x16xf16>, vector<56x16xf16> into vector<16x56xf32>
// CHECK:           arith.cmpi slt
// CHECK:           arith.select
// CHECK:           vector.multi_reduction <maxnumf>
// CHECK:           math.exp2
// CHECK:           vector.multi_reduction <add>
// CPU:             vector.contract {{.*}} : vector<7x56xf32>, vector<56x16xf32> into vector<7x16xf32>
// GPU:             vector.contract {{.*}} : vector<16x56xf16>, vector<56x16xf16> into vector<16x16xf32>
// CHECK:           arith.divf
// CHECK:           vector.transfer_write
// CHECK-NOT:     vector.contract
func.func @window(%q: memref<1x49x16xf16>, %k: memref<1x49x16xf16>, %v: memref<1x49x16xf16>,
                  %o: memref<1x49x16xf16>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %v : memref<1x49x16xf16>, memref<1x49x16xf16>, memref<1x49x16xf16>)
    outs(%o : memref<1x49x16xf16>)
  return
}

// Several blocks carry (acc, max, sum) in scratch and finalise once; on the GPU in
// registers, each warp for its own rows.
// CHECK-LABEL: func.func @blocks_of_keys
// CPU-DAG:       memref.alloca() {{.*}} : memref<14xf32>
// CPU-DAG:       memref.alloca() {{.*}} : memref<14x16xf32>
// GPU-DAG:       memref.alloca() : memref<16xf32, #gpu.address_space<private>>
// GPU-DAG:       memref.alloca() : memref<16x16xf32, #gpu.address_space<private>>
// CHECK:         scf.for
// CHECK:           vector.contract
// CHECK:           vector.contract
// CHECK-NOT:       arith.divf
// CHECK:           vector.transfer_write
// CPU:           scf.for
// CHECK:         vector.transfer_read
// CHECK:         arith.divf
func.func @blocks_of_keys(%q: memref<1x14x16xf32>, %k: memref<1x500x16xf32>,
                          %v: memref<1x500x16xf32>, %o: memref<1x14x16xf32>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %v : memref<1x14x16xf32>, memref<1x500x16xf32>, memref<1x500x16xf32>)
    outs(%o : memref<1x14x16xf32>)
  return
}

// A mask without row dims is one row of scratch, for all rows.
// CHECK-LABEL: func.func @mask_of_keys
// CHECK:         memref.alloca() {{.*}} : memref<1x32xf32
// CHECK:         linalg.generic
// CHECK:           arith.uitofp
func.func @mask_of_keys(%q: memref<1x16x16xf32>, %k: memref<1x32x16xf32>, %v: memref<1x32x16xf32>,
                        %m: memref<32xi1>, %o: memref<1x16x16xf32>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #bias, #o]
    ins(%q, %k, %v : memref<1x16x16xf32>, memref<1x32x16xf32>, memref<1x32x16xf32>)
    bias(%m : memref<32xi1>) outs(%o : memref<1x16x16xf32>)
  return
}

// The score region's ops work on whole tiles.
// CHECK-LABEL: func.func @score_region
// CHECK:         math.tanh {{.*}} : vector<
func.func @score_region(%q: memref<1x16x16xf32>, %k: memref<1x32x16xf32>, %v: memref<1x32x16xf32>,
                        %o: memref<1x16x16xf32>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %v : memref<1x16x16xf32>, memref<1x32x16xf32>, memref<1x32x16xf32>)
    outs(%o : memref<1x16x16xf32>) score {
    ^bb0(%s: f32, %b: index, %i: index, %j: index):
      %t = math.tanh %s : f32
      attention.yield %t : f32
    }
  return
}

// The context's softmax runs over tokens: the state is per channel.
// CHECK-LABEL: func.func @context
// CPU:           memref.alloca() {{.*}} : memref<16xf32>
// GPU-DAG:       memref.alloca() : memref<128x16xf32, #gpu.address_space<private>>
// CHECK:         scf.for
// GPU:           scf.forall (%{{.*}}) in (8)
// GPU:             vector.transfer_read {{.*}}permutation_map = #{{.*}} : memref<{{[0-9]+}}x16xf16, {{.*}}>, vector<16x{{[0-9]+}}xf16>
// CPU:             vector.multi_reduction <maxnumf>, {{.*}} [0] : vector<25x16xf32> to vector<16xf32>
// GPU:             vector.multi_reduction <maxnumf>, {{.*}} [1] : vector<16x{{[0-9]+}}xf32> to vector<16xf32>
// CHECK:           vector.contract
// CHECK:         arith.divf
func.func @context(%k: memref<1x100x16xf16>, %v: memref<1x100x16xf16>, %c: memref<1x16x16xf32>) {
  attention.context indexing_maps = [
      affine_map<(b, j, d, e) -> (b, j, d)>, affine_map<(b, j, d, e) -> (b, j, e)>,
      affine_map<(b, j, d, e) -> (b, d, e)>]
    ins(%k, %v : memref<1x100x16xf16>, memref<1x100x16xf16>) outs(%c : memref<1x16x16xf32>)
  return
}

// CHECK-LABEL: func.func @apply
// CHECK:         vector.multi_reduction <maxnumf>, {{.*}} [1]
// CHECK:         math.exp2
// CHECK:         vector.contract
// CHECK:         vector.transfer_write
func.func @apply(%q: memref<1x49x16xf16>, %c: memref<1x16x16xf32>, %o: memref<1x49x16xf16>) {
  attention.apply indexing_maps = [
      affine_map<(b, i, d, e) -> (b, i, d)>, affine_map<(b, i, d, e) -> (b, d, e)>,
      affine_map<(b, i, d, e) -> (b, i, e)>]
    ins(%q, %c : memref<1x49x16xf16>, memref<1x16x16xf32>) outs(%o : memref<1x49x16xf16>)
  return
}

// Nine taps of two axes; those beyond the grid are masked, not read. On the GPU they lie in
// scratch, each at one distance of its row: three sums of taps that go the same way along
// the lines, of which two are left out at the ends of a line.
// CHECK-LABEL: func.func @lepe
// CPU-COUNT-9:   vector.transfer_read {{.*}}, %{{.*}}, %{{.*}} {in_bounds = [true, true]} : memref<7x7x16xf32
// GPU:           scf.forall
// GPU:             arith.remui
// GPU:             arith.select
// GPU:             arith.select
// GPU-NOT:         arith.select
// CHECK:         vector.transfer_write
func.func @lepe(%v: memref<1x7x7x16xf32>, %w: memref<3x3x16xf32>, %o: memref<1x7x7x16xf32>) {
  attention.lepe indexing_maps = [
      affine_map<(b, y, x, e) -> (b, y, x, e)>, affine_map<(b, y, x, e) -> (e)>,
      affine_map<(b, y, x, e) -> (b, y, x, e)>]
    ins(%v, %w : memref<1x7x7x16xf32>, memref<3x3x16xf32>)
    outs(%o : memref<1x7x7x16xf32>) grid_dims = [1, 2]
  return
}

// No row of this tile sees keys beyond its own: the loop over blocks of keys ends there.
// CHECK-LABEL: func.func @causal_ends_with_its_rows
// CPU-SAME:      %[[AT:[a-z0-9]+]]: index
// CPU:           %[[END:.*]] = arith.addi %[[AT]], %{{.*}} : index
// CPU:           %[[SEEN:.*]] = arith.maxsi %[[END]]
// CPU:           %[[BOUND:.*]] = arith.minsi %[[SEEN]]
// CPU:           scf.for {{.*}} to %[[BOUND]] step
func.func @causal_ends_with_its_rows(%q: memref<1x16x16xf32>, %k: memref<1x1024x16xf32>,
                                     %v: memref<1x1024x16xf32>, %o: memref<1x16x16xf32>,
                                     %at: index) {
  %c0 = arith.constant 0 : index
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %v : memref<1x16x16xf32>, memref<1x1024x16xf32>, memref<1x1024x16xf32>)
    offsets(%c0, %at, %c0) outs(%o : memref<1x16x16xf32>) causal
  return
}
