// RUN: elfatt-opt %s --elfatt-tile-hoist-staging --split-input-file | FileCheck %s

#shared = #gpu.address_space<workgroup>

// What each turn of a worker's loop stages alike it stages once, padding and all; its rows it
// stages anew.
// CHECK-LABEL: func.func @keys_of_all_turns
// CHECK:       scf.forall
// CHECK:         %[[KEYS:.*]] = memref.alloca() : memref<24x8xf16
// CHECK:         linalg.fill {{.*}} outs(%[[REST:.*]] :
// CHECK:         linalg.copy ins(%{{.*}} : memref<20x8xf16>)
// CHECK:         scf.for
// CHECK-NOT:       linalg.fill
// CHECK:           linalg.copy ins(%{{.*}} : memref<16x8xf16, strided<[8, 1], offset: ?>>)
// CHECK-NOT:       linalg.copy
// CHECK:           memref.load %[[KEYS]]
func.func @keys_of_all_turns(%q: memref<64x8xf16>, %k: memref<20x8xf16>, %o: memref<64x8xf16>) {
  %c0 = arith.constant 0 : index
  %c16 = arith.constant 16 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant 0.0 : f16
  scf.forall (%b) in (1) {
    scf.for %i = %c0 to %c64 step %c16 {
      %rows = memref.subview %q[%i, 0] [16, 8] [1, 1] : memref<64x8xf16> to memref<16x8xf16, strided<[8, 1], offset: ?>>
      %query = memref.alloca() : memref<16x8xf16, #shared>
      linalg.copy ins(%rows : memref<16x8xf16, strided<[8, 1], offset: ?>>) outs(%query : memref<16x8xf16, #shared>)
      %keys = memref.alloca() : memref<24x8xf16, #shared>
      %rest = memref.subview %keys[20, 0] [4, 8] [1, 1] : memref<24x8xf16, #shared> to memref<4x8xf16, strided<[8, 1], offset: 160>, #shared>
      linalg.fill ins(%zero : f16) outs(%rest : memref<4x8xf16, strided<[8, 1], offset: 160>, #shared>)
      %valid = memref.subview %keys[0, 0] [20, 8] [1, 1] : memref<24x8xf16, #shared> to memref<20x8xf16, strided<[8, 1]>, #shared>
      linalg.copy ins(%k : memref<20x8xf16>) outs(%valid : memref<20x8xf16, strided<[8, 1]>, #shared>)
      %x = memref.load %keys[%c0, %c0] : memref<24x8xf16, #shared>
      %y = memref.load %query[%c0, %c0] : memref<16x8xf16, #shared>
      %sum = arith.addf %x, %y : f16
      memref.store %sum, %o[%i, %c0] : memref<64x8xf16>
    }
  } {mapping = [#gpu.block<linear_dim_0>]}
  return
}

// -----

#shared = #gpu.address_space<workgroup>

// Scratch that somebody else writes too, or reads before it is filled, and what the loop writes
// itself, is staged in each turn.
// CHECK-LABEL: func.func @changes_from_turn_to_turn
// CHECK:       scf.for
// CHECK:         memref.load
// CHECK:         linalg.copy
// CHECK:         linalg.copy
// CHECK:         memref.store
// CHECK:         linalg.copy
func.func @changes_from_turn_to_turn(%k: memref<8xf16>, %o: memref<8xf16>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  scf.forall (%b) in (1) {
    %early = memref.alloca() : memref<8xf16, #shared>
    scf.for %i = %c0 to %c8 step %c1 {
      %before = memref.load %early[%i] : memref<8xf16, #shared>
      linalg.copy ins(%k : memref<8xf16>) outs(%early : memref<8xf16, #shared>)
      %both = memref.alloca() : memref<8xf16, #shared>
      linalg.copy ins(%k : memref<8xf16>) outs(%both : memref<8xf16, #shared>)
      memref.store %before, %both[%i] : memref<8xf16, #shared>
      %own = memref.alloca() : memref<8xf16, #shared>
      linalg.copy ins(%o : memref<8xf16>) outs(%own : memref<8xf16, #shared>)
      %x = memref.load %own[%i] : memref<8xf16, #shared>
      %y = memref.load %both[%i] : memref<8xf16, #shared>
      %sum = arith.addf %x, %y : f16
      memref.store %sum, %o[%i] : memref<8xf16>
    }
  } {mapping = [#gpu.block<linear_dim_0>]}
  return
}
