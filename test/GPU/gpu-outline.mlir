// RUN: elfatt-opt %s --elfatt-gpu-outline | FileCheck %s

// A dynamic bound sets the grid; what is static stays out of the arguments.
// CHECK-LABEL: func.func @dynamic_bound
// CHECK-SAME: %[[N:.*]]: index
// CHECK: %[[GRID:.*]] = arith.muli
// CHECK: gpu.launch_func @kernels::@dynamic_bound_0 blocks in (%[[GRID]], %{{.*}}) threads in (%{{.*}}) args({{.*}} : memref<4x32xf32>, %{{.*}} : f32)
// CHECK-NOT: scf.forall
func.func @dynamic_bound(%a: memref<4x32xf32>, %n: index, %x: f32) {
  scf.forall (%i, %j) in (%n, 4) {
    memref.store %x, %a[%j, %i] : memref<4x32xf32>
  }
  return
}

// Dynamic sizes, strides and offsets follow their pointer; static ones do not.
// CHECK-LABEL: func.func @dynamic_layout
// CHECK: memref.extract_strided_metadata
// CHECK: gpu.launch_func {{.*}} args(%{{.*}} : memref<f16>, %{{.*}} : index, %{{.*}} : index, %{{.*}} : index)
func.func @dynamic_layout(%a: memref<?x8xf16, strided<[?, 1], offset: ?>>) {
  %zero = arith.constant 0.0 : f16
  scf.forall (%i) in (4) {
    memref.store %zero, %a[%i, %i] : memref<?x8xf16, strided<[?, 1], offset: ?>>
  }
  return
}

