// RUN: elfatt-opt %s --elfatt-tile-merge-launches --split-input-file | FileCheck %s

// Two loops that write different buffers are one; that of few iterations comes first.
// CHECK-LABEL: func.func @two_parts
// CHECK: %[[CONTEXT:.*]] = memref.alloc
// CHECK: scf.forall (%[[I:.*]]) in (34)
// CHECK: %[[BEHIND:.*]] = arith.cmpi uge, %[[I]], %c2
// CHECK: %[[PART:.*]] = arith.index_castui %[[BEHIND]] : i1 to index
// CHECK: scf.index_switch %[[PART]]
// CHECK: case 0 {
// CHECK-NEXT: memref.store %{{.*}}, %[[CONTEXT]][%[[I]]]
// CHECK: default {
// CHECK: %[[OWN:.*]] = arith.subi %[[I]], %c2
// CHECK: %[[W:.*]] = arith.remui %[[OWN]], %c16
// CHECK: %[[B:.*]] = arith.divui %[[OWN]], %c16
// CHECK: memref.store %{{.*}}, %{{.*}}[%[[B]], %[[W]]]
// CHECK-NOT: scf.forall
func.func @two_parts(%a: memref<2x16xf32>, %x: f32) -> memref<2xf32> {
  scf.forall (%b, %w) in (2, 16) {
    memref.store %x, %a[%b, %w] : memref<2x16xf32>
  }
  %context = memref.alloc() : memref<2xf32>
  scf.forall (%b) in (2) {
    memref.store %x, %context[%b] : memref<2xf32>
  }
  return %context : memref<2xf32>
}

// -----

// What reads the other's result waits for it, and what waits for that too.
// CHECK-LABEL: func.func @chain
// CHECK-COUNT-3: scf.forall
// CHECK-NOT: scf.index_switch
func.func @chain(%a: memref<4xf32>, %b: memref<4xf32>, %x: f32) {
  scf.forall (%i) in (4) {
    memref.store %x, %a[%i] : memref<4xf32>
  }
  scf.forall (%i) in (4) {
    %y = memref.load %a[%i] : memref<4xf32>
    memref.store %y, %b[%i] : memref<4xf32>
  }
  scf.forall (%i) in (4) {
    %y = memref.load %b[%i] : memref<4xf32>
    memref.store %y, %a[%i] : memref<4xf32>
  }
  return
}

// -----

// One may pass over a loop that it does not depend on.
// CHECK-LABEL: func.func @past_another
// CHECK: scf.forall ({{.*}}) in (12)
// CHECK: scf.index_switch
// CHECK: scf.forall ({{.*}}) in (4)
// CHECK-NOT: scf.forall
func.func @past_another(%a: memref<4xf32>, %b: memref<4xf32>, %c: memref<8xf32>, %x: f32) {
  scf.forall (%i) in (4) {
    memref.store %x, %a[%i] : memref<4xf32>
  }
  scf.forall (%i) in (4) {
    %y = memref.load %a[%i] : memref<4xf32>
    memref.store %y, %b[%i] : memref<4xf32>
  }
  scf.forall (%i) in (8) {
    memref.store %x, %c[%i] : memref<8xf32>
  }
  return
}

// -----

// Heads of a row of channels: 0 to 31 and 32 to 63 of each 64, through views of other shapes.
// CHECK-LABEL: func.func @heads
// CHECK: scf.forall ({{.*}}) in (36)
// CHECK-NOT: scf.forall
func.func @heads(%out: memref<4x64xf32>, %x: f32) {
  %c0 = arith.constant 0 : index
  %windows = memref.expand_shape %out [[0, 1], [2, 3]] output_shape [2, 2, 2, 32] : memref<4x64xf32> into memref<2x2x2x32xf32>
  %local = memref.subview %windows[0, 0, 1, 0] [2, 2, 1, 32] [1, 1, 1, 1] : memref<2x2x2x32xf32> to memref<2x2x1x32xf32, strided<[128, 64, 32, 1], offset: 32>>
  %global = memref.subview %out[0, 0] [4, 32] [1, 1] : memref<4x64xf32> to memref<4x32xf32, strided<[64, 1]>>
  scf.forall (%i) in (4) {
    memref.store %x, %global[%i, %c0] : memref<4x32xf32, strided<[64, 1]>>
  }
  scf.forall (%i, %j) in (2, 16) {
    memref.store %x, %local[%i, %c0, %c0, %j] : memref<2x2x1x32xf32, strided<[128, 64, 32, 1], offset: 32>>
  }
  return
}

// -----

// CHECK-LABEL: func.func @heads_that_overlap
// CHECK-COUNT-2: scf.forall
// CHECK-NOT: scf.index_switch
func.func @heads_that_overlap(%out: memref<4x64xf32>, %x: f32) {
  %c0 = arith.constant 0 : index
  %local = memref.subview %out[0, 31] [4, 32] [1, 1] : memref<4x64xf32> to memref<4x32xf32, strided<[64, 1], offset: 31>>
  %global = memref.subview %out[0, 0] [4, 32] [1, 1] : memref<4x64xf32> to memref<4x32xf32, strided<[64, 1]>>
  scf.forall (%i) in (4) {
    memref.store %x, %global[%i, %c0] : memref<4x32xf32, strided<[64, 1]>>
  }
  scf.forall (%i) in (4) {
    memref.store %x, %local[%i, %c0] : memref<4x32xf32, strided<[64, 1], offset: 31>>
  }
  return
}

