// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every rule that the simulator checks: a small kernel that breaks just that rule, and its
// correct twin.
#include "SimulatorKernels.h"

#include <cmath>

using namespace elfatt::sim;

namespace {
std::string replace(std::string text, const std::string &from, const std::string &to) {
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}
#define EXPECT_CONTAINS(text, part) EXPECT_TRUE(contains(text, part)) << text

LaunchConfig threads(uint32_t n) {
  LaunchConfig config;
  config.block = {n};
  return config;
}

const std::string kBarrier = "call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)";

/// Thread t writes 10 t to shared memory, reads its neighbour's, and writes once more.
const std::string kNeighbour = R"(
  @tile = internal addrspace(3) global [64 x float] undef
  define ptx_kernel void @k(ptr %out) {
    %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
    %mine = getelementptr float, ptr addrspace(3) @tile, i32 %tid
    %x = mul i32 %tid, 10
    %f = sitofp i32 %x to float
    store float %f, ptr addrspace(3) %mine
    call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
    %other = xor i32 %tid, 33
    %theirs = getelementptr float, ptr addrspace(3) @tile, i32 %other
    %y = load float, ptr addrspace(3) %theirs
    call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0) ; second
    store float 0.0, ptr addrspace(3) %mine
    %to = getelementptr float, ptr %out, i32 %tid
    store float %y, ptr %to
    ret void
  })";

TEST(SimulatorRace, BarriersOrderWritesAndReads) {
  auto program = compile(kNeighbour);
  std::vector<float> out(64);
  LaunchConfig config = threads(64);
  config.grid = {2};
  auto counts = launch(*program, "k", config, {bufferOf(out)});
  ASSERT_TRUE(static_cast<bool>(counts)) << llvm::toString(counts.takeError());
  for (int i = 0; i < 64; ++i)
    EXPECT_EQ(out[i], 10.0f * (i ^ 33));
  EXPECT_EQ(counts->barriers, 4u);
  EXPECT_EQ(counts->poisonReads, 0u);
}

// Whichever of the two comes first, for every seed.
TEST(SimulatorRace, MissingBarrierBehindAWrite) {
  auto program = compile(replace(kNeighbour, kBarrier, ""));
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<float> out(64);
    LaunchConfig config = threads(64);
    config.seed = seed;
    std::string error = launchError(*program, "k", config, {bufferOf(out)});
    EXPECT_CONTAINS(error, "kernel 'k': block (0, 0, 0), thread ");
    EXPECT_CONTAINS(error, "of 'tile', which thread ");
    EXPECT_CONTAINS(error, "with no barrier between: a race");
  }
}

TEST(SimulatorRace, MissingBarrierBehindARead) {
  auto program = compile(replace(kNeighbour, kBarrier + " ; second", ""));
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<float> out(64);
    LaunchConfig config = threads(64);
    config.seed = seed;
    std::string error = launchError(*program, "k", config, {bufferOf(out)});
    EXPECT_CONTAINS(error, "a race");
  }
}

// A barrier of the warp orders its lanes, and no others.
TEST(SimulatorRace, BarrierOfTheWarp) {
  std::string warp = "call void @llvm.nvvm.bar.warp.sync(i32 -1)";
  std::string text = replace(replace(kNeighbour, kBarrier + " ; second", warp), kBarrier, warp);
  std::vector<float> out(64);
  auto across = compile(text);
  EXPECT_CONTAINS(launchError(*across, "k", threads(64), {bufferOf(out)}), "a race");
  auto inside = compile(replace(text, "xor i32 %tid, 33", "xor i32 %tid, 3"));
  EXPECT_EQ(launchError(*inside, "k", threads(64), {bufferOf(out)}), "no error");
  for (int i = 0; i < 64; ++i)
    EXPECT_EQ(out[i], 10.0f * (i ^ 3));
}

