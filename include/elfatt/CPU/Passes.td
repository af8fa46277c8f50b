// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_CPU_PASSES_TD
#define ELFATT_CPU_PASSES_TD

include "mlir/Pass/PassBase.td"

def ChannelsLastPass : Pass<"elfatt-cpu-channels-last"> {
  let summary = "Store attention's operands with their channels last";
  let description = [{
    Registers hold neighbouring channels. A query, key, value or result whose channel
    dim is not the last one of its storage (NCHW around a convolution) is transposed
    before or after the op, once; all other permutations, slices and constants of a
    view stay index arithmetic.

    - Preconditions: tensors.
    - Postconditions: the last dim of each such view is its channels or values.
    - Changes numerics: no.
  }];
  let statistics = [Statistic<"numMoved", "num-moved", "Number of operands transposed">];
  let dependentDialects = ["mlir::linalg::LinalgDialect", "mlir::tensor::TensorDialect"];
}

def TileTranspositionsPass : Pass<"elfatt-cpu-tile-transpositions"> {
  let summary = "Make transpositions blocks that fit registers";
  let description = [{
    What moves a large buffer so that other elements lie side by side becomes an
    `scf.forall` over blocks of as many lines as a register has lanes, which
    `elfatt-cpu-lower-staging` transposes in registers. An element at a time, each would be
    a line of the cache.

    - Preconditions: bufferized code.
    - Postconditions: no transposition of 32-bit elements of known sizes, from 4096 elements
      on, is left outside of an `scf.forall`.
    - Changes numerics: no.

    Before:
    ```mlir
    linalg.transpose ins(%x : memref<3136x256xf32>) outs(%y : memref<256x3136xf32>)
        permutation = [1, 0]
    ```
    After:
    ```mlir
    scf.forall (%block) in (196) {
      %row = affine.apply affine_map<(d0) -> (d0 * 16)>(%block)
      %from = memref.subview %x[%row, 0] [16, 256] [1, 1]
      %to = memref.subview %y[0, %row] [256, 16] [1, 1]
      linalg.transpose ins(%from) outs(%to) permutation = [1, 0]
    }
    ```
  }];
  let options = [Option<"vectorBits", "vector-bits", "int64_t", "512",
                        "Width of a vector register in bits: 128, 256 or 512">];
  let dependentDialects = ["mlir::affine::AffineDialect", "mlir::linalg::LinalgDialect",
                           "mlir::memref::MemRefDialect", "mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numTiled", "num-tiled", "Number of transpositions tiled">];
}

def LowerStagingPass : Pass<"elfatt-cpu-lower-staging"> {
  let summary = "Lower copies into and out of scratch to loops over rows";
  let description = [{
    linalg ops on buffers inside an `scf.forall` are a tile's staging. Fills, copies
    and conversions with static contiguous rows move a register at a time; matrices
    are transposed in registers, a square of lanes x lanes at a time; everything else
    becomes scalar loops.

    - Preconditions: the tile level.
    - Postconditions: no linalg op is left inside an `scf.forall`.
    - Changes numerics: no.
  }];
  let options = [Option<"vectorBits", "vector-bits", "int64_t", "512",
                        "Width of a vector register in bits: 128, 256 or 512">];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect",
                           "mlir::scf::SCFDialect", "mlir::vector::VectorDialect"];
  let statistics = [Statistic<"numLowered", "num-lowered", "Number of staging ops lowered">];
}

def LowerTilesPass : Pass<"elfatt-cpu-lower-tiles"> {
  let summary = "Lower register tiles to vector registers";
  let description = [{
    A tile `vector<RxC>` becomes R rows of registers, with a narrower register where
    C is no multiple of the lanes. Ops are expanded where a write, a product or a
    reduction asks for a piece, row after row, so that few pieces are alive at once.

    - Products: a loop over their sum, a broadcast of one element of the left
      operand times a row of the right one, accumulators in registers. Operands that
      were just read from memory are read there again, in the loop; others pass
      through scratch. Columns that would need more accumulators than there are
      registers are done in panels. Rows of the right operand that lie beyond its
      buffer are skipped. Sums of more than 128 products are made in parts.
    - Products of bf16 in pairs, `(i,k,p),(k,j,p)->(i,j)` with p < 2: the same with pairs
      for elements and `x86vector.avx512.dot`.
    - Reductions: whole registers first; then the lanes of all rows together, two
      registers joined in one step. Upstream's lowering is one scalar step per element.
    - Reads and writes: loads and stores, masked at the borders.

    - Preconditions: the tile level, of docs/TileLevel.md.
    - Postconditions: none of its ops on vectors of two dims is left, but for kinds
      that the tile level does not have.
    - Changes numerics: products are fused into their sums (one rounding); the order
      of sums, the same for every run.
  }];
  let options = [
    Option<"vectorBits", "vector-bits", "int64_t", "512",
           "Width of a vector register in bits: 128, 256 or 512">,
    Option<"vectorRegisters", "vector-registers", "int64_t", "32",
           "Number of vector registers: 16 or 32">];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect",
                           "mlir::scf::SCFDialect", "mlir::vector::VectorDialect",
                           "mlir::x86vector::X86VectorDialect"];
}

