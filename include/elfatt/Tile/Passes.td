// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_TILE_PASSES_TD
#define ELFATT_TILE_PASSES_TD

include "mlir/Pass/PassBase.td"

class ElfattTilePass<string name> : Pass<name> {
  list<Option> machineOption = [
    Option<"machine", "machine", "::elfatt::tile::Machine",
           "::elfatt::tile::Machine::CPU", "Machine that the tiles are for: cpu or gpu",
           [{::llvm::cl::values(
             clEnumValN(::elfatt::tile::Machine::CPU, "cpu", "host vectors, one thread a worker"),
             clEnumValN(::elfatt::tile::Machine::GPU, "gpu", "one block of warps a worker"))}]>
  ];
  // A machine's limits, and what a user asked for instead of tiles that are chosen:
  // `MachineLimits` as options, which lib/Tile/TilingPass.h reads.
  list<Option> limitOptions = machineOption # [
    Option<"vectorBits", "vector-bits", "int64_t", "512",
           "Width of a CPU vector register in bits: 128, 256 or 512">,
    Option<"vectorRegisters", "vector-registers", "int64_t", "32",
           "Number of CPU vector registers: 16 or 32">,
    Option<"sharedBytes", "shared-bytes", "int64_t", "49152",
           "Shared memory that a GPU block should keep to, in bytes">,
    Option<"processors", "processors", "int64_t", "16",
           "Multiprocessors of the GPU: as many (batch, head) pairs make a context in the kernel "
           "that applies it">,
    Option<"tensorF16", "tensor-f16", "bool", "false",
           "The GPU's tensor cores multiply tiles of f16">,
    Option<"tensorBF16", "tensor-bf16", "bool", "false",
           "The GPU's tensor cores multiply tiles of bf16">,
    Option<"quadPairsF16", "quad-pairs-f16", "bool", "false",
           "The GPU's quad pairs multiply f16 (sm_72)">,
    Option<"blockRegisters", "block-registers", "int64_t", "65536",
           "Registers of 32 bits that the threads of a GPU block share">,
    Option<"rowsPerBlock", "rows-per-block", "int64_t", "0",
           "Query rows of a GPU block, a multiple of 16; 0: chosen">,
    Option<"warpsPerBlock", "warps-per-block", "int64_t", "0",
           "Warps that share a block's rows, 1 to 32; 0: chosen">,
    Option<"keysPerStep", "keys-per-step", "int64_t", "0",
           "Keys that a GPU block takes at once, a multiple of 8; 0: chosen">,
    Option<"contextTokens", "context-tokens", "int64_t", "0",
           "Tokens that a warp adds to a context at once, a multiple of 16; 0: chosen">,
    Option<"contextWarps", "context-warps", "int64_t", "0",
           "Warps that share the tokens of some of a context's channels, 1 to 32; 0: chosen">,
    Option<"headsPerBlock", "heads-per-block", "int64_t", "0",
           "Heads beside each other in memory that a GPU block takes, 1 to 8; 0: chosen">
  ];
}

def TileDecomposePass : Pass<"elfatt-tile-decompose"> {
  let summary = "Decompose aggregated attention ops into parts that tile";
  let description = [{
    Turns `attention.elfatt` and `attention.linear` into `attention.context`,
    `attention.apply`, `attention.sdpa` with windows as batch dims,
    `attention.lepe`, `attention.online` and `attention.finalize`, which write
    disjoint slices of one destination.

    - Preconditions: ops on tensors.
    - Postconditions: no `attention.elfatt` or `attention.linear` is left.
    - Changes numerics: no.
  }];
  let dependentDialects = [
    "mlir::affine::AffineDialect", "mlir::arith::ArithDialect", "mlir::linalg::LinalgDialect",
    "mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numDecomposed", "num-decomposed", "Number of attention ops decomposed">];
}

def TileMergeKeysPass : Pass<"elfatt-tile-merge-keys"> {
  let summary = "Merge key dims that no block of keys holds with the ones before them";
  let description = [{
    Blocks of keys are lines of static size, cut along the outermost key dim; a context has
    tokens of one dim. Where an inner key dim of `attention.sdpa` is of unknown size (the
    width of an image, say), or one of `attention.linear` of any, and stands right behind
    another in every operand, both become one by `tensor.collapse_shape`.

    - Preconditions: ops on tensors.
    - Postconditions: none; dims that do not stand together stay.
    - Changes numerics: no.
  }];
  let dependentDialects = ["mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numMerged", "num-merged", "Number of dims that joined another">];
}