// Halves of a word: f16 by different threads is no race.
TEST(SimulatorRace, NeighboursInOneWord) {
  std::string text = R"(
    @tile = internal addrspace(3) global [64 x half] undef, align 16
    define ptx_kernel void @k(ptr %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %mine = getelementptr half, ptr addrspace(3) @tile, i32 %tid
      store half 1.0, ptr addrspace(3) %mine, align 2
      %x = load half, ptr addrspace(3) %mine, align 2
      %to = getelementptr half, ptr %out, i32 %tid
      store half %x, ptr %to, align 2
      ret void
    })";
  std::vector<uint16_t> out(64);
  EXPECT_EQ(launchError(*compile(text), "k", threads(64), {bufferOf(out)}), "no error");
  std::string wide = replace(text, "%x = load half, ptr addrspace(3) %mine, align 2",
                             "%pair = and i32 %tid, 62\n"
                             "%both = getelementptr half, ptr addrspace(3) @tile, i32 %pair\n"
                             "%v = load <2 x half>, ptr addrspace(3) %both, align 4\n"
                             "%x = extractelement <2 x half> %v, i32 0");
  EXPECT_CONTAINS(launchError(*compile(wide), "k", threads(64), {bufferOf(out)}), "a race");
}

// A flag in shared memory orders memory if its operations say so.
TEST(SimulatorRace, AtomicsThatReleaseAndAcquire) {
  std::string text = R"(
    @data = internal addrspace(3) global i32 undef
    @flag = internal addrspace(3) global i32 undef
    define ptx_kernel void @k(ptr %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %isFirst = icmp eq i32 %tid, 0
      br i1 %isFirst, label %init, label %start
    init:
      %none = atomicrmw xchg ptr addrspace(3) @flag, i32 0 monotonic
      br label %start
    start:
      call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
      br i1 %isFirst, label %write, label %spin
    write:
      store i32 42, ptr addrspace(3) @data
      %old = atomicrmw xchg ptr addrspace(3) @flag, i32 1 acq_rel
      br label %end
    spin:
      %f = atomicrmw add ptr addrspace(3) @flag, i32 0 acq_rel
      %isSet = icmp eq i32 %f, 1
      br i1 %isSet, label %read, label %spin
    read:
      %x = load i32, ptr addrspace(3) @data
      %to = getelementptr i32, ptr %out, i32 %tid
      store i32 %x, ptr %to
      br label %end
    end:
      ret void
    })";
  std::vector<int> out(64);
  EXPECT_EQ(launchError(*compile(text), "k", threads(64), {bufferOf(out)}), "no error");
  EXPECT_EQ(out[5], 42);
  std::string relaxed = replace(text, "i32 1 acq_rel", "i32 1 monotonic");
  EXPECT_CONTAINS(launchError(*compile(relaxed), "k", threads(64), {bufferOf(out)}), "a race");
}

/// Thread t copies 16 bytes in each of two groups, waits, and reads what its neighbour copied.
const std::string kAsync = R"(
  @tile = internal addrspace(3) global [2 x [256 x float]] undef, align 16
  define ptx_kernel void @k(ptr addrspace(1) %in, ptr %out) {
    %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
    %first = mul i32 %tid, 4
    %from = getelementptr float, ptr addrspace(1) %in, i32 %first
    %to = getelementptr float, ptr addrspace(3) @tile, i32 %first
    call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) %to, ptr addrspace(1) %from)
    call void @llvm.nvvm.cp.async.commit.group()
    %second = add i32 %first, 256
    %from2 = getelementptr float, ptr addrspace(1) %in, i32 %second
    %to2 = getelementptr float, ptr addrspace(3) @tile, i32 %second
    call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) %to2, ptr addrspace(1) %from2)
    call void @llvm.nvvm.cp.async.commit.group()
    call void @llvm.nvvm.cp.async.wait.group(i32 1)
    call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
    %other = xor i32 %first, 4
    %at = getelementptr float, ptr addrspace(3) @tile, i32 %other
    %x = load <4 x float>, ptr addrspace(3) %at, align 16
    %result = getelementptr float, ptr %out, i32 %first
    store <4 x float> %x, ptr %result, align 16
    ret void
  })";

class SimulatorAsync : public testing::Test {
protected:
  std::string run(const std::string &text) {
    auto program = compile(text);
    for (int i = 0; i < 512; ++i)
      in[i] = float(i);
    return launchError(*program, "k", threads(64), {bufferOf(in), bufferOf(out)});
  }
  alignas(16) float in[512], out[256];
};

TEST_F(SimulatorAsync, DataLandAtTheirWait) {
  EXPECT_EQ(run(kAsync), "no error");
  for (int i = 0; i < 256; ++i)
    EXPECT_EQ(out[i], float(i ^ 4));
}

