// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Launches: threads that run, meet and order their memory, and what is refused.
#include "SimulatorKernels.h"

#include <numeric>
#include <set>

using namespace elfatt::sim;

namespace {

TEST(SimulatorBlock, SpecialRegistersInThreeDimensions) {
  auto program = compile(R"(
    declare i32 @llvm.nvvm.read.ptx.sreg.tid.y()
    declare i32 @llvm.nvvm.read.ptx.sreg.tid.z()
    declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.y()
    declare i32 @llvm.nvvm.read.ptx.sreg.nctaid.x()
    define ptx_kernel void @k(ptr %out) {
      %x = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %y = call i32 @llvm.nvvm.read.ptx.sreg.tid.y()
      %z = call i32 @llvm.nvvm.read.ptx.sreg.tid.z()
      %bx = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
      %by = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.y()
      %nx = call i32 @llvm.nvvm.read.ptx.sreg.nctaid.x()
      %a = mul i32 %by, %nx
      %b = add i32 %a, %bx
      %c = mul i32 %b, 2
      %d = add i32 %c, %z
      %e = mul i32 %d, 3
      %f = add i32 %e, %y
      %g = mul i32 %f, 4
      %h = add i32 %g, %x
      %to = getelementptr i32, ptr %out, i32 %h
      store i32 %h, ptr %to
      ret void
    })");
  std::vector<int> out(6 * 24, -1);
  LaunchConfig config;
  config.grid = {2, 3, 1};
  config.block = {4, 3, 2};
  auto counts = launch(*program, "k", config, {bufferOf(out)});
  ASSERT_TRUE(static_cast<bool>(counts)) << llvm::toString(counts.takeError());
  for (int i = 0; i < 6 * 24; ++i)
    EXPECT_EQ(out[i], i);
  EXPECT_EQ(counts->blocks, 6u);
}

/// Each thread takes the next number of a counter and leaves its own there.
constexpr const char *kOrder = R"(
  define ptx_kernel void @order(ptr %out, ptr %counter) {
    %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
    %place = atomicrmw add ptr %counter, i32 1 monotonic
    %to = getelementptr i32, ptr %out, i32 %place
    store i32 %tid, ptr %to
    ret void
  })";

TEST(SimulatorBlock, OrderOfThreadsFollowsTheSeed) {
  auto program = compile(kOrder);
  std::set<std::vector<int>> orders;
  for (uint64_t seed : {1, 2, 3, 1}) {
    std::vector<int> out(64);
    int counter[1] = {0};
    LaunchConfig config;
    config.block = {64};
    config.seed = seed;
    auto counts = launch(*program, "order", config, {bufferOf(out), bufferOf(counter)});
    ASSERT_TRUE(static_cast<bool>(counts)) << llvm::toString(counts.takeError());
    orders.insert(out);
    llvm::sort(out);
    std::vector<int> all(64);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(out, all);
  }
  EXPECT_EQ(orders.size(), 3u);
}

TEST(SimulatorBlock, AtomicsInGlobalAndSharedMemory) {
  auto program = compile(R"(
    @cells = internal addrspace(3) global [4 x i32] undef
    define ptx_kernel void @k(ptr addrspace(1) %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %isFirst = icmp eq i32 %tid, 0
      br i1 %isFirst, label %init, label %start
    init:
      store <4 x i32> zeroinitializer, ptr addrspace(3) @cells, align 16
      br label %start
    start:
      call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
      %f = atomicrmw fadd ptr addrspace(1) %out, float 0.5 monotonic
      %o1 = getelementptr i32, ptr addrspace(1) %out, i32 1
      %m = atomicrmw max ptr addrspace(1) %o1, i32 %tid monotonic
      %a = atomicrmw add ptr addrspace(3) @cells, i32 %tid monotonic
      %c1 = getelementptr i32, ptr addrspace(3) @cells, i32 1
      %b = atomicrmw uinc_wrap ptr addrspace(3) %c1, i32 9 monotonic
      %c2 = getelementptr i32, ptr addrspace(3) @cells, i32 2
      %c = cmpxchg ptr addrspace(3) %c2, i32 0, i32 77 monotonic monotonic
      %c3 = getelementptr i32, ptr addrspace(3) @cells, i32 3
      %d = atomicrmw xchg ptr addrspace(3) %c3, i32 5 monotonic
      call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
      br i1 %isFirst, label %write, label %end
    write:
      %all = load <4 x i32>, ptr addrspace(3) @cells, align 16
      %o4 = getelementptr i32, ptr addrspace(1) %out, i32 4
      store <4 x i32> %all, ptr addrspace(1) %o4, align 16
      br label %end
    end:
      ret void
    })");
  alignas(16) int out[8] = {};
  LaunchConfig config;
  config.block = {96};
  auto counts = launch(*program, "k", config, {bufferOf(out)});
  ASSERT_TRUE(static_cast<bool>(counts)) << llvm::toString(counts.takeError());
  EXPECT_EQ(std::bit_cast<float>(out[0]), 48.0f);
  EXPECT_EQ(out[1], 95);
  EXPECT_EQ(out[4], 95 * 96 / 2);
  EXPECT_EQ(out[5], 96 % 10) << "inc wraps at 9";
  EXPECT_EQ(out[6], 77);
  EXPECT_EQ(out[7], 5);
}