def TileSinkElementwisePass : ElfattTilePass<"elfatt-tile-sink-elementwise"> {
  let summary = "Compute elementwise ops that follow attention where its parts make their rows";
  let description = [{
    An elementwise op (a residual or bias that is added, an activation, a scale, a
    conversion) that alone reads what attention makes, through reshapes and the
    slices that parts write, becomes one `linalg.generic` a part, on that part's
    slice and in place, so that it joins the part's loop. Its other operands are
    seen through the same reshapes and slices. Elementwise ops that only it reads
    are computed in it.

    - Preconditions: `elfatt-tile-decompose` ran; ops on tensors.
    - Postconditions: none. What stays outside is counted, and with `explain`
      said in a remark.
    - Changes numerics: no. A conversion alone becomes the part's own rounding.
  }];
  let options = machineOption # [
    Option<"explain", "explain", "bool", "false",
           "Say in a remark why an op stays outside of attention's loop">];
  let dependentDialects = [
    "mlir::affine::AffineDialect", "mlir::arith::ArithDialect", "mlir::linalg::LinalgDialect",
    "mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numSunk", "num-sunk", "Number of elementwise ops moved to the parts">,
    Statistic<"numLeft", "num-left", "Number of elementwise ops after attention left outside">];
}

def TileSplitContextPass : ElfattTilePass<"elfatt-tile-split-context"> {
  let summary = "Sum a context of many tokens and few heads in segments";
  let description = [{
    `attention.context` is one worker a head and image. Where these are few and
    tokens are many, it becomes `attention.partial_context` of segments of the
    tokens, as a batch dim, and `attention.merge`. What is split, and how, depends on
    extents alone, on the GPU on its multiprocessors too.

    - Preconditions: `elfatt-tile-decompose` ran; ops on tensors.
    - Postconditions: none.
    - Changes numerics: sums are reordered.
  }];
  let options = limitOptions;
  let dependentDialects = ["mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numSplit", "num-split", "Number of contexts split">];
}

def TileToForallPass : ElfattTilePass<"elfatt-tile-to-forall"> {
  let summary = "Tile attention parts to one scf.forall a part, neighbours fused";
  let description = [{
    Every chain of parts that write one destination (softmax or apply, then LePE)
    becomes one `scf.forall` whose iteration is the work of one worker: one
    batch entry, head and window, a block of rows where rows are many, and some of
    the result's columns where shared memory has no room for all.

    - Preconditions: `elfatt-tile-decompose` ran; ops on tensors.
    - Postconditions: every attention part is inside an `scf.forall`, with
      batch dims of extent 1.
    - Changes numerics: no.
  }];
  let options = limitOptions # [
    Option<"mostSharedBytes", "most-shared-bytes", "int64_t", "49152",
           "Shared memory that a GPU block can have where it cannot do with less, in bytes">
  ];
  let dependentDialects = [
    "mlir::affine::AffineDialect", "mlir::gpu::GPUDialect", "mlir::scf::SCFDialect",
    "mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numTiled", "num-tiled", "Number of scf.forall loops made">,
    Statistic<"numFused", "num-fused", "Number of parts fused into another's loop">];
}

def TileProtectArgumentsPass : Pass<"elfatt-tile-protect-arguments", "::mlir::ModuleOp"> {
  let summary = "Let nothing write what a caller passes as a tensor";
  let description = [{
    Marks the tensors that public functions take as not writable: bufferization then writes
    to copies, where it would else update a caller's memory in place.

    - Preconditions: functions on tensors, before bufferization.
    - Postconditions: none.
    - Changes numerics: no.
  }];
  let dependentDialects = ["mlir::bufferization::BufferizationDialect"];
}

