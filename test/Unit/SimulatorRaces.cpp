// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Races in shared memory and copies that are not waited for: kernels that break one rule, and
// their correct twins.
#include "SimulatorKernels.h"

using namespace elfatt::sim;

namespace {
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

// Who writes the same as others does not race with them; who writes something else does.
TEST(SimulatorRace, WritesOfTheSameValue) {
  std::string text = R"(
    @cell = internal addrspace(3) global i32 undef
    define ptx_kernel void @k(ptr %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      store i32 7, ptr addrspace(3) @cell
      call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
      %x = load i32, ptr addrspace(3) @cell
      %to = getelementptr i32, ptr %out, i32 %tid
      store i32 %x, ptr %to
      ret void
    })";
  std::vector<int> out(64);
  EXPECT_EQ(launchError(*compile(text), "k", threads(64), {bufferOf(out)}), "no error");
  EXPECT_EQ(out[63], 7);
  EXPECT_CONTAINS(launchError(*compile(replace(text, "store i32 7", "store i32 %tid")), "k",
                              threads(64), {bufferOf(out)}),
                  "a race");
}

// Behind a shuffle the lanes have what they read before it; what they wrote others may not see.
TEST(SimulatorRace, CollectivesEndReadsAndPublishNothing) {
  std::string reads = R"(
    @tile = internal addrspace(3) global [64 x i32] undef
    define ptx_kernel void @k(ptr %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %mine = getelementptr i32, ptr addrspace(3) @tile, i32 %tid
      store i32 %tid, ptr addrspace(3) %mine
      call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
      %other = xor i32 %tid, 1
      %theirs = getelementptr i32, ptr addrspace(3) @tile, i32 %other
      %x = load i32, ptr addrspace(3) %theirs
      %y = call i32 @llvm.nvvm.shfl.sync.bfly.i32(i32 -1, i32 %x, i32 1, i32 31)
      store i32 -1, ptr addrspace(3) %mine
      %to = getelementptr i32, ptr %out, i32 %tid
      store i32 %y, ptr %to
      ret void
    })";
  std::vector<int> out(64);
  EXPECT_EQ(launchError(*compile(reads), "k", threads(64), {bufferOf(out)}), "no error");
  EXPECT_EQ(out[5], 5);
  EXPECT_CONTAINS(launchError(*compile(replace(reads, "xor i32 %tid, 1", "xor i32 %tid, 32")), "k",
                              threads(64), {bufferOf(out)}),
                  "a race")
      << "of another warp";
  std::string writes =
      replace(reads, kBarrier,
              "%z = call i32 @llvm.nvvm.shfl.sync.bfly.i32(i32 -1, i32 %tid, i32 1, i32 31)");
  EXPECT_CONTAINS(launchError(*compile(writes), "k", threads(64), {bufferOf(out)}), "a race");
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

TEST_F(SimulatorAsync, AllSizesAndBothWaits) {
  for (auto [kind, bytes] : {std::pair("ca", 4), {"ca", 8}, {"ca", 16}, {"cg", 16}})
    for (const char *wait : {"call void @llvm.nvvm.cp.async.wait.all()",
                             "call void @llvm.nvvm.cp.async.commit.group()\n"
                             "call void @llvm.nvvm.cp.async.wait.group(i32 0)"}) {
      std::string size = std::to_string(bytes);
      std::string copy = std::string("@llvm.nvvm.cp.async.") + kind + ".shared.global." + size;
      std::string text = (std::string(kind) == "cg"
                              ? ""
                              : "declare void " + copy + "(ptr addrspace(3), ptr addrspace(1))\n") +
                         R"(
        declare void @llvm.nvvm.cp.async.wait.all()
        @tile = internal addrspace(3) global [256 x float] undef, align 16
        define ptx_kernel void @k(ptr addrspace(1) %in, ptr %out) {
          %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
          %i = mul i32 %tid, )" +
                         size + R"(
          %from = getelementptr i8, ptr addrspace(1) %in, i32 %i
          %to = getelementptr i8, ptr addrspace(3) @tile, i32 %i
          call void )" + copy +
                         R"((ptr addrspace(3) %to, ptr addrspace(1) %from)
          )" + wait + R"(
          %x = load i8, ptr addrspace(3) %to
          %result = getelementptr i8, ptr %out, i32 %i
          %last = getelementptr i8, ptr addrspace(3) %to, i32 )" +
                         std::to_string(bytes - 1) + R"(
          %y = load i8, ptr addrspace(3) %last
          %result2 = getelementptr i8, ptr %result, i32 1
          store i8 %x, ptr %result
          store i8 %y, ptr %result2
          ret void
        })";
      EXPECT_EQ(run(text), "no error") << copy;
      auto *bytesIn = reinterpret_cast<const char *>(in),
           *bytesOut = reinterpret_cast<const char *>(out);
      for (int t = 0; t < 64; ++t) {
        EXPECT_EQ(bytesOut[t * bytes], bytesIn[t * bytes]) << copy;
        EXPECT_EQ(bytesOut[t * bytes + 1], bytesIn[t * bytes + bytes - 1]) << copy;
      }
    }
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
} // namespace