TEST_F(SimulatorAsync, MissingWait) {
  std::string error = run(replace(kAsync, "call void @llvm.nvvm.cp.async.wait.group(i32 1)", ""));
  EXPECT_CONTAINS(error, "ld.shared in k (#");
  EXPECT_CONTAINS(error,
                  "reads what cp.async has not delivered: no wait since cp.async.cg.16 in k");
}

TEST_F(SimulatorAsync, WaitForTooFewGroups) {
  EXPECT_CONTAINS(run(replace(kAsync, "wait.group(i32 1)", "wait.group(i32 2)")),
                  "has not delivered");
}

TEST_F(SimulatorAsync, WaitForTheOtherGroup) {
  // The second half is still on its way.
  EXPECT_CONTAINS(run(replace(kAsync, "xor i32 %first, 4", "xor i32 %first, 260")),
                  "has not delivered");
  EXPECT_EQ(run(replace(replace(kAsync, "xor i32 %first, 4", "xor i32 %first, 260"),
                        "wait.group(i32 1)", "wait.group(i32 0)")),
            "no error");
  EXPECT_EQ(out[0], 260.0f);
}

TEST_F(SimulatorAsync, WaitIsOfTheOwnCopiesOnly) {
  EXPECT_CONTAINS(run(replace(kAsync, kBarrier, "")), "kernel 'k': block (0, 0, 0), thread ");
}

TEST_F(SimulatorAsync, OverwritingWhatIsOnItsWay) {
  EXPECT_CONTAINS(run(replace(kAsync, "add i32 %first, 256", "add i32 %first, 0")),
                  "writes what cp.async has not delivered");
}

TEST_F(SimulatorAsync, MisalignedCopies) {
  EXPECT_CONTAINS(
      run(replace(kAsync, "%to = getelementptr float, ptr addrspace(3) @tile, i32 %first",
                  "%to = getelementptr float, ptr addrspace(3) getelementptr (i8, ptr "
                  "addrspace(3) @tile, i32 8), i32 %first")),
      "cp.async.cg.16 in k (#5) is misaligned: byte ");
  EXPECT_CONTAINS(run(replace(kAsync, "mul i32 %tid, 4", "mul i32 %tid, 2")),
                  ", expected a multiple of 16");
}

TEST_F(SimulatorAsync, FewerBytesAreFilledWithZeros) {
  std::string text = replace(kAsync,
                             "call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) "
                             "%to, ptr addrspace(1) %from)",
                             "call void @llvm.nvvm.cp.async.cg.shared.global.16.s(ptr addrspace(3) "
                             "%to, ptr addrspace(1) %from, i32 4)");
  text = "declare void @llvm.nvvm.cp.async.cg.shared.global.16.s(ptr addrspace(3), ptr "
         "addrspace(1), i32)" +
         text;
  EXPECT_EQ(run(text), "no error");
  for (int i = 0; i < 256; ++i)
    EXPECT_EQ(out[i], i % 4 ? 0.0f : float(i ^ 4));
}

TEST(SimulatorPoison, UnwrittenSharedMemoryIsNaN) {
  std::string text = R"(
    @tile = internal addrspace(3) global [33 x float] undef
    define ptx_kernel void @k(ptr %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %mine = getelementptr float, ptr addrspace(3) @tile, i32 %tid
      store float 1.0, ptr addrspace(3) %mine
      call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
      %next = add i32 %tid, 1
      %last = and i32 %next, 31
      %at = getelementptr float, ptr addrspace(3) @tile, i32 %last
      %y = load float, ptr addrspace(3) %at
      %to = getelementptr float, ptr %out, i32 %tid
      store float %y, ptr %to
      ret void
    })";
  for (bool isBroken : {false, true}) {
    auto program = compile(isBroken ? replace(text, "i32 %last\n", "i32 %next\n") : text);
    std::vector<float> out(32);
    auto counts = launch(*program, "k", threads(32), {bufferOf(out)});
    ASSERT_TRUE(static_cast<bool>(counts)) << llvm::toString(counts.takeError());
    EXPECT_EQ(std::isnan(out[31]), isBroken);
    EXPECT_EQ(counts->poisonReads, isBroken ? 1u : 0u);
    EXPECT_EQ(counts->poisonSite, isBroken ? "ld.shared in k (#8)" : "");
    EXPECT_EQ(out[0], 1.0f);
  }
}