def TileSwitchToIfPass : ElfattTilePass<"elfatt-tile-switch-to-if"> {
  let summary = "Make switches that give tensors chains of ifs";
  let description = [{
    Upstream's bufferization does not know that what a case of `scf.index_switch` yields
    and what the op gives are one buffer (MLIR 22.1), so that later ops write into it.
    Of `scf.if` it knows.

    - Preconditions: before bufferization.
    - Postconditions: no `scf.index_switch` gives a tensor.
    - Changes numerics: no.
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::scf::SCFDialect"];
}

def TileCleanBuffersPass : ElfattTilePass<"elfatt-tile-clean-buffers"> {
  let summary = "Make a worker's buffers scratch and drop copies of a buffer onto itself";
  let description = [{
    What bufferization leaves around tiles: static buffers that it allocated
    inside a worker's loop (the state of an online softmax) become scratch, and a
    copy whose source is its target behind reshapes goes away.

    - Preconditions: bufferized, before deallocation.
    - Postconditions: no heap allocation of static size inside an `scf.forall`.
    - Changes numerics: no.
  }];
  let options = machineOption;
  let dependentDialects = ["mlir::gpu::GPUDialect", "mlir::memref::MemRefDialect"];
  let statistics = [
    Statistic<"numCopiesErased", "num-copies-erased", "Number of copies erased">,
    Statistic<"numScratch", "num-scratch", "Number of allocations that became scratch">];
}

def TileExpandViewsPass : ElfattTilePass<"elfatt-tile-expand-views"> {
  let summary = "Cast views that expand a dim to several of unknown sizes";
  let description = [{
    A `memref.expand_shape` with several dynamic sizes in one group (the rows and the
    columns of an image of any size) becomes a `memref.reinterpret_cast` with the strides
    that it stands for: `expand-strided-metadata` of MLIR 22.1 crashes at it.

    - Preconditions: bufferized.
    - Postconditions: no group of a `memref.expand_shape` has two dynamic sizes.
    - Changes numerics: no.
  }];
  let dependentDialects = ["mlir::affine::AffineDialect", "mlir::memref::MemRefDialect"];
}

def TileToVectorPass : ElfattTilePass<"elfatt-tile-to-vector"> {
  let summary = "Lower attention parts on buffers to the tile level";
  let description = [{
    Each attention part on buffers becomes loops over register tiles with the
    formulas as `vector`, `arith` and `math` ops, and scratch for what is staged:
    the tile level of docs/TileLevel.md.

    - Preconditions: bufferized; batch dims of extent 1; static channel and
      value extents.
    - Postconditions: no attention op is left.
    - Changes numerics: sums are reordered; exponentials are powers of two.
  }];
  let options = limitOptions # [
    Option<"dotsBF16", "dots-bf16", "bool", "false",
           "Scores of bf16 are products of pairs of channels (CPU)">];
  let dependentDialects = [
    "mlir::affine::AffineDialect", "mlir::arith::ArithDialect", "mlir::gpu::GPUDialect",
    "mlir::linalg::LinalgDialect", "mlir::math::MathDialect", "mlir::memref::MemRefDialect",
    "mlir::scf::SCFDialect", "mlir::vector::VectorDialect"];
  let statistics = [
    Statistic<"numLowered", "num-lowered", "Number of attention parts lowered">];
}

def TileHoistStagingPass : Pass<"elfatt-tile-hoist-staging"> {
  let summary = "Stage once what each turn of a worker's loop would stage again";
  let description = [{
    A worker that runs tile after tile of its rows fills scratch with the same in
    each: keys and values, a context rounded to the operands' type, the weights of LePE.
    Steps of the loop that depend on nothing of it, write scratch alone that no
    other step writes, and read nothing that the loop writes, run once before it.

    - Preconditions: bufferized; kernels, whose loops over workers hold scratch in the
      `workgroup` space.
    - Postconditions: none.
    - Changes numerics: no.

    Before:

    ```mlir
    scf.for %i = %c0 to %c56 step %c2 {
      %s = memref.alloca() : memref<32x40xbf16, #gpu.address_space<workgroup>>
      linalg.copy ins(%k : memref<32x40xbf16>) outs(%s : memref<32x40xbf16, ...>)
      ... // reads %s
    }
    ```

    After:

    ```mlir
    %s = memref.alloca() : memref<32x40xbf16, #gpu.address_space<workgroup>>
    linalg.copy ins(%k : memref<32x40xbf16>) outs(%s : memref<32x40xbf16, ...>)
    scf.for %i = %c0 to %c56 step %c2 {
      ... // reads %s
    }
    ```
  }];
  let dependentDialects = ["mlir::gpu::GPUDialect", "mlir::memref::MemRefDialect"];
  let statistics = [
    Statistic<"numHoisted", "num-hoisted", "Number of steps moved before their loop">];
}

def TileMergeLaunchesPass : Pass<"elfatt-tile-merge-launches"> {
  let summary = "Merge independent loops over workers into one launch";
  let description = [{
    Neighbouring `scf.forall` loops of which neither reads what the other writes, and
    that write disjoint parts of memory, become one loop over their iterations in a
    row, with an `scf.index_switch` around the bodies. Loops of few iterations come
    first, since each of those takes long. What a loop needs, and nothing else, moves
    with it: views, numbers, allocations. A loop with `elfatt.most_warps` stays out of a launch of
    more warps.

    Whether parts of one buffer are disjoint is read from the layouts of their views:
    heads of a row, tokens of a batch. Distinct arguments of a function are distinct
    buffers.

    - Preconditions: bufferized, before deallocation.
    - Postconditions: loops that change memory for each other stay apart, in order.
    - Changes numerics: no.

    Before:

    ```mlir
    scf.forall (%b, %w) in (2, 16) { // windows
      memref.store %x, %a[%b, %w] : memref<2x16xf32>
    }
    %context = memref.alloc() : memref<2xf32>
    scf.forall (%b) in (2) {
      memref.store %x, %context[%b] : memref<2xf32>
    }
    ```

    After:

    ```mlir
    %context = memref.alloc() : memref<2xf32>
    scf.forall (%i) in (34) {
      %behind = arith.cmpi uge, %i, %c2 : index
      %part = arith.index_castui %behind : i1 to index
      scf.index_switch %part
      case 0 {
        memref.store %x, %context[%i] : memref<2xf32>
        scf.yield
      }
      default {
        %own = arith.subi %i, %c2 : index
        %w = arith.remui %own, %c16 : index
        %b = arith.divui %own, %c16 : index
        memref.store %x, %a[%b, %w] : memref<2x16xf32>
      }
    }
    ```
  }];
  let dependentDialects = [
    "mlir::arith::ArithDialect", "mlir::gpu::GPUDialect", "mlir::memref::MemRefDialect",
    "mlir::scf::SCFDialect"];
  let statistics = [
    Statistic<"numMerged", "num-merged", "Number of loops merged with others">,
    Statistic<"numLaunches", "num-launches", "Number of loops made of several">];
}

#endif // ELFATT_TILE_PASSES_TD