// Scratch is the block's; a loop inside the worker's stays.
func.func @scratch(%a: memref<4x32xf32>) {
  scf.forall (%i) = (1) to (4) step (2) {
    %s = memref.alloca() : memref<32xf32, #gpu.address_space<workgroup>>
    %row = memref.subview %a[%i, 0] [1, 32] [1, 1] : memref<4x32xf32> to memref<32xf32, strided<[1], offset: ?>>
    linalg.copy ins(%row : memref<32xf32, strided<[1], offset: ?>>) outs(%s : memref<32xf32, #gpu.address_space<workgroup>>)
  }
  return
}

// So is scratch inside of a loop, where an alloca would be each lane's own.
func.func @scratch_in_a_loop(%a: memref<4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  scf.forall (%i) in (4) {
    scf.for %j = %c0 to %c4 step %c1 {
      %s = memref.alloca() : memref<4xf32, #gpu.address_space<workgroup>>
      %x = memref.load %a[%i] : memref<4xf32>
      memref.store %x, %s[%j] : memref<4xf32, #gpu.address_space<workgroup>>
    }
  }
  return
}

// Scratch that is never in use together shares its bytes: of two cases of a switch, and
// of one that is over when the other begins. What a loop uses lasts as long as the loop.
func.func @scratch_at_different_times(%a: memref<4xf32>, %part: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  scf.forall (%i) in (4) {
    scf.index_switch %part
    case 0 {
      %s = memref.alloca() : memref<64xf32, #gpu.address_space<workgroup>>
      %x = memref.load %a[%i] : memref<4xf32>
      memref.store %x, %s[%i] : memref<64xf32, #gpu.address_space<workgroup>>
      %t = memref.alloca() : memref<32xf32, #gpu.address_space<workgroup>>
      memref.store %x, %t[%i] : memref<32xf32, #gpu.address_space<workgroup>>
      scf.yield
    }
    default {
      %s = memref.alloca() : memref<8xf32, #gpu.address_space<workgroup>>
      %t = memref.alloca() : memref<16xf32, #gpu.address_space<workgroup>>
      scf.for %j = %c0 to %c4 step %c1 {
        %x = memref.load %s[%j] : memref<8xf32, #gpu.address_space<workgroup>>
        memref.store %x, %t[%j] : memref<16xf32, #gpu.address_space<workgroup>>
      }
    }
  }
  return
}

// What is in use with all others lies behind them, not behind the largest, where it would
// split the room of the later two.
func.func @scratch_that_stays(%a: memref<4xf32>) {
  scf.forall (%i) in (4) {
    %early = memref.alloca() : memref<100xf32, #gpu.address_space<workgroup>>
    %stays = memref.alloca() : memref<50xf32, #gpu.address_space<workgroup>>
    %late = memref.alloca() : memref<80xf32, #gpu.address_space<workgroup>>
    %later = memref.alloca() : memref<30xf32, #gpu.address_space<workgroup>>
    %x = memref.load %a[%i] : memref<4xf32>
    memref.store %x, %early[%i] : memref<100xf32, #gpu.address_space<workgroup>>
    memref.store %x, %stays[%i] : memref<50xf32, #gpu.address_space<workgroup>>
    memref.store %x, %early[%i] : memref<100xf32, #gpu.address_space<workgroup>>
    memref.store %x, %late[%i] : memref<80xf32, #gpu.address_space<workgroup>>
    memref.store %x, %later[%i] : memref<30xf32, #gpu.address_space<workgroup>>
    memref.store %x, %late[%i] : memref<80xf32, #gpu.address_space<workgroup>>
    memref.store %x, %stays[%i] : memref<50xf32, #gpu.address_space<workgroup>>
  }
  return
}

// What two that are in use with all others leave is the room of one and then of two others that
// are larger together: first those two, then what takes turns.
func.func @scratch_of_turns(%a: memref<4xf32>) {
  scf.forall (%i) in (4) {
    %one = memref.alloca() : memref<100xf32, #gpu.address_space<workgroup>>
    %stays = memref.alloca() : memref<60xf32, #gpu.address_space<workgroup>>
    %stays2 = memref.alloca() : memref<50xf32, #gpu.address_space<workgroup>>
    %two = memref.alloca() : memref<80xf32, #gpu.address_space<workgroup>>
    %three = memref.alloca() : memref<40xf32, #gpu.address_space<workgroup>>
    %x = memref.load %a[%i] : memref<4xf32>
    memref.store %x, %one[%i] : memref<100xf32, #gpu.address_space<workgroup>>
    memref.store %x, %stays[%i] : memref<60xf32, #gpu.address_space<workgroup>>
    memref.store %x, %stays2[%i] : memref<50xf32, #gpu.address_space<workgroup>>
    memref.store %x, %one[%i] : memref<100xf32, #gpu.address_space<workgroup>>
    memref.store %x, %two[%i] : memref<80xf32, #gpu.address_space<workgroup>>
    memref.store %x, %three[%i] : memref<40xf32, #gpu.address_space<workgroup>>
    memref.store %x, %two[%i] : memref<80xf32, #gpu.address_space<workgroup>>
    memref.store %x, %stays[%i] : memref<60xf32, #gpu.address_space<workgroup>>
    memref.store %x, %stays2[%i] : memref<50xf32, #gpu.address_space<workgroup>>
  }
  return
}

// What is viewed early and used late shares the bytes of what is used in between.
func.func @scratch_viewed_early(%a: memref<4xf32>) {
  scf.forall (%i) in (4) {
    %late = memref.alloca() : memref<100xf32, #gpu.address_space<workgroup>>
    %view = memref.subview %late[0] [50] [1] : memref<100xf32, #gpu.address_space<workgroup>> to memref<50xf32, strided<[1]>, #gpu.address_space<workgroup>>
    %early = memref.alloca() : memref<100xf32, #gpu.address_space<workgroup>>
    %x = memref.load %a[%i] : memref<4xf32>
    memref.store %x, %early[%i] : memref<100xf32, #gpu.address_space<workgroup>>
    memref.store %x, %view[%i] : memref<50xf32, strided<[1]>, #gpu.address_space<workgroup>>
  }
  return
}

// More than 48 KiB is dynamic: one array, a view a buffer, its size at the launch.
// CHECK-LABEL: func.func @much_scratch
// CHECK: %[[BYTES:.*]] = arith.constant 65600 : i32
// CHECK: gpu.launch_func @kernels::@much_scratch_0 {{.*}} dynamic_shared_memory_size %[[BYTES]]
func.func @much_scratch(%a: memref<16xf32>) {
  scf.forall (%i) in (4) {
    %s = memref.alloca() : memref<16xf32, #gpu.address_space<workgroup>>
    %t = memref.alloca() : memref<128x128xf32, #gpu.address_space<workgroup>>
    %x = memref.load %a[%i] : memref<16xf32>
    memref.store %x, %s[%i] : memref<16xf32, #gpu.address_space<workgroup>>
    memref.store %x, %t[%i, %i] : memref<128x128xf32, #gpu.address_space<workgroup>>
    memref.store %x, %s[%i] : memref<16xf32, #gpu.address_space<workgroup>>
  }
  return
}

// CHECK: gpu.func @dynamic_bound_0
// CHECK-NOT: remui {{.*}}%arg
// CHECK: gpu.func @dynamic_layout_0(%[[BASE:.*]]: memref<f16>, %[[OFFSET:.*]]: index, %[[SIZE:.*]]: index, %[[STRIDE:.*]]: index)
// CHECK: memref.reinterpret_cast %[[BASE]] to offset: [%[[OFFSET]]], sizes: [%[[SIZE]], 8], strides: [%[[STRIDE]], 1]
// CHECK: gpu.func @scratch_0({{.*}}) workgroup(%{{.*}} : memref<32xf32, #gpu.address_space<workgroup>> {llvm.align = 16 : i64}) kernel
// CHECK: %[[BLOCK:.*]] = gpu.block_id x
// CHECK: %[[SCALED:.*]] = arith.muli %[[BLOCK]]
// CHECK: arith.addi %[[SCALED]]
// CHECK: gpu.func @scratch_in_a_loop_0({{.*}}) workgroup(%[[S:.*]] : memref<4xf32, #gpu.address_space<workgroup>> {{.*}}) kernel
// CHECK-NOT: memref.alloca
// CHECK: scf.for %[[J:.*]] =
// CHECK: memref.store %{{.*}}, %[[S]][%[[J]]]
// CHECK-NOT: memref.alloca
// CHECK: gpu.func @scratch_at_different_times_0({{.*}}) workgroup(%[[ARRAY:.*]] : memref<256xi8, #gpu.address_space<workgroup>> {{.*}}) kernel
// CHECK: %[[C64:.*]] = arith.constant 64 : index
// CHECK-NEXT: memref.view %[[ARRAY]][%[[C64]]][] : {{.*}} to memref<8xf32
// CHECK-NEXT: %[[C0:.*]] = arith.constant 0 : index
// CHECK-NEXT: memref.view %[[ARRAY]][%[[C0]]][] : {{.*}} to memref<16xf32
// CHECK-NEXT: %[[C0:.*]] = arith.constant 0 : index
// CHECK-NEXT: memref.view %[[ARRAY]][%[[C0]]][] : {{.*}} to memref<64xf32
// CHECK-NEXT: %[[C0:.*]] = arith.constant 0 : index
// CHECK-NEXT: memref.view %[[ARRAY]][%[[C0]]][] : {{.*}} to memref<32xf32
// CHECK-NOT: memref.alloca
// CHECK: gpu.func @scratch_that_stays_0({{.*}}) workgroup(%[[ARRAY:.*]] : memref<656xi8, #gpu.address_space<workgroup>> {{.*}}) kernel
// CHECK: %[[C448:.*]] = arith.constant 448 : index
// CHECK-NEXT: memref.view %[[ARRAY]][%[[C448]]][] : {{.*}} to memref<50xf32
// CHECK: gpu.func @scratch_of_turns_0({{.*}}) workgroup(%{{.*}} : memref<928xi8, #gpu.address_space<workgroup>> {{.*}}) kernel
// CHECK: gpu.func @scratch_viewed_early_0({{.*}}) workgroup(%{{.*}} : memref<400xi8, #gpu.address_space<workgroup>> {{.*}}) kernel
// CHECK: gpu.func @much_scratch_0(%{{[^)]*}}) kernel
// CHECK: %[[ALL:.*]] = gpu.dynamic_shared_memory : memref<?xi8, #gpu.address_space<workgroup>>
// CHECK: %[[OFFSET:.*]] = arith.constant 65536 : index
// CHECK: memref.view %[[ALL]][%[[OFFSET]]][] : {{.*}} to memref<16xf32, #gpu.address_space<workgroup>>
// CHECK: memref.view %[[ALL]][%{{.*}}][] : {{.*}} to memref<128x128xf32, #gpu.address_space<workgroup>>