/// out[t + shift] = in[t]
std::string copyKernel(const std::string &type, int bytes, int align) {
  return R"(
    define ptx_kernel void @k(ptr addrspace(1) %in, ptr addrspace(1) %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %i = mul i32 %tid, )" +
         std::to_string(bytes) + R"(
      %from = getelementptr i8, ptr addrspace(1) %in, i32 %i
      %x = load )" +
         type + ", ptr addrspace(1) %from, align " + std::to_string(align) + R"(
      %to = getelementptr i8, ptr addrspace(1) %out, i32 %i
      store )" +
         type + " %x, ptr addrspace(1) %to, align " + std::to_string(align) + R"(
      ret void
    })";
}

TEST(SimulatorBounds, GlobalBuffers) {
  auto program = compile(copyKernel("float", 4, 4));
  // The buffers touch: one past the end of `in` is in `out`.
  std::vector<float> all(64);
  auto run = [&](uint32_t n, uint64_t inBytes, uint64_t outBytes) {
    return launchError(*program, "k", threads(n),
                       {{&all[0], inBytes, false, "in"}, {&all[32], outBytes, true, "out"}});
  };
  EXPECT_EQ(run(32, 128, 128), "no error");
  EXPECT_EQ(run(33, 128, 128), "kernel 'k': block (0, 0, 0), thread 32: ld.global in k (#4) is out "
                               "of bounds: bytes 128 to 131 of 'in', which has 128");
  EXPECT_CONTAINS(run(32, 128, 124),
                  "thread 31: st.global in k (#6) is out of bounds: bytes 124 to 127 of 'out', "
                  "which has 124");
}

TEST(SimulatorBounds, WildPointers) {
  auto program = compile(R"(
    define ptx_kernel void @k(ptr %out) {
      %p = load ptr, ptr %out
      store i32 1, ptr %p
      ret void
    })");
  void *out[1] = {reinterpret_cast<void *>(0x12345678)};
  EXPECT_CONTAINS(launchError(*program, "k", threads(1), {bufferOf(out)}),
                  "st in k (#2) is out of bounds: the address is in no buffer");
}

TEST(SimulatorBounds, SharedArrays) {
  std::string text = R"(
    @first = internal addrspace(3) global [32 x float] undef
    @second = internal addrspace(3) global [32 x float] undef
    @rest = external addrspace(3) global [0 x float]
    define ptx_kernel void @k(i32 %i) {
      %at = getelementptr float, ptr addrspace(3) @ARRAY, i32 %i
      store float 1.0, ptr addrspace(3) %at
      store float 1.0, ptr addrspace(3) @second
      store float 1.0, ptr addrspace(3) @rest
      ret void
    })";
  auto run = [&](const std::string &array, int i) {
    auto program = compile(replace(text, "@ARRAY", "@" + array));
    LaunchConfig config = threads(1);
    config.dynamicShared = 64;
    void *args[] = {&i};
    auto counts = program->launch("k", config, args);
    return counts ? "no error" : llvm::toString(counts.takeError());
  };
  EXPECT_EQ(run("first", 31), "no error");
  EXPECT_CONTAINS(run("first", 32), "st.shared in k (#2) is out of bounds: bytes 128 to 131 of "
                                    "'first', which has 128");
  EXPECT_CONTAINS(run("second", -1), "bytes -4 to -1 of 'second'");
  EXPECT_EQ(run("rest", 15), "no error");
  EXPECT_CONTAINS(run("rest", 16), "bytes 64 to 67 of 'rest', which has 64");
}

TEST(SimulatorAlignment, VectorsLieAtTheirMultiples) {
  alignas(16) float in[68] = {}, out[68];
  auto run = [&](const std::string &text, int shift) {
    auto program = compile(text);
    return launchError(
        *program, "k", threads(8),
        {{in + shift, sizeof(in) - 16, true, ""}, {out + shift, sizeof(out) - 16, true, ""}});
  };
  EXPECT_EQ(run(copyKernel("<4 x float>", 16, 16), 0), "no error");
  EXPECT_EQ(run(copyKernel("<4 x float>", 4, 4), 0), "no error") << "no promise, no fault";
  EXPECT_CONTAINS(run(copyKernel("<4 x float>", 8, 16), 0),
                  "ld.global in k (#4) is misaligned: byte ");
  // Where a buffer lies on the host says nothing.
  EXPECT_EQ(run(copyKernel("<4 x float>", 16, 16), 1), "no error");
}