// PTX ISA, "barrier": a producer arrives, a consumer waits; the data are then visible.
TEST(SimulatorBlock, NamedBarriersOfProducersAndConsumers) {
  auto program = compile(R"(
    @tile = internal addrspace(3) global [32 x i32] undef
    define ptx_kernel void @k(ptr %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %lane = and i32 %tid, 31
      %cell = getelementptr i32, ptr addrspace(3) @tile, i32 %lane
      %isProducer = icmp ult i32 %tid, 32
      br i1 %isProducer, label %produce, label %consume
    produce:
      store i32 %tid, ptr addrspace(3) %cell
      call void @llvm.nvvm.barrier.cta.arrive.aligned.count(i32 3, i32 64)
      ret void
    consume:
      call void @llvm.nvvm.barrier.cta.sync.aligned.count(i32 3, i32 64)
      %other = xor i32 %lane, 5
      %theirs = getelementptr i32, ptr addrspace(3) @tile, i32 %other
      %x = load i32, ptr addrspace(3) %theirs
      %to = getelementptr i32, ptr %out, i32 %lane
      store i32 %x, ptr %to
      ret void
    })");
  std::vector<int> out(32);
  LaunchConfig config;
  config.block = {64};
  auto counts = launch(*program, "k", config, {bufferOf(out)});
  ASSERT_TRUE(static_cast<bool>(counts)) << llvm::toString(counts.takeError());
  for (int i = 0; i < 32; ++i)
    EXPECT_EQ(out[i], i ^ 5);
}

TEST(SimulatorBlock, BarriersReduce) {
  auto program = compile(R"(
    declare i32 @llvm.nvvm.barrier.cta.red.popc.aligned.all(i32, i1)
    declare i1 @llvm.nvvm.barrier.cta.red.and.aligned.all(i32, i1)
    declare i1 @llvm.nvvm.barrier.cta.red.or.aligned.all(i32, i1)
    define ptx_kernel void @k(ptr %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %few = icmp ult i32 %tid, 7
      %n = call i32 @llvm.nvvm.barrier.cta.red.popc.aligned.all(i32 0, i1 %few)
      %a = call i1 @llvm.nvvm.barrier.cta.red.and.aligned.all(i32 0, i1 %few)
      %o = call i1 @llvm.nvvm.barrier.cta.red.or.aligned.all(i32 0, i1 %few)
      %a32 = zext i1 %a to i32
      %o32 = zext i1 %o to i32
      %x = mul i32 %a32, 1000
      %y = mul i32 %o32, 100
      %z = add i32 %x, %y
      %w = add i32 %z, %n
      %to = getelementptr i32, ptr %out, i32 %tid
      store i32 %w, ptr %to
      ret void
    })");
  std::vector<int> out(64);
  LaunchConfig config;
  config.block = {64};
  auto counts = launch(*program, "k", config, {bufferOf(out)});
  ASSERT_TRUE(static_cast<bool>(counts)) << llvm::toString(counts.takeError());
  for (int x : out)
    EXPECT_EQ(x, 107);
  EXPECT_EQ(counts->barriers, 3u);
}