def LowerExp2Pass : Pass<"elfatt-cpu-lower-exp2"> {
  let summary = "Expand powers of two of f32 vectors to a polynomial";
  let description = [{
    `math.exp2` on vectors of f32 becomes a polynomial of degree 6 in the fraction of
    its operand, scaled by a power of two: with AVX-512 by `vreduceps` and
    `vscalefps`, elsewhere by a rounding and an addition to the exponent, where
    results below 2^-126 are 0. At most 2 ulp from the exact value.

    - Preconditions: none.
    - Postconditions: no `math.exp2` on vectors of f32 is left.
    - Changes numerics: yes, by at most 2 ulp.
  }];
  let options = [Option<"vectorBits", "vector-bits", "int64_t", "256",
                        "Width of a vector register in bits; 512 stands for AVX-512 with "
                        "its DQ extension">];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::LLVM::LLVMDialect",
                           "mlir::vector::VectorDialect"];
}

def AllocateResultsPass : Pass<"elfatt-cpu-allocate-results", "::mlir::func::FuncOp"> {
  let summary = "Allocate buffers that are returned in the shape of the result";
  let description = [{
    What a function returns is often a reshaped view of what its loops wrote. Results that become
    arguments replace an allocation, not a view of one, which would be copied. So the allocation
    takes the result's shape, and the loops write a view of it.

    - Preconditions: buffers that nobody frees yet.
    - Postconditions: no returned buffer of static shape is a reshaped view of an allocation, but
      of one that another result is.
    - Changes numerics: no.

    ```mlir
    %b = memref.alloc() : memref<2x8xf32>
    %r = memref.collapse_shape %b [[0, 1]] : memref<2x8xf32> into memref<16xf32>
    return %r : memref<16xf32>
    // becomes
    %r = memref.alloc() : memref<16xf32>
    %b = memref.expand_shape %r [[0, 1]] output_shape [2, 8] : memref<16xf32> into memref<2x8xf32>
    return %r : memref<16xf32>
    ```
  }];
  let dependentDialects = ["mlir::memref::MemRefDialect"];
}

def ExternalizeConstantsPass : Pass<"elfatt-cpu-externalize-constants", "::mlir::ModuleOp"> {
  let summary = "Take large constants out of the code and bind them by name";
  let description = [{
    Weights do not go through LLVM: a `memref.global` with a large value becomes
    a declaration, and the value is kept in the module's dictionary
    `elfatt.constants`. Whoever loads the code binds each name to the address
    of its value; nothing is copied.

    - Preconditions: bufferized constants (`memref.global`).
    - Postconditions: no `memref.global` of a byte-sized element type holds a
      value of more than `min-bytes` bytes that is not a splat.
    - Changes numerics: no.

    Before:
    ```mlir
    memref.global "private" constant @w : memref<64x64xf32> = dense_resource<w>
    ```
    After:
    ```mlir
    module attributes {elfatt.constants = {elfatt_constant_w = dense_resource<w> : tensor<64x64xf32>}} {
      memref.global @elfatt_constant_w : memref<64x64xf32>
    }
    ```
  }];
  let options = [Option<"minBytes", "min-bytes", "int64_t", /*default=*/"256",
                        "Smallest value that is taken out, in bytes (>= 0)">];
  let statistics = [Statistic<"numExternalized", "externalized", "Constants taken out">];
  let dependentDialects = ["::mlir::memref::MemRefDialect"];
}