TEST(SimulatorReadOnly, StoresToInputs) {
  auto program = compile(copyKernel("float", 4, 4));
  std::vector<float> in(32), out(32);
  EXPECT_EQ(launchError(*program, "k", threads(32), {bufferOf(in, false), bufferOf(out)}),
            "no error");
  EXPECT_CONTAINS(launchError(*program, "k", threads(32), {bufferOf(in), bufferOf(out, false)}),
                  "st.global in k (#6) writes to 'argument 1', which is read-only");
}

/// Lanes below `n` shuffle.
std::string shuffleKernel(int n) {
  return R"(
    define ptx_kernel void @k(ptr %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %low = icmp slt i32 %tid, )" +
         std::to_string(n) + R"(
      br i1 %low, label %then, label %end
    then:
      %x = call i32 @llvm.nvvm.shfl.sync.bfly.i32(i32 -1, i32 %tid, i32 1, i32 31)
      %to = getelementptr i32, ptr %out, i32 %tid
      store i32 %x, ptr %to
      br label %end
    end:
      ret void
    })";
}

TEST(SimulatorDivergence, CollectivesInBranches) {
  std::vector<int> out(32);
  EXPECT_EQ(launchError(*compile(shuffleKernel(32)), "k", threads(32), {bufferOf(out)}),
            "no error");
  EXPECT_EQ(
      launchError(*compile(shuffleKernel(5)), "k", threads(32), {bufferOf(out)}),
      "kernel 'k': block (0, 0, 0), threads do not meet: thread 0 is at shfl.sync.bfly.i32 in "
      "k (#4), thread 5 has ended");
  // The mask may name the lanes that are there, and must name the lane itself.
  EXPECT_EQ(launchError(*compile(replace(shuffleKernel(8), "i32 -1", "i32 255")), "k", threads(32),
                        {bufferOf(out)}),
            "no error");
  EXPECT_CONTAINS(launchError(*compile(replace(shuffleKernel(8), "i32 -1", "i32 254")), "k",
                              threads(32), {bufferOf(out)}),
                  "thread 0: shfl.sync.bfly.i32 in k (#4) has a mask that leaves the thread out");
  // Half a warp has no lane 31.
  EXPECT_CONTAINS(launchError(*compile(shuffleKernel(32)), "k", threads(16), {bufferOf(out)}),
                  "which needs lane 16, but its warp has 16");
}

TEST(SimulatorDivergence, TwoPlacesOfOneWarp) {
  std::string text = R"(
    define ptx_kernel void @k(ptr %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %low = icmp slt i32 %tid, 16
      br i1 %low, label %a, label %b
    a:
      %x = call i32 @llvm.nvvm.shfl.sync.bfly.i32(i32 65535, i32 %tid, i32 1, i32 31)
      br label %end
    b:
      %y = call i32 @llvm.nvvm.shfl.sync.bfly.i32(i32 -65536, i32 %tid, i32 2, i32 31)
      br label %end
    end:
      %z = phi i32 [%x, %a], [%y, %b]
      %w = call i32 @llvm.nvvm.shfl.sync.bfly.i32(i32 -1, i32 %z, i32 16, i32 31)
      %to = getelementptr i32, ptr %out, i32 %tid
      store i32 %w, ptr %to
      ret void
    })";
  std::vector<int> out(32);
  EXPECT_EQ(launchError(*compile(text), "k", threads(32), {bufferOf(out)}), "no error");
  EXPECT_EQ(out[0], 18);
  EXPECT_EQ(out[16], 1);
  EXPECT_CONTAINS(launchError(*compile(replace(text, "i32 65535", "i32 -1")), "k", threads(32),
                              {bufferOf(out)}),
                  "threads do not meet: thread 0 is at shfl.sync.bfly.i32 in k (#4), thread 16 is "
                  "at shfl.sync.bfly.i32 in k (#9)");
}

/// Threads below `n` go to a barrier.
std::string barrierKernel(int n, const std::string &elsewhere) {
  return R"(
    define ptx_kernel void @k() {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %low = icmp slt i32 %tid, )" +
         std::to_string(n) + R"(
      br i1 %low, label %then, label %else
    then:
      call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
      br label %end
    else:
      )" +
         elsewhere +
         R"(
      br label %end
    end:
      ret void
    })";
}