// Kernels take addresses of shared memory as 32 bits, and generic pointers of both memories.
TEST(SimulatorBlock, SharedAddressesAreWholeIn32Bits) {
  auto program = compile(R"(
    @tile = external addrspace(3) global [0 x float], align 16
    declare i1 @llvm.nvvm.isspacep.shared(ptr)
    define ptx_kernel void @k(ptr %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %base = ptrtoint ptr addrspace(3) @tile to i32
      %offset = mul i32 %tid, 4
      %address = add i32 %base, %offset
      %cell = inttoptr i32 %address to ptr addrspace(3)
      %f = uitofp i32 %tid to float
      store float %f, ptr addrspace(3) %cell
      %generic = addrspacecast ptr addrspace(3) %cell to ptr
      %isShared = call i1 @llvm.nvvm.isspacep.shared(ptr %generic)
      %x = load float, ptr %generic
      %y = select i1 %isShared, float %x, float -1.0
      %to = getelementptr float, ptr %out, i32 %tid
      store float %y, ptr %to
      ret void
    })");
  std::vector<float> out(32);
  LaunchConfig config;
  config.block = {32};
  config.dynamicShared = 128;
  auto counts = launch(*program, "k", config, {bufferOf(out)});
  ASSERT_TRUE(static_cast<bool>(counts)) << llvm::toString(counts.takeError());
  for (int i = 0; i < 32; ++i)
    EXPECT_EQ(out[i], float(i));
  EXPECT_EQ(counts->sharedBytes, 128);
}

TEST(SimulatorBlock, FencesDoNothingBetweenThreadsOfTheHost) {
  auto program = compile(R"(
    declare void @llvm.nvvm.membar.cta()
    declare void @llvm.nvvm.membar.gl()
    declare void @llvm.nvvm.membar.sys()
    define ptx_kernel void @k(ptr %out) {
      store i32 1, ptr %out
      call void @llvm.nvvm.membar.cta()
      call void @llvm.nvvm.membar.gl()
      call void @llvm.nvvm.membar.sys()
      fence acq_rel
      store i32 2, ptr %out
      ret void
    })");
  int out[1];
  auto counts = launch(*program, "k", {}, {bufferOf(out)});
  ASSERT_TRUE(static_cast<bool>(counts)) << llvm::toString(counts.takeError());
  EXPECT_EQ(out[0], 2);
}

// Local arrays, functions of the kernel's own, constants, copies of memory.
TEST(SimulatorBlock, LocalArraysCallsAndConstants) {
  auto program = compile(R"(
    @table = internal addrspace(4) constant [4 x i32] [i32 10, i32 20, i32 30, i32 40]
    declare void @llvm.memcpy.p0.p4.i64(ptr, ptr addrspace(4), i64, i1)
    define internal i32 @pick(ptr %from, i32 %i) noinline {
      %at = getelementptr i32, ptr %from, i32 %i
      %x = load i32, ptr %at
      ret i32 %x
    }
    define ptx_kernel void @k(ptr %out) {
      %copy = alloca [4 x i32], align 16
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      call void @llvm.memcpy.p0.p4.i64(ptr %copy, ptr addrspace(4) @table, i64 16, i1 false)
      %x = call i32 @pick(ptr %copy, i32 %tid)
      %to = getelementptr i32, ptr %out, i32 %tid
      store i32 %x, ptr %to
      ret void
    })");
  int out[4];
  LaunchConfig config;
  config.block = {4};
  auto counts = launch(*program, "k", config, {bufferOf(out)});
  ASSERT_TRUE(static_cast<bool>(counts)) << llvm::toString(counts.takeError());
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(out[i], 10 * (i + 1));
}