def CopiesToLinalgPass : Pass<"elfatt-cpu-copies-to-linalg"> {
  let summary = "Turn copies of buffers into linalg";
  let description = [{
    A `memref.copy` becomes a `linalg.generic` that yields its input, to be
    tiled and vectorized as all else is. Left alone, a copy with strides is a
    call of a routine that copies element by element.

    - Preconditions: ranked memrefs.
    - Postconditions: no `memref.copy` is left.
    - Changes numerics: no.

    Before:
    ```mlir
    memref.copy %a, %b : memref<4x8xf32, strided<[16, 1]>> to memref<4x8xf32>
    ```
    After:
    ```mlir
    linalg.generic {...} ins(%a) outs(%b) { ^bb0(%in: f32, %out: f32): linalg.yield %in : f32 }
    ```
  }];
  let statistics = [Statistic<"numCopies", "copies", "Copies that became linalg ops">];
  let dependentDialects = ["::mlir::linalg::LinalgDialect"];
}

def DenseToLibraryPass : Pass<"elfatt-cpu-dense-to-library", "::mlir::ModuleOp"> {
  let summary = "Call the dense library for f32 matrix products";
  let description = [{
    A linalg op on memrefs that multiplies f32 matrices (`linalg.matmul`,
    `linalg.batch_matmul`, any generic of that meaning, with any strides) becomes
    a call of the runtime's `elfatt_sgemm`. A fill with zero just before it goes
    away. Dims of one kind that lie behind each other in every operand count
    as one dim; what is still beyond two batch dims becomes a loop.

    - Preconditions: bufferized code.
    - Postconditions: no f32 contraction with an m, an n and a k dim is left,
      but those inside parallel loops.
    - Changes numerics: the order of the sum over k.

    Before:
    ```mlir
    linalg.matmul ins(%a, %b : memref<4x8xf32>, memref<8x16xf32>) outs(%c : memref<4x16xf32>)
    ```
    After:
    ```mlir
    call @elfatt_sgemm(%c1, %c1, %c4, %c16, %c8, %pa, ..., %beta)
    ```
  }];
  let statistics = [Statistic<"numCalls", "calls", "Products that became calls">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect"];
}

def LinalgToLoopsPass : Pass<"elfatt-cpu-linalg-to-loops"> {
  let summary = "Lower linalg on buffers to parallel loops that LLVM vectorizes";
  let description = [{
    An op becomes a loop nest: outer parallel dims in one `scf.forall` where the
    op is more than `grain` of work, then loops along the parallel dims, the one
    that lies side by side in memory last, then the reductions with their state
    in registers. Sums and products over a reduction dim may be reordered.

    - Preconditions: bufferized code; products that a library makes are calls.
    - Postconditions: no linalg op on buffers is left.
    - Changes numerics: the order of sums.

    Before:
    ```mlir
    linalg.generic {...} ins(%x : memref<64x32xf32>) outs(%s : memref<64xf32>) { addf }
    ```
    After:
    ```mlir
    scf.forall (%i) in (64) {
      %init = memref.load %s[%i]
      %sum = scf.for %j = %c0 to %c32 step %c1 iter_args(%a = %init) { addf fastmath<reassoc> }
      memref.store %sum, %s[%i]
    }
    ```
  }];
  let options = [Option<"grain", "grain", "int64_t", /*default=*/"8192",
                        "Scalar iterations below which an op stays on one thread (>= 0)">];
  let statistics = [Statistic<"numLowered", "lowered", "Ops that became loops">];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect"];
}

def OutlineParallelPass : Pass<"elfatt-cpu-outline-parallel", "::mlir::ModuleOp"> {
  let summary = "Outline parallel loops into kernels that the runtime's threads run";
  let description = [{
    A top-level `scf.forall` becomes a kernel over its linearized iterations,
    `kernel(void **args, int64_t begin, int64_t end)`, and a call of
    `elfatt_parallel_for`. args[0] points to what the loop uses from outside.
    Scratch of static size lies on the kernel's stack, once. Equal kernels, as
    the layers of a model have, are one kernel.

    - Preconditions: loops on buffers.
    - Postconditions: no `scf.forall` is left but those inside kernels.
    - Changes numerics: no.

    Before:
    ```mlir
    scf.forall (%i, %j) in (8, 4) { memref.store %x, %m[%i, %j] : memref<8x4xf32> }
    ```
    After:
    ```mlir
    call @elfatt_parallel_for(%kernel, %args, %c32_i64)
    ```
  }];
  let statistics = [Statistic<"numKernels", "kernels", "Kernels made">,
                    Statistic<"numMerged", "merged", "Loops that another loop's kernel serves">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect"];
}

def TransposeWeightsPass : Pass<"elfatt-cpu-transpose-weights"> {
  let summary = "Transpose constant matrices when the model is compiled";
  let description = [{
    PyTorch keeps the weight W of a linear layer as outputs x inputs and
    multiplies by its transpose. A `linalg.transpose` of such a constant is done
    here, once: the dense library is faster on rows (docs/Rationale.md).

    - Preconditions: tensors; the constant is a `dense_resource` of 16 or 32 bit
      elements.
    - Postconditions: no transpose of such a constant is left.
    - Changes numerics: no.
  }];
  let statistics = [Statistic<"numTransposed", "transposed", "Constants transposed">];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}

def ConvolutionToProductPass : Pass<"elfatt-cpu-convolution-to-product"> {
  let summary = "Make f32 convolutions products of gathered patches";
  let description = [{
    `linalg.conv_2d_nchw_fchw` and `linalg.conv_2d_nhwc_hwcf` become a gather of
    the patches that the filter meets (im2col) and a matrix product, which the
    dense library makes. A patch embedding is such a convolution.

    - Preconditions: tensors, of any shape.
    - Postconditions: none of these convolutions on f32 tensors is left.
    - Changes numerics: the order of sums.
  }];
  let statistics = [Statistic<"numRewritten", "rewritten", "Convolutions rewritten">];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

def FusePass : Pass<"elfatt-cpu-fuse"> {
  let summary = "Fuse elementwise ops and data movement around products and reductions";
  let description = [{
    Elementwise ops fuse into the elementwise ops and reductions that use them.
    What moves whole dims, such as a transpose, fuses into products as well: it becomes
    strides of the operand. Patches of a convolution are gathered before its product.

    - Preconditions: linalg on tensors.
    - Postconditions: products are still products.
    - Changes numerics: no.
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

def ExpandMathPass : Pass<"elfatt-cpu-expand-math"> {
  let summary = "Expand f32 functions to polynomials that vectorize";
  let description = [{
    exp, expm1, log, log1p, erf and tanh of f32 become upstream's polynomial
    approximations, so that no loop over a large tensor calls the C library for
    each element. With `converts-bf16` conversions of f32 to bf16 and back are
    integer ops: without an instruction for them, LLVM rounds an element at a time, and
    what it does to numbers that were bf16 it does to elements of bf16.

    - Preconditions: none.
    - Postconditions: none of these on f32 is left.
    - Changes numerics: yes, by a few units in the last place; conversions do not.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::vector::VectorDialect"];
  let options = [Option<"convertsBF16", "converts-bf16", "bool", "false",
                        "convert f32 to bf16 and back by integer ops">];
}

def LowerAssertionsPass : Pass<"elfatt-cpu-lower-assertions", "::mlir::ModuleOp"> {
  let summary = "Report failed assertions through the runtime";
  let description = [{
    A `cf.assert`, as gathers have for their indices, calls the runtime's
    `elfatt_fail` with its message when it does not hold, so that a tool can end
    with an error. Upstream's lowering aborts the process.

    - Preconditions: none.
    - Postconditions: no `cf.assert` is left.
    - Changes numerics: no.

    Before:
    ```mlir
    cf.assert %inside, "index out of range"
    ```
    After:
    ```mlir
    scf.if %inside {
    } else {
      %message = llvm.mlir.addressof @elfatt_message : !llvm.ptr
      call @elfatt_fail(%message) : (!llvm.ptr) -> ()
    }
    ```
  }];
  let statistics = [Statistic<"numLowered", "lowered", "Assertions lowered">];
  let dependentDialects = ["::mlir::func::FuncDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::scf::SCFDialect"];
}

def LowerToLLVMPass : Pass<"elfatt-cpu-lower-to-llvm", "::mlir::ModuleOp"> {
  let summary = "Convert vectors, memory, arithmetic and functions to the LLVM dialect at once";
  let description = [{
    What upstream's conversions of `vector`, `x86vector`, `memref`, `arith`, `index`,
    `ub`, `func` and `cf` do one after another, in one conversion. Buffers come from the
    functions that upstream names for an allocator (`_mlir_memref_to_llvm_aligned_alloc`).

    - Preconditions: no structured control flow; a vector that moves has one dim.
    - Postconditions: of these dialects no op is left.
    - Changes numerics: no.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::vector::VectorDialect",
                           "::mlir::x86vector::X86VectorDialect"];
}

#endif // ELFATT_CPU_PASSES_TD