// -----

// Tokens of a batch of unknown size: 0 to 3 and 4 to 9 of each 10.
// CHECK-LABEL: func.func @tokens
// CHECK-SAME: %[[N:[^:]*]]: index
// CHECK: %[[FOUR:.*]] = arith.muli %[[N]], %c4
// CHECK: %[[SIX:.*]] = arith.muli %[[N]], %c6
// CHECK: %[[ALL:.*]] = arith.addi %[[FOUR]], %[[SIX]]
// CHECK: scf.forall ({{.*}}) in (%[[ALL]])
// CHECK-NOT: scf.forall
func.func @tokens(%out: memref<?x10xf32>, %n: index, %x: f32) {
  %prefix = memref.subview %out[0, 0] [%n, 4] [1, 1] : memref<?x10xf32> to memref<?x4xf32, strided<[10, 1]>>
  %grid = memref.subview %out[0, 4] [%n, 6] [1, 1] : memref<?x10xf32> to memref<?x6xf32, strided<[10, 1], offset: 4>>
  scf.forall (%b, %i) in (%n, 4) {
    memref.store %x, %prefix[%b, %i] : memref<?x4xf32, strided<[10, 1]>>
  }
  scf.forall (%b, %i) in (%n, 6) {
    memref.store %x, %grid[%b, %i] : memref<?x6xf32, strided<[10, 1], offset: 4>>
  }
  return
}

// -----

// Lower bounds and steps.
// CHECK-LABEL: func.func @steps
// CHECK: scf.forall (%[[I:.*]]) in (7)
// CHECK: case 0
// CHECK: %[[SCALED:.*]] = arith.muli %[[I]], %c4
// CHECK: %[[AT:.*]] = arith.addi %[[SCALED]], %c1
// CHECK: memref.store %{{.*}}, %{{.*}}[%[[AT]]]
func.func @steps(%a: memref<16xf32>, %b: memref<4xf32>, %x: f32) {
  scf.forall (%i) = (1) to (10) step (4) {
    memref.store %x, %a[%i] : memref<16xf32>
  }
  scf.forall (%i) in (4) {
    memref.store %x, %b[%i] : memref<4xf32>
  }
  return
}

// -----

func.func private @anything()

// Nothing moves past what may do anything, or past the end of a buffer's life.
// CHECK-LABEL: func.func @unknown_between
// CHECK: scf.forall
// CHECK: call @anything
// CHECK: scf.forall
// CHECK: memref.dealloc
// CHECK: scf.forall
func.func @unknown_between(%a: memref<4xf32>, %x: f32) {
  %b = memref.alloc() : memref<4xf32>
  scf.forall (%i) in (4) {
    memref.store %x, %a[%i] : memref<4xf32>
  }
  call @anything() : () -> ()
  scf.forall (%i) in (4) {
    memref.store %x, %b[%i] : memref<4xf32>
  }
  %c0 = arith.constant 0 : index
  %y = memref.load %b[%c0] : memref<4xf32>
  memref.dealloc %b : memref<4xf32>
  scf.forall (%i) in (4) {
    memref.store %y, %a[%i] : memref<4xf32>
  }
  return
}

// -----

// A launch on blocks and a loop of the host stay apart.
// CHECK-LABEL: func.func @mapped_and_not
// CHECK-COUNT-2: scf.forall
// CHECK-NOT: scf.index_switch
func.func @mapped_and_not(%a: memref<4xf32>, %b: memref<4xf32>, %x: f32) {
  scf.forall (%i) in (4) {
    memref.store %x, %a[%i] : memref<4xf32>
  } {mapping = [#gpu.block<linear_dim_0>]}
  scf.forall (%i) in (4) {
    memref.store %x, %b[%i] : memref<4xf32>
  }
  return
}

// -----

// A block of five warps has no registers for the second loop; one of four has.
// CHECK-LABEL: func.func @registers_of_few_warps
// CHECK: scf.forall ({{.*}}) in (12)
// CHECK: scf.index_switch
// CHECK: scf.forall ({{.*}}) in (5)
// CHECK-NOT: scf.index_switch
func.func @registers_of_few_warps(%a: memref<4xf32>, %b: memref<8xf32>, %c: memref<4x5xf32>,
                                  %x: f32) {
  scf.forall (%i) in (4) {
    scf.forall (%w) in (4) {
      memref.store %x, %a[%i] : memref<4xf32>
    } {mapping = [#gpu.warp<linear_dim_0>]}
  } {mapping = [#gpu.block<linear_dim_0>]}
  scf.forall (%i) in (8) {
    memref.store %x, %b[%i] : memref<8xf32>
  } {elfatt.most_warps = 4 : i64, mapping = [#gpu.block<linear_dim_0>]}
  scf.forall (%i) in (4) {
    scf.forall (%w) in (5) {
      memref.store %x, %c[%i, %w] : memref<4x5xf32>
    } {mapping = [#gpu.warp<linear_dim_0>]}
  } {mapping = [#gpu.block<linear_dim_0>]}
  return
}
