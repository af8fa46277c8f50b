// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_GPU_PASSES_TD
#define ELFATT_GPU_PASSES_TD

include "mlir/Pass/PassBase.td"

def GPUOutlinePass : Pass<"elfatt-gpu-outline", "::mlir::ModuleOp"> {
  let summary = "Outline each scf.forall on memrefs into a kernel, a block an iteration";
  let description = [{
    Preconditions: the tile level on memrefs (docs/TileLevel.md); one iteration
    of the `scf.forall` is the work of one block, and loops over its warps are
    `scf.forall` mapped to `#gpu.warp`; scratch is `memref.alloca` in
    `#gpu.address_space<workgroup>`.

    Postconditions: each such loop is a `gpu.launch_func` of a `gpu.func` in
    `gpu.module @kernels`: as many warps a block as the widest loop over warps has,
    the iterations linearised in the x dim of the grid. Scratch is a workgroup attribution, or, where all of it
    is more than 48 KiB, a view of dynamic shared memory. A memref reaches the
    kernel as a bare pointer; what is dynamic in its layout follows as `index`.

    Before:

    ```mlir
    scf.forall (%i, %j) in (4, %n) { ... memref.alloca() : memref<64x32xf16, #gpu.address_space<workgroup>> ... }
    ```

    After:

    ```mlir
    gpu.launch_func @kernels::@main_0 blocks in (%grid, %c1, %c1) threads in (%c32, %c1, %c1) args(...)
    ```

    Changes numerics: no.
  }];
  let options = [
    Option<"chip", "chip", "std::string", "\"sm_80\"",
           "Chip whose shared memory is the limit, for example sm_87">];
  let dependentDialects = ["::mlir::gpu::GPUDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::arith::ArithDialect", "::mlir::affine::AffineDialect"];
  let statistics = [Statistic<"numKernels", "kernels", "loops outlined into kernels">];
}

def GPUMergeKernelsPass : Pass<"elfatt-gpu-merge-kernels", "::mlir::ModuleOp"> {
  let summary = "Merge kernels that are equal but for their names";
  let description = [{
    The layers of a model give the same kernels again and again. All but the
    first of each kind go, and their launches name the first.

    Preconditions: launches name their kernels by `gpu.launch_func` alone.

    Postconditions: no two kernels of a `gpu.module` have equal types, attributes
    and bodies.

    Before: `gpu.launch_func @kernels::@main_0 ...` and, of the same body,
    `gpu.launch_func @kernels::@main_1 ...`
    After: `gpu.launch_func @kernels::@main_0 ...` twice

    Changes numerics: no.
  }];
  let statistics = [Statistic<"numMerged", "merged", "kernels merged into an equal one">];
}

