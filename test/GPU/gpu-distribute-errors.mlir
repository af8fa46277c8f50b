// RUN: elfatt-opt %s -pass-pipeline='builtin.module(gpu.module(gpu.func(elfatt-gpu-distribute)))' -split-input-file -verify-diagnostics

gpu.module @kernels {
  gpu.func @odd_extent(%a: memref<8x7xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    // expected-error @below {{expected extents that a warp covers in steps of 8, got 8x7 [group, quad]}}
    %x = vector.transfer_read %a[%c0, %c0], %zero : memref<8x7xf32>, vector<8x7xf32>
    gpu.return
  }
}

// -----

#id = affine_map<(i, j, k) -> (i, k)>
#col = affine_map<(i, j, k) -> (j, k)>
#out = affine_map<(i, j, k) -> (i, j)>
gpu.module @kernels {
  gpu.func @few_rows(%a: memref<8x16xf16>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f16
    %acc = arith.constant dense<0.0> : vector<8x8xf32>
    %x = vector.transfer_read %a[%c0, %c0], %zero : memref<8x16xf16>, vector<8x16xf16>
    // expected-error @below {{expected rows in steps of 16 and a sum in steps of 8, got 8 and 16}}
    %z = vector.contract {indexing_maps = [#id, #col, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %x, %x, %acc : vector<8x16xf16>, vector<8x16xf16> into vector<8x8xf32>
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @three_dims(%a: memref<8x8x8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    // expected-error @below {{expected vectors of one or two dims, got 'vector<8x8x8xf32>'}}
    %x = vector.transfer_read %a[%c0, %c0, %c0], %zero : memref<8x8x8xf32>, vector<8x8x8xf32>
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @unknown_op() kernel {
    %a = arith.constant dense<1.0> : vector<8xf32>
    // expected-error @below {{cannot be spread over lanes}}
    %x = vector.reduction <add>, %a : vector<8xf32> into f32
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @different_elements() kernel {
    // expected-error @below {{expected all elements of a constant vector to be the same}}
    %x = arith.constant dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]> : vector<8xf32>
    gpu.return
  }
}

// -----

gpu.module @kernels {
  // expected-error @below {{expected no vector among the arguments, got 'vector<8xf32>'}}
  gpu.func @vector_argument(%a: vector<8xf32>) kernel {
    gpu.return
  }
}

// -----

#private = #gpu.address_space<private>
gpu.module @kernels {
  // Two warps of a block, and registers of one.
  gpu.func @registers_of_another(%a: memref<16xf32>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %x = arith.constant dense<0.0> : vector<16xf32>
    %r = memref.alloca() : memref<32xf32, #private>
    scf.forall (%w) in (2) {
      // expected-error @below {{expected each warp to access the same rows of registers, and all of its own}}
      vector.transfer_write %x, %r[%c0] {in_bounds = [true]} : vector<16xf32>, memref<32xf32, #private>
    } {mapping = [#gpu.warp<linear_dim_0>]}
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @registers_unwritten() kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %r = memref.alloca() : memref<16xf32, #gpu.address_space<private>>
    scf.forall (%w) in (1) {
      // expected-error @below {{reads registers that nothing writes}}
      %x = vector.transfer_read %r[%c0], %zero {in_bounds = [true]} : memref<16xf32, #gpu.address_space<private>>, vector<16xf32>
      %y = arith.addf %x, %x : vector<16xf32>
    } {mapping = [#gpu.warp<linear_dim_0>]}
    gpu.return
  }
}

// -----

#id = affine_map<(i, j, k) -> (i, k)>
#col = affine_map<(i, j, k) -> (j, k)>
#out = affine_map<(i, j, k) -> (i, j)>
#shared = #gpu.address_space<workgroup>
gpu.module @kernels {
  // Of two products of one right operand the second has its left one in registers.
  gpu.func @operands_apart(%c: memref<16x8xf32>) workgroup(%a: memref<16x8xf32, #shared>, %b: memref<8x8xf32, #shared>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %acc = arith.constant dense<0.0> : vector<16x8xf32>
    %x = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x8xf32, #shared>, vector<16x8xf32>
    %y = vector.transfer_read %b[%c0, %c0], %zero {in_bounds = [true, true]} : memref<8x8xf32, #shared>, vector<8x8xf32>
    // expected-error @below {{expected a right operand that all its products read in one way}}
    %p = vector.contract {indexing_maps = [#id, #col, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %x, %y, %acc : vector<16x8xf32>, vector<8x8xf32> into vector<16x8xf32>
    %r = vector.contract {indexing_maps = [#id, #col, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %p, %y, %acc : vector<16x8xf32>, vector<8x8xf32> into vector<16x8xf32>
    vector.transfer_write %r, %c[%c0, %c0] {in_bounds = [true, true]} : vector<16x8xf32>, memref<16x8xf32>
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @layouts_not_assigned(%a: memref<8x8xf32>, %o: memref<8x8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %none = arith.constant dense<0.0> : vector<8xf32>
    %x = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<8x8xf32>, vector<8x8xf32>
    %sum = vector.multi_reduction <add>, %x, %none [0] : vector<8x8xf32> to vector<8xf32>
    %column = vector.shape_cast %sum : vector<8xf32> to vector<8x1xf32>
    // expected-error @below {{expected a change of layout from 8x1 [quad, none] to 8x1 [group, none], which elfatt-gpu-assign-layouts inserts}}
    %all = vector.broadcast %column : vector<8x1xf32> to vector<8x8xf32>
    vector.transfer_write %all, %o[%c0, %c0] {in_bounds = [true, true]} : vector<8x8xf32>, memref<8x8xf32>
    gpu.return
  }
}