TEST(SimulatorBarrier, AllThreadsOfTheBlockMeetAtOne) {
  auto run = [&](int n, const std::string &elsewhere) {
    return launchError(*compile(barrierKernel(n, elsewhere)), "k", threads(64), {});
  };
  EXPECT_EQ(run(64, ""), "no error");
  EXPECT_EQ(run(32, ""),
            "kernel 'k': block (0, 0, 0), threads do not meet: thread 0 is at bar.sync "
            "in k (#4), thread 32 has ended");
  EXPECT_CONTAINS(run(16, ""), "thread 16 has ended");
  EXPECT_CONTAINS(run(32, kBarrier), "thread 0 is at bar.sync in k (#4), thread 32 is at bar.sync "
                                     "in k (#6)");
  EXPECT_CONTAINS(run(32, "call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 1)"),
                  "threads do not meet");
}

TEST(SimulatorBarrier, Counts) {
  auto run = [&](const std::string &count) {
    std::string text =
        replace(barrierKernel(32, ""), kBarrier,
                "call void @llvm.nvvm.barrier.cta.sync.aligned.count(i32 1, i32 " + count + ")");
    return launchError(*compile(text), "k", threads(64), {});
  };
  EXPECT_EQ(run("32"), "no error");
  EXPECT_CONTAINS(run("64"), "thread 32 has ended");
  EXPECT_CONTAINS(run("31"), "bar.sync in k (#4) expects 31 threads, which is no multiple of 32");
}

TEST(SimulatorEnd, KernelsThatNeverEnd) {
  auto program = compile(R"(
    define ptx_kernel void @k(ptr %flag) {
      br label %spin
    spin:
      %x = load volatile i32, ptr %flag
      %done = icmp eq i32 %x, 1
      br i1 %done, label %end, label %spin
    end:
      ret void
    })");
  int flag[1] = {0};
  LaunchConfig config = threads(2);
  config.maxSteps = 10000;
  EXPECT_CONTAINS(launchError(*program, "k", config, {bufferOf(flag)}),
                  "branch in k (#4) was still running after 10000 steps: does the kernel end?");
  flag[0] = 1;
  EXPECT_EQ(launchError(*program, "k", config, {bufferOf(flag)}), "no error");
}

TEST(SimulatorEnd, Traps) {
  auto program = compile(R"(
    define ptx_kernel void @k(ptr %flag) {
      %x = load i32, ptr %flag
      %bad = icmp ne i32 %x, 0
      br i1 %bad, label %fail, label %end
    fail:
      call void @llvm.trap()
      unreachable
    end:
      ret void
    })");
  int flag[1] = {0};
  EXPECT_EQ(launchError(*program, "k", threads(1), {bufferOf(flag)}), "no error");
  flag[0] = 1;
  EXPECT_EQ(launchError(*program, "k", threads(1), {bufferOf(flag)}),
            "kernel 'k': block (0, 0, 0), thread 0: a trap in k (#4)");
}

// A launch behind one that failed is whole.
TEST(SimulatorEnd, ProgramsGoOnAfterAnError) {
  auto program = compile(copyKernel("float", 4, 4));
  std::vector<float> in(32, 3.0f), out(32);
  EXPECT_NE(launchError(*program, "k", threads(64), {bufferOf(in), bufferOf(out)}), "no error");
  EXPECT_EQ(launchError(*program, "k", threads(32), {bufferOf(in), bufferOf(out)}), "no error");
  EXPECT_EQ(out[31], 3.0f);
}

TEST(SimulatorErrors, NameTheSourceLocation) {
  auto program = compile(R"(
    define ptx_kernel void @k(ptr %out) !dbg !4 {
      %at = getelementptr i32, ptr %out, i32 1
      store i32 1, ptr %at, !dbg !7
      ret void, !dbg !7
    }
    !llvm.dbg.cu = !{!0}
    !llvm.module.flags = !{!2}
    !0 = distinct !DICompileUnit(language: DW_LANG_C, file: !1, emissionKind: LineTablesOnly)
    !1 = !DIFile(filename: "model.mlir", directory: "/")
    !2 = !{i32 2, !"Debug Info Version", i32 3}
    !4 = distinct !DISubprogram(name: "k", file: !1, line: 1, type: !5, unit: !0)
    !5 = !DISubroutineType(types: !6)
    !6 = !{}
    !7 = !DILocation(line: 17, column: 5, scope: !4)
  )");
  int out[1];
  EXPECT_CONTAINS(launchError(*program, "k", threads(1), {bufferOf(out)}),
                  "thread 0: st in k (model.mlir:17:5) is out of bounds");
}
} // namespace