def GPUInsertBarriersPass : Pass<"elfatt-gpu-insert-barriers", "::mlir::gpu::GPUFuncOp"> {
  let summary = "Insert gpu.barrier where an access conflicts with one before it";
  let description = [{
    Preconditions: a kernel at the tile level, before its ops are spread over
    threads: staging is executed by the whole block, what is in an `scf.forall`
    by one warp an iteration, which no other iteration depends on.

    Postconditions: between two accesses to one buffer of which at least one is
    a write stands a `gpu.barrier`, on every path, loops included; inside of a loop
    over warps an `nvvm.bar.warp.sync`. Boxes of one buffer that do not meet do not
    wait for each other, nor does memory of the private space. Buffers are
    told apart by the value that a chain of views starts from; kernel arguments
    are taken not to overlap.

    Before: `linalg.copy ins(%q) outs(%scratch)`, then `vector.transfer_read %scratch`
    After: `gpu.barrier` between the two.

    Changes numerics: no.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::NVVM::NVVMDialect"];
  let statistics = [Statistic<"numBarriers", "barriers", "barriers inserted">];
}

def GPUDistributeStagingPass : Pass<"elfatt-gpu-distribute-staging", "::mlir::gpu::GPUFuncOp"> {
  let summary = "Spread staging (linalg on memrefs) over the threads of a block";
  let description = [{
    Preconditions: `linalg.fill`, `linalg.copy` and elementwise
    `linalg.generic` on memrefs inside a kernel.

    Postconditions: no linalg op; each is a loop in which thread `t` of `n` serves
    the chunks `t`, `t + n`, ... A chunk is up to 16 bytes where both sides are
    known to be contiguous and aligned, else one element. Where the chip has it,
    copies from global to shared memory are `nvgpu.device_async_copy`, and the
    barrier after them waits for them.

    Before: `linalg.copy ins(%a : memref<64x32xf16>) outs(%b : memref<64x32xf16, 3>)`
    After: `scf.for %turn = %c0 to %c2 step %c1 { nvgpu.device_async_copy ... }`

    Changes numerics: no (a copy between element types rounds as arith.truncf).
  }];
  let dependentDialects = ["::mlir::gpu::GPUDialect", "::mlir::scf::SCFDialect",
                           "::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::nvgpu::NVGPUDialect", "::mlir::vector::VectorDialect"];
  let options = [
    Option<"chip", "chip", "std::string", "\"sm_80\"",
           "Chip whose instructions may be used, for example sm_87">];
}

def GPUAssignLayoutsPass : Pass<"elfatt-gpu-assign-layouts", "::mlir::gpu::GPUFuncOp"> {
  let summary = "Give each vector of a warp one layout over its lanes";
  let description = [{
    Layouts are anchored at the contractions, whose operands and results are where the
    tensor cores want them, and spread from there over all that ties vectors together
    (include/elfatt/GPU/FragmentLayout.h). Where two ops want a vector in different
    layouts, an `attention.convert_layout` stands between; constants, masks and tiles in
    memory are made or read once more instead.

    Preconditions: a kernel at the tile level.

    Postconditions: every op reads each vector in the layout in which it is made.

    Before: `%m = vector.multi_reduction <maxnumf>, %s, %i [0] : vector<16x8xf32> to vector<8xf32>`,
    used as a value per row
    After: `attention.convert_layout %m <quad> to <group> : vector<8xf32>` before that use

    Changes numerics: no.
  }];
  let dependentDialects = ["::elfatt::attention::AttentionDialect"];
  let options = [
    Option<"chip", "chip", "std::string", "\"sm_80\"",
           "Chip whose products decide, for example sm_72">];
  let statistics = [Statistic<"numChanges", "layout-changes", "changes of layout, by shuffles">];
}

def GPUDistributePass : Pass<"elfatt-gpu-distribute", "::mlir::gpu::GPUFuncOp"> {
  let summary = "Spread the vectors of a warp over its lanes, by layouts anchored at the contractions";
  let description = [{
    Preconditions: a kernel at the tile level after `elfatt-gpu-assign-layouts`; vectors
    have one or two dims; extents that are spread are multiples of 8, and the rows of a
    product of 16. In memory of the private space each warp of an `scf.forall` has rows of
    its own.

    Postconditions: every vector is what one lane holds of a tile, flat (see
    include/elfatt/GPU/FragmentLayout.h). Contractions of f16 or bf16, with `tf32`
    also of f32, are
    `nvvm.mma.sync` m16n8k16, m16n8k8 or (f16 on sm_72) m8n8k4 with f32 accumulators, operands
    of 16 bits in shared memory come by `nvgpu.ldmatrix`, or on sm_72 by vector loads, the right
    one when its columns are multiplied.
    Other contractions are `math.fma` on operands where they lie in shared memory,
    else on what lanes exchange. Reductions are in-lane, then `gpu.shuffle`. A warp
    runs the iteration of its number of an `scf.forall`; memory of the private space
    becomes values that loops carry.

    Before: `vector.contract ... : vector<16x32xf16>, vector<64x32xf16> into vector<16x64xf32>`
    After: 16 x `nvvm.mma.sync`

    Changes numerics: the order of sums; with `tf32` operands of f32 products are rounded
    to 11 bits.
  }];
  let dependentDialects = ["::mlir::gpu::GPUDialect", "::mlir::scf::SCFDialect",
                           "::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::math::MathDialect", "::mlir::vector::VectorDialect",
                           "::mlir::nvgpu::NVGPUDialect", "::mlir::NVVM::NVVMDialect",
                           "::mlir::LLVM::LLVMDialect"];
  let options = [
    Option<"chip", "chip", "std::string", "\"sm_80\"",
           "Chip whose instructions may be used, for example sm_87. Without tensor cores "
           "f16 and bf16 are widened to f32">,
    Option<"tf32", "tf32", "bool", "false",
           "Round operands of f32 products to tf32, which tensor cores of sm_80 and newer multiply">];
  let statistics = [Statistic<"numMma", "mma", "tensor-core instructions emitted">,
                    Statistic<"numMatrices", "ldmatrix", "ldmatrix instructions emitted">];
}

def GPULowerMathPass : Pass<"elfatt-gpu-lower-math", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Lower functions to the chip's instructions";
  let description = [{
    Preconditions: `math.exp2` on f32 or on one-dimensional vectors of it.

    Postconditions: no `math.exp2` or `math.exp`, nor `math.powf` of a positive constant;
    one `llvm.nvvm.ex2.approx.ftz.f32` an element. erf, expm1, log, log1p and tanh are upstream's polynomials; absf,
    ceil, floor, fma, sqrt, `arith.maxnumf` and `minnumf` are LLVM's intrinsics.
    Other functions that would call a device library are an error: kernels link
    with nothing. No `vector.shape_cast` either, which upstream's conversion to
    NVVM leaves as it is (LLVM 22.1), and no vector of bf16 that is widened: elements that
    were loaded in pairs are the halves of a word, by a shift and a mask.

    Before: `math.exp2 %x : vector<2xf32>`
    After: two `llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f32"`

    Changes numerics: yes. The instruction's relative error is 2^-22, and
    subnormal inputs and results are zero.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect", "::mlir::vector::VectorDialect"];
}

def GPUEvictFirstPass : Pass<"elfatt-gpu-evict-first", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Tell the L2 which lines to give up first";
  let description = [{
    Preconditions: kernels of `nvgpu` and `vector`; copies and stores of 16 bytes whose data
    no block reads again have the attribute `elfatt.evict_first`.

    Postconditions: where the target has it (sm_80 and PTX 7.4), such a copy from global to
    shared memory is a `cp.async` with a cache policy, and such a store a `st.global.cs`, both
    as inline assembly, since LLVM has no intrinsics of them. All else stays as it is.

    Before: `vector.store %v, %m[%i] {elfatt.evict_first} : memref<64xf16>, vector<8xf16>`
    After: `llvm.inline_asm has_side_effects "st.global.cs.v4.b32 [$0], {$1, $2, $3, $4};"`

    Changes numerics: no.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
  let statistics = [Statistic<"numHints", "hints", "copies and stores with a policy">];
}

def GPUExternalizeSharedPass : Pass<"elfatt-gpu-externalize-shared", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Make dynamic shared memory external";
  let description = [{
    Preconditions: kernels in the LLVM dialect.

    Postconditions: shared arrays of no elements have external linkage. LLVM takes
    an internal one for an array of one byte.

    Before: `llvm.mlir.global internal @__dynamic_shmem__0() {addr_space = 3} : !llvm.array<0 x i8>`
    After: `llvm.mlir.global external @__dynamic_shmem__0() ...`

    Changes numerics: no.
  }];
}

def GPUAttachTargetPass : Pass<"elfatt-gpu-attach-target", "::mlir::ModuleOp"> {
  let summary = "Attach the chip and the PTX version to each gpu.module";
  let description = [{
    Preconditions: `gpu.module` ops.

    Postconditions: each has one `#nvvm.target` with the chip and the newest PTX
    version that drivers of the CUDA release load. A chip or release that is not
    in the table (include/elfatt/Target/Chip.h), or a pair that does not fit, is
    an error: LLVM would abort on it.

    Before: `gpu.module @kernels`
    After: `gpu.module @kernels [#nvvm.target<O = 3, chip = "sm_87", features = "+ptx74">]`

    Changes numerics: no.
  }];
  let options = [
    Option<"chip", "chip", "std::string", "\"sm_87\"", "Chip, for example sm_87">,
    Option<"cuda", "cuda", "std::string", "\"\"",
           "Oldest CUDA release whose driver must load the code: 10.2, 11.4, 12.6 or 13.0; "
           "empty: the chip's default">];
  let dependentDialects = ["::mlir::NVVM::NVVMDialect", "::mlir::gpu::GPUDialect"];
}

def GPUSerializePass : Pass<"elfatt-gpu-serialize", "::mlir::ModuleOp"> {
  let summary = "Turn each gpu.module into a gpu.binary of PTX, cubin, fatbin or LLVM bitcode";
  let description = [{
    Preconditions: `gpu.module` ops in the LLVM and NVVM dialects, each with a
    target from `elfatt-gpu-attach-target`.

    Postconditions: `gpu.binary` ops. With `format=cubin` or `fatbin` ptxas
    assembles the PTX; registers, shared memory and spills of each kernel are in
    the object's properties.

    Kernels with `fit-registers` are those that were lowered here: LLVM runs the few passes
    that they gain by, and the others on kernels that came as they are.

    What a kernel takes of registers ptxas alone knows. With `fit-registers` a kernel that
    spills gets those of one block less on a multiprocessor (`.maxnreg`) or, where it had no
    limit or has none any more, all that a block has (`.minnctapersm`: left alone ptxas rather
    spills a few), until it does not or nothing is gained. A kernel without a limit gets the
    registers of one block more, as far as `elfatt.blocks` says and it takes at most a third more
    than those, if it does not spill with them. PTX and cubins are of one text. Where
    there is no ptxas for the chip, PTX has the limits of the `gpu.module`.

    Before: `gpu.module @kernels [#nvvm.target<...>] { llvm.func ... }`
    After: `gpu.binary @kernels [#gpu.object<#nvvm.target<...>, assembly = "...">]`

    Changes numerics: no.
  }];
  let options = [
    Option<"format", "format", "std::string", "\"ptx\"", "ptx, cubin, fatbin, or llvm: bitcode">,
    Option<"cudaPath", "cuda-path", "std::string", "\"\"",
           "CUDA Toolkit to take ptxas and fatbinary from; empty: search">,
    Option<"countRegisters", "count-registers", "bool", "false",
           "with format=llvm: figures of ptxas too, where there is one">,
    Option<"fitRegisters", "fit-registers", "bool", "false",
           "kernels that spill have more registers and others, for another block, fewer, where "
           "ptxas is there to say so">];
  let statistics = [Statistic<"numRelaxed", "relaxed", "kernels with more registers">,
                    Statistic<"numTightened", "tightened", "kernels with fewer registers">];
  let dependentDialects = ["::mlir::NVVM::NVVMDialect", "::mlir::gpu::GPUDialect"];
}

def GPUHostToMemoryPass : Pass<"elfatt-gpu-host-to-memory", "::mlir::ModuleOp"> {
  let summary = "Let host code that serves a device serve the host";
  let description = [{
    Preconditions: any; for modules whose kernels run on the simulator.

    Postconditions: outside of kernels no `gpu.alloc`, `gpu.dealloc`, `gpu.memcpy`, `gpu.memset`,
    `gpu.wait`, `gpu.host_register`, `gpu.host_unregister`; launches are synchronous. A device
    has no memory of its own, and nothing is freed: the host's pipeline does that.

    Before: `%m = gpu.alloc () : memref<4xf32>`
    After: `%m = memref.alloc() : memref<4xf32>`

    Changes numerics: no.
  }];
  let dependentDialects = ["::mlir::memref::MemRefDialect", "::mlir::linalg::LinalgDialect"];
}

def GPUDropCallSitesPass : Pass<"elfatt-gpu-drop-call-sites", "::mlir::ModuleOp"> {
  let summary = "Reduce call sites to places in files";
  let description = [{
    A location that is a call site, as inlining leaves it, becomes the first place in a file
    that it holds, or an unknown one: `ensure-debug-info-scope-on-llvm-func` of MLIR 22.1
    crashes at one whose callee has no file.

    - Preconditions: none.
    - Postconditions: no op's location is a call site.
    - Changes numerics: no.
  }];
}

def GPULaunchToCallPass : Pass<"elfatt-gpu-launch-to-call", "::mlir::ModuleOp"> {
  let summary = "Replace launches by calls of a function that runs kernels for the host";
  let description = [{
    Preconditions: `gpu.launch_func` ops in functions, whose kernels are in the module. A
    kernel has a parameter for each operand (memrefs by their pointers, as
    `elfatt-gpu-outline` leaves them), or those of upstream's memref descriptors.

    Postconditions: no `gpu.launch_func`. Each is a call of
    `elfatt_launch(kernel, grid x, y, z, block x, y, z, dynamic shared bytes,
    arguments)` on 64-bit numbers; the last one points to two words for each parameter: its
    value, and how many bytes it points to. `kernel` is a position in the module's
    `elfatt.kernels`, which has the kernel's name for each launch.

    Before: `gpu.launch_func @kernels::@main_0 blocks in (...) threads in (...) args(%m : memref<4xf32>)`
    After: `func.call @elfatt_launch(%c0, ...)`

    Changes numerics: no.
  }];
  let dependentDialects = ["::mlir::func::FuncDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::arith::ArithDialect"];
}

#endif // ELFATT_GPU_PASSES_TD