TEST(SimulatorProgram, UnknownInstructionIsNamed) {
  std::string error;
  compile(R"(
    define ptx_kernel void @k() {
      %x = call i32 @llvm.nvvm.activemask()
      ret void
    })",
          &error);
  EXPECT_EQ(error, "the simulator does not know llvm.nvvm.activemask (in k)");
  compile(R"(
    define ptx_kernel void @k() {
      call void asm sideeffect "griddepcontrol.wait;", ""()
      ret void
    })",
          &error);
  EXPECT_EQ(error, "the simulator does not know inline assembly 'griddepcontrol.wait;' (in k)");
  compile(R"(
    declare i32 @vprintf(ptr, ptr)
    define ptx_kernel void @k(ptr %p) {
      %x = call i32 @vprintf(ptr %p, ptr %p)
      ret void
    })",
          &error);
  EXPECT_EQ(error, "the simulator does not know vprintf (in k)");
}

TEST(SimulatorProgram, InstructionsThatTheChipLacksAreNamed) {
  std::string error;
  compile(R"(
    define ptx_kernel void @k() {
      call void @llvm.nvvm.cp.async.commit.group()
      ret void
    })",
          &error, &getChip("sm_75"));
  EXPECT_EQ(error, "kernel 'k': sm_75 with PTX 9.0 has no cp.async (it needs sm_80); there is: a "
                   "load and a store");
}

TEST(SimulatorProgram, ListsWhatItKnows) {
  std::string list = listInstructions();
  for (const char *name : {"llvm.nvvm.mma of m16n8k16 bf16", "ldmatrix", "cp.async", "__nv_expf",
                           "llvm.nvvm.ex2.approx.ftz.f32"})
    EXPECT_NE(list.find(name), std::string::npos) << name;
}

// Arrays of other kernels of the module take nothing.
TEST(SimulatorProgram, SharedMemoryIsOfEachKernel) {
  auto program = compile(R"(
    @a = internal addrspace(3) global [10000 x float] undef
    @b = internal addrspace(3) global [10000 x float] undef
    define internal void @fill(i32 %i) noinline {
      %at = getelementptr float, ptr addrspace(3) @b, i32 %i
      store float 0.0, ptr addrspace(3) %at
      ret void
    }
    define ptx_kernel void @k() {
      store float 0.0, ptr addrspace(3) @a
      ret void
    }
    define ptx_kernel void @calls() {
      call void @fill(i32 3)
      ret void
    })");
  for (const char *kernel : {"k", "calls"}) {
    auto counts = launch(*program, kernel, {}, {});
    ASSERT_TRUE(static_cast<bool>(counts)) << llvm::toString(counts.takeError());
    EXPECT_EQ(counts->sharedBytes, 40000);
  }
}

TEST(SimulatorProgram, LaunchesThatNoGPUTakes) {
  auto program = compile(R"(
    @tile = internal addrspace(3) global [4096 x float] undef
    @more = external addrspace(3) global [0 x float]
    define ptx_kernel void @k() "nvvm.maxntid"="128" {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %a = getelementptr float, ptr addrspace(3) @tile, i32 %tid
      store float 0.0, ptr addrspace(3) %a
      %b = getelementptr float, ptr addrspace(3) @more, i32 %tid
      store float 0.0, ptr addrspace(3) %b
      ret void
    })");
  auto error = [&](LaunchConfig config) { return launchError(*program, "k", config, {}); };
  LaunchConfig config;
  config.block = {2048};
  EXPECT_EQ(error(config), "kernel 'k': expected 1 to 1024 threads a block, got 2048");
  config.block = {256};
  EXPECT_EQ(error(config), "kernel 'k': expected at most 128 threads a block, for which it was "
                           "compiled, got 256");
  config.block = {128};
  config.dynamicShared = 33 * 1024;
  config.chip = &getChip("sm_53");
  EXPECT_EQ(error(config), "kernel 'k': expected at most 49152 bytes of shared memory a block "
                           "(sm_53), got 50176");
  config.chip = &getChip("sm_87");
  EXPECT_EQ(error(config), "no error");
  config.registers = 1024;
  EXPECT_EQ(error(config), "kernel 'k': no SM of sm_87 holds a block of 128 threads with 1024 "
                           "registers each and 50176 bytes of shared memory");
  EXPECT_EQ(llvm::toString(program->launch("none", {}, {}).takeError()), "no kernel 'none'");
  void *arg = nullptr;
  EXPECT_EQ(llvm::toString(program->launch("k", {}, {arg}).takeError()),
            "kernel 'k': expected 0 arguments, got 1");
}
} // namespace
