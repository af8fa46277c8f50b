// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the simulator counts, against values worked out by hand.
#include "SimulatorKernels.h"

#include "../../lib/Simulator/Cache.h"
#include "../../lib/Simulator/Sample.h"
#include "elfatt/Target/Instructions.h"

#include "llvm/ADT/STLExtras.h"

#include <numeric>

using namespace elfatt::sim;

namespace {
LaunchConfig makeConfig(uint32_t grid, uint32_t block, const char *chip = nullptr) {
  LaunchConfig config;
  config.grid = {grid};
  config.block = {block};
  config.chip = chip ? &getChip(chip) : nullptr;
  return config;
}

LaunchCounts count(Program &program, const LaunchConfig &config, std::vector<Buffer> buffers) {
  auto counts = launch(program, "k", config, std::move(buffers));
  if (counts)
    return *counts;
  ADD_FAILURE() << llvm::toString(counts.takeError());
  return {};
}

/// out[tid] = type at in + tid * stride + shift, bytes.
std::unique_ptr<Program> strided(const std::string &type, int stride, int shift, int align) {
  return compile(R"(
    define ptx_kernel void @k(ptr addrspace(1) %in, ptr addrspace(1) %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %a = mul i32 %tid, )" +
                 std::to_string(stride) + "\n%b = add i32 %a, " + std::to_string(shift) + R"(
      %from = getelementptr i8, ptr addrspace(1) %in, i32 %b
      %x = load )" +
                 type + ", ptr addrspace(1) %from, align " + std::to_string(align) + R"(
      %to = getelementptr )" +
                 type + R"(, ptr addrspace(1) %out, i32 %tid
      store )" + type +
                 R"( %x, ptr addrspace(1) %to
      ret void
    })");
}

// CUDA C++ Programming Guide, "Global Memory": a warp touches as many sectors of 32 bytes as it
// needs.
TEST(SimulatorSectors, CoalescedStridedMisaligned) {
  alignas(256) static char in[8192], out[512];
  struct Case {
    const char *type;
    int stride, shift, align;
    uint64_t read, used;
  };
  for (const Case &c : {Case{"float", 4, 0, 4, 128, 128}, Case{"float", 4, 4, 4, 160, 128},
                        Case{"float", 128, 0, 4, 1024, 128}, Case{"float", 0, 0, 4, 32, 4},
                        Case{"half", 2, 0, 2, 64, 64}, Case{"<4 x float>", 16, 0, 16, 512, 512},
                        // Not aligned: four instructions, each touches all sectors.
                        Case{"<4 x float>", 16, 0, 4, 2048, 512}}) {
    LaunchCounts counts = count(*strided(c.type, c.stride, c.shift, c.align), makeConfig(1, 32),
                                {bufferOf(in), bufferOf(out)});
    EXPECT_EQ(counts.globalRead, c.read) << c.type << " by " << c.stride;
    uint64_t size = std::string(c.type) == "half" ? 64 : c.type[0] == '<' ? 512 : 128;
    EXPECT_EQ(counts.globalWritten, size);
    EXPECT_EQ(counts.globalUsed, c.used + size);
  }
}

// Where the host has a buffer makes no difference.
TEST(SimulatorSectors, BuffersAreAlignedAsOnADevice) {
  alignas(256) static char in[512], out[512];
  for (int shift : {0, 4, 20})
    EXPECT_EQ(count(*strided("float", 4, 0, 4), makeConfig(1, 32),
                    {{in + shift, 128, false, "in"}, bufferOf(out)})
                  .globalRead,
              128u);
}

TEST(SimulatorSectors, LanesMeetAgainBehindABranch) {
  // Half of the warp reads in one branch; all write together.
  auto program = compile(R"(
    define ptx_kernel void @k(ptr %in, ptr %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %from = getelementptr float, ptr %in, i32 %tid
      %to = getelementptr float, ptr %out, i32 %tid
      %low = icmp ult i32 %tid, 16
      br i1 %low, label %then, label %else
    then:
      %x = load float, ptr %from
      br label %end
    else:
      br label %end
    end:
      %y = phi float [%x, %then], [0.0, %else]
      store float %y, ptr %to
      ret void
    })");
  std::vector<float> in(32), out(32);
  LaunchCounts counts = count(*program, makeConfig(1, 32), {bufferOf(in), bufferOf(out)});
  EXPECT_EQ(counts.globalRead, 64u);
  EXPECT_EQ(counts.globalWritten, 128u);
  EXPECT_EQ(counts.divergence, 1u);
}

TEST(SimulatorSectors, LoopsOfDifferentLengths) {
  // Lane t reads t + 1 elements of its own row, one sector each.
  auto program = compile(R"(
    define ptx_kernel void @k(ptr %in) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      br label %loop
    loop:
      %i = phi i32 [0, %0], [%next, %loop]
      %a = mul i32 %i, 256
      %b = add i32 %a, %tid
      %from = getelementptr i32, ptr %in, i32 %b
      %x = load volatile i32, ptr %from
      %next = add i32 %i, 1
      %more = icmp ule i32 %next, %tid
      br i1 %more, label %loop, label %end
    end:
      ret void
    })");
  std::vector<int> in(32 * 256);
  LaunchCounts counts = count(*program, makeConfig(1, 32), {bufferOf(in)});
  // In step i the lanes i..31: (32 - i) words, in whole sectors of 8.
  uint64_t expected = 0;
  for (int i = 0; i < 32; ++i)
    expected += (32 - i / 8 * 8) / 8 * 32;
  EXPECT_EQ(counts.globalRead, expected);
  EXPECT_EQ(counts.globalUsed, 4u * 32 * 33 / 2);
  EXPECT_EQ(counts.divergence, 31u);
}

// Logs hold a thousand events of a lane: long loops are counted on the way.
TEST(SimulatorSectors, LongLoops) {
  auto program = compile(R"(
    define ptx_kernel void @k(ptr %in) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %from = getelementptr i32, ptr %in, i32 %tid
      br label %loop
    loop:
      %i = phi i32 [0, %0], [%next, %loop]
      %x = load volatile i32, ptr %from
      %next = add i32 %i, 1
      %more = icmp ult i32 %next, 5000
      br i1 %more, label %loop, label %end
    end:
      ret void
    })");
  std::vector<int> in(64);
  LaunchCounts counts = count(*program, makeConfig(1, 64), {bufferOf(in)});
  EXPECT_EQ(counts.globalRead, 5000u * 256);
  EXPECT_EQ(counts.divergence, 0u);
  // Load, add, compare and branch; before them the thread's number and address, and a branch.
  EXPECT_EQ(counts.issueSlots, 2u * (5000 * 4 + 3));
}

/// Stores, a barrier, loads: `type` at tid * stride + (tid / period) * extra, in bytes.
LaunchCounts countShared(const std::string &type, int stride, int period = 1, int extra = 0) {
  auto program = compile(R"(
    @tile = internal addrspace(3) global [12288 x float] undef, align 128
    define ptx_kernel void @k() {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %a = mul i32 %tid, )" +
                         std::to_string(stride) + "\n%p = udiv i32 %tid, " +
                         std::to_string(period) + "\n%q = mul i32 %p, " + std::to_string(extra) +
                         R"(
      %b = add i32 %a, %q
      %at = getelementptr i8, ptr addrspace(3) @tile, i32 %b
      %x = load volatile )" +
                         type + R"(, ptr addrspace(3) %at
      ret void
    })");
  return count(*program, makeConfig(1, 32), {});
}

// CUDA C++ Programming Guide, "Shared Memory": 32 banks of four bytes.
TEST(SimulatorBanks, Conflicts) {
  auto conflicts = [](auto... args) { return countShared(args...).bankConflicts; };
  EXPECT_EQ(conflicts("float", 4), 0u);
  EXPECT_EQ(conflicts("float", 8), 1u);
  EXPECT_EQ(conflicts("float", 12), 0u) << "odd strides";
  EXPECT_EQ(conflicts("float", 128), 31u);
  EXPECT_EQ(conflicts("float", 132), 0u);
  EXPECT_EQ(conflicts("float", 0), 0u) << "all read one word";
  EXPECT_EQ(conflicts("half", 2), 0u) << "two read each word";
  EXPECT_EQ(conflicts("<2 x float>", 8), 0u) << "halves of the warp, one after the other";
  EXPECT_EQ(conflicts("<4 x float>", 16), 0u) << "quarters";
  EXPECT_EQ(conflicts("<4 x float>", 32), 4u) << "two clocks for each quarter";
  EXPECT_EQ(conflicts("<4 x float>", 128), 28u);
  EXPECT_EQ(countShared("<4 x float>", 16).sharedWavefronts, 4u);
  EXPECT_EQ(countShared("float", 128).sharedWavefronts, 32u);
}

/// ldmatrix.x4 of rows of 64 bytes; with `swizzles`, chunk ^= (row >> 1) & 3.
LaunchCounts countMatrix(int stride, bool swizzles) {
  auto program = compile(R"(
    @tile = internal addrspace(3) global [4096 x i32] undef, align 128
    declare {i32, i32, i32, i32} @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3))
    define ptx_kernel void @k() {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %row = and i32 %tid, 15
      %half = lshr i32 %tid, 4
      %a = lshr i32 %row, 1
      %b = and i32 %a, 3
      %c = xor i32 %half, %b
      %chunk = select i1 )" +
                         std::string(swizzles ? "true" : "false") + R"(, i32 %c, i32 %half
      %d = mul i32 %row, )" +
                         std::to_string(stride) + R"(
      %e = mul i32 %chunk, 16
      %f = add i32 %d, %e
      %at = getelementptr i8, ptr addrspace(3) @tile, i32 %f
      %x = call {i32, i32, i32, i32} @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3) %at)
      ret void
    })");
  return count(*program, makeConfig(1, 32), {});
}

TEST(SimulatorBanks, Matrices) {
  EXPECT_EQ(countMatrix(16, false).bankConflicts, 0u);
  // Rows of 64 bytes: every second row lies in the same banks.
  EXPECT_EQ(countMatrix(64, false).bankConflicts, 4u * 3);
  EXPECT_EQ(countMatrix(64, true).bankConflicts, 0u);
  EXPECT_EQ(countMatrix(128, false).bankConflicts, 4u * 7);
  EXPECT_EQ(countMatrix(144, false).bankConflicts, 0u) << "padded";
  EXPECT_EQ(countMatrix(64, true).sharedWavefronts, 4u);
}

TEST(SimulatorBanks, AtomicsOnOneWordTakeTurns) {
  auto program = compile(R"(
    @cell = internal addrspace(3) global i32 undef
    define ptx_kernel void @k() {
      %x = atomicrmw add ptr addrspace(3) @cell, i32 1 monotonic
      ret void
    })");
  EXPECT_EQ(count(*program, makeConfig(1, 32), {}).bankConflicts, 31u);
}

TEST(SimulatorCounts, AsyncCopiesReadAndStore) {
  auto program = compile(R"(
    @tile = internal addrspace(3) global [128 x float] undef, align 128
    define ptx_kernel void @k(ptr addrspace(1) %in) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %i = mul i32 %tid, 4
      %from = getelementptr float, ptr addrspace(1) %in, i32 %i
      %to = getelementptr float, ptr addrspace(3) @tile, i32 %i
      call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) %to, ptr addrspace(1) %from)
      call void @llvm.nvvm.cp.async.commit.group()
      call void @llvm.nvvm.cp.async.wait.group(i32 0)
      ret void
    })");
  alignas(16) float in[128];
  LaunchCounts counts = count(*program, makeConfig(1, 32), {bufferOf(in, false)});
  EXPECT_EQ(counts.globalRead, 512u);
  EXPECT_EQ(counts.globalUsed, 512u);
  EXPECT_EQ(counts.globalWritten, 0u);
  EXPECT_EQ(counts.sharedWavefronts, 4u);
  EXPECT_EQ(counts.bankConflicts, 0u);
}

TEST(SimulatorCache, KeepsWhatFits) {
  Cache cache(64 * 1024);
  for (int pass = 0; pass < 3; ++pass)
    for (uint64_t sector = 0; sector < 1024; ++sector)
      cache.access({sector, /*isWrite=*/false, /*evictsFirst=*/false});
  EXPECT_EQ(cache.getSectorsRead(), 1024u);
  EXPECT_EQ(cache.getSectorsWritten(), 0u);
}

TEST(SimulatorCache, LosesWhatDoesNotFit) {
  Cache cache(64 * 1024);
  for (int pass = 0; pass < 3; ++pass)
    for (uint64_t sector = 0; sector < 16 * 2048; ++sector)
      cache.access({sector, /*isWrite=*/false, /*evictsFirst=*/false});
  EXPECT_EQ(cache.getSectorsRead(), 3u * 16 * 2048);
}

TEST(SimulatorCache, WritesBackOnceAndReadsNotBefore) {
  Cache cache(64 * 1024);
  for (int i = 0; i < 5; ++i)
    cache.access({7, /*isWrite=*/true, /*evictsFirst=*/false});
  cache.access({7, /*isWrite=*/false, /*evictsFirst=*/false});
  EXPECT_EQ(cache.getSectorsRead(), 0u);
  EXPECT_EQ(cache.getSectorsWritten(), 0u);
  cache.flush();
  cache.flush();
  EXPECT_EQ(cache.getSectorsWritten(), 1u);
}

TEST(SimulatorCache, KeepsWhatOthersPassBy) {
  // 32 KiB that are read again, and as much as 2 MiB that is not in between.
  for (bool evictsFirst : {false, true}) {
    Cache cache(64 * 1024);
    for (int pass = 0; pass < 2; ++pass) {
      for (uint64_t sector = 0; sector < 1024; ++sector)
        cache.access({sector, /*isWrite=*/false, /*evictsFirst=*/false});
      for (uint64_t sector = 0; sector < 64 * 1024; ++sector)
        cache.access({(1 << 20) + sector, /*isWrite=*/true, evictsFirst});
    }
    uint64_t reads = cache.getSectorsRead();
    if (evictsFirst)
      EXPECT_LT(reads, 1024u + 64);
    else
      EXPECT_EQ(reads, 2048u);
  }
}

TEST(SimulatorCache, TheLastAccessSaysWhatGoesFirst) {
  // One set: sixteen lines that stay, of which one is read for the last time.
  Cache cache(2 * 1024);
  for (uint64_t line = 0; line < 16; ++line)
    cache.access({4 * line, /*isWrite=*/false, /*evictsFirst=*/false});
  cache.access({4 * 15, /*isWrite=*/false, /*evictsFirst=*/true});
  cache.access({4 * 16, /*isWrite=*/false, /*evictsFirst=*/false});
  EXPECT_EQ(cache.getSectorsRead(), 17u);
  cache.access({0, /*isWrite=*/false, /*evictsFirst=*/false});
  EXPECT_EQ(cache.getSectorsRead(), 17u);
  cache.access({4 * 15, /*isWrite=*/false, /*evictsFirst=*/false});
  EXPECT_EQ(cache.getSectorsRead(), 18u);
}

TEST(SimulatorCache, BlocksTakeTurns) {
  // Four blocks read 32 KiB of their own twice; the cache holds 64 KiB.
  for (size_t resident : {1, 4}) {
    Cache cache(64 * 1024);
    Interleaver interleaver(cache, resident);
    for (uint64_t block = 0; block < 4; ++block) {
      Trace trace;
      for (int pass = 0; pass < 2; ++pass)
        for (uint64_t i = 0; i < 1024; ++i)
          trace.push_back({block * 1024 + i, /*isWrite=*/false, /*evictsFirst=*/false});
      interleaver.add(trace);
    }
    interleaver.finish();
    // Alone each finds its own again; together nobody does.
    EXPECT_EQ(cache.getSectorsRead(), resident == 1 ? 4096u : 8192u);
  }
}

/// Each lane of a block copies 16 bytes to shared memory and stores them, in words of PTX.
std::unique_ptr<Program> passBy() {
  auto quote = [](llvm::StringRef text) { return "\"" + text.str() + "\""; };
  return compile(R"(
    @s = internal addrspace(3) global [512 x i8] undef, align 16
    define ptx_kernel void @k(ptr %in, ptr %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %from = getelementptr <4 x i32>, ptr %in, i32 %tid
      %from.1 = addrspacecast ptr %from to ptr addrspace(1)
      %own = getelementptr <4 x i32>, ptr addrspace(3) @s, i32 %tid
      call void asm sideeffect )" +
                 quote(elfatt::target::kCopyEvictFirst) + R"(, "l,l"(ptr addrspace(3) %own,
        ptr addrspace(1) %from.1)
      call void @llvm.nvvm.cp.async.wait.all()
      %v = load <4 x i32>, ptr addrspace(3) %own, align 16
      %a = extractelement <4 x i32> %v, i32 0
      %b = extractelement <4 x i32> %v, i32 1
      %c = extractelement <4 x i32> %v, i32 2
      %d = extractelement <4 x i32> %v, i32 3
      %to = getelementptr <4 x i32>, ptr %out, i32 %tid
      %to.1 = addrspacecast ptr %to to ptr addrspace(1)
      call void asm sideeffect )" +
                 quote(elfatt::target::kStoreEvictFirst) + R"(, "l,r,r,r,r"(ptr addrspace(1) %to.1,
        i32 %a, i32 %b, i32 %c, i32 %d)
      ret void
    })");
}

TEST(SimulatorCache, PoliciesInAssemblyAreCopiesAndStores) {
  auto program = passBy();
  alignas(16) int in[128], out[128] = {};
  std::iota(std::begin(in), std::end(in), 1);
  LaunchCounts counts = count(*program, makeConfig(1, 32), {bufferOf(in, false), bufferOf(out)});
  EXPECT_TRUE(std::equal(std::begin(in), std::end(in), out));
  EXPECT_EQ(counts.globalRead, 512u);
  EXPECT_EQ(counts.globalWritten, 512u);
  EXPECT_EQ(counts.globalUsed, 1024u);
  EXPECT_EQ(counts.bankConflicts, 0u);
}

/// Every block reads `bytes` of its own (or all the same) twice.
std::unique_ptr<Program> twice(int bytes, bool isShared) {
  return compile(R"(
    define ptx_kernel void @k(ptr %in) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %block = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
      %own = mul i32 %block, )" +
                 std::to_string(isShared ? 0 : bytes) + R"(
      br label %loop
    loop:
      %i = phi i32 [0, %0], [%next, %loop]
      %a = mul i32 %i, 128
      %part = urem i32 %a, )" +
                 std::to_string(bytes) + R"(
      %b = mul i32 %tid, 4
      %c = add i32 %part, %b
      %d = add i32 %c, %own
      %from = getelementptr i8, ptr %in, i32 %d
      %x = load volatile i32, ptr %from
      %next = add i32 %i, 1
      %more = icmp ult i32 %next, )" +
                 std::to_string(2 * bytes / 128) + R"(
      br i1 %more, label %loop, label %end
    end:
      ret void
    })");
}

// The Nano's L2 has 256 KiB, and its one SM holds 32 blocks at once.
TEST(SimulatorDram, BehindTheL2WithResidentBlocks) {
  std::vector<char> in(64 * 16384);
  LaunchCounts own = count(*twice(16384, false), makeConfig(64, 32, "sm_53"), {bufferOf(in)});
  EXPECT_EQ(own.blocksPerSM, 32);
  EXPECT_EQ(own.globalRead, 2u * 64 * 16384);
  EXPECT_EQ(own.dramRead, own.globalRead) << "32 blocks x 16 KiB do not fit";
  LaunchCounts small = count(*twice(4096, false), makeConfig(64, 32, "sm_53"), {bufferOf(in)});
  EXPECT_EQ(small.globalRead, 2u * 64 * 4096);
  EXPECT_EQ(small.dramRead, 64u * 4096) << "32 blocks x 4 KiB fit";
  LaunchCounts same = count(*twice(16384, true), makeConfig(64, 32, "sm_53"), {bufferOf(in)});
  EXPECT_EQ(same.dramRead, 16384u);
  LaunchCounts orin = count(*twice(16384, false), makeConfig(64, 32, "sm_87"), {bufferOf(in)});
  EXPECT_EQ(orin.dramRead, 64u * 16384) << "4 MiB hold it all";
}

TEST(SimulatorCache, ALaunchFindsWhatTheOneBeforeLeft) {
  std::vector<char> in(64 * 4096);
  auto program = twice(4096, false);
  elfatt::sim::L2 l2;
  LaunchConfig config = makeConfig(64, 32, "sm_87");
  config.l2 = &l2;
  EXPECT_EQ(count(*program, config, {bufferOf(in)}).dramRead, 64u * 4096);
  EXPECT_EQ(count(*program, config, {bufferOf(in)}).dramRead, 0u);
  // Other memory lies elsewhere.
  std::vector<char> other(64 * 4096);
  EXPECT_EQ(count(*program, config, {bufferOf(other)}).dramRead, 64u * 4096);
  // Blocks that did not run would have replaced it.
  std::vector<char> many(4000 * 4096);
  config.grid.x = 4000;
  config.sampleBlocks = true;
  count(*program, config, {bufferOf(many)});
  config.grid.x = 64;
  config.sampleBlocks = false;
  EXPECT_EQ(count(*program, config, {bufferOf(in)}).dramRead, 64u * 4096);
}

TEST(SimulatorSample, OneWaveAndTheRest) {
  std::vector<char> in(1000 * 4096);
  LaunchConfig config = makeConfig(1000, 32, "sm_53");
  LaunchCounts all = count(*twice(4096, false), config, {bufferOf(in)});
  config.sampleBlocks = true;
  LaunchCounts sample = count(*twice(4096, false), config, {bufferOf(in)});
  EXPECT_EQ(sample.blocks, 1000u);
  EXPECT_EQ(sample.globalRead, all.globalRead);
  EXPECT_EQ(sample.issueSlots, all.issueSlots);
  EXPECT_NEAR(double(sample.dramRead), double(all.dramRead), 0.05 * all.dramRead);
}

/// Paths of blocks by where each kind of them begins.
std::vector<Part> sample(uint64_t blocks, uint64_t wave, std::vector<uint64_t> begins) {
  auto findPath = [&](uint64_t block) -> llvm::Expected<llvm::BitVector> {
    size_t kind = llvm::upper_bound(begins, block) - begins.begin();
    llvm::BitVector path(100);
    // All share a beginning and an end; every third block is at a border.
    path.set(0, 3);
    path.set(10 * kind, 10 * kind + 10 - (block % 3 == 0));
    return path;
  };
  return llvm::cantFail(sampleBlocks(blocks, wave, findPath));
}

TEST(SimulatorSample, EachKindOfBlocksHasItsWave) {
  using Parts = std::vector<Part>;
  EXPECT_EQ(sample(19, 10, {}), (Parts{{0, 19, 1}}));
  EXPECT_EQ(sample(100, 10, {}), (Parts{{0, 10, 10}}));
  EXPECT_EQ(sample(104, 10, {}), (Parts{{0, 10, 10}, {100, 104, 1}}));
  EXPECT_EQ(sample(105, 10, {3}), (Parts{{0, 3, 1}, {3, 13, 10}, {103, 105, 1}}));
  EXPECT_EQ(sample(1000, 10, {40, 999}),
            (Parts{{0, 10, 4}, {40, 50, 95}, {990, 999, 1}, {999, 1000, 1}}));
}

TEST(SimulatorSample, PartsOfAMergedLaunch) {
  auto program = compile(R"(
    define ptx_kernel void @k(ptr %in) {
      %block = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
      %first = icmp ult i32 %block, 7
      br i1 %first, label %many, label %one
    many:
      %i = phi i32 [0, %0], [%next, %many]
      %from = getelementptr i32, ptr %in, i32 %i
      %x = load volatile i32, ptr %from
      %next = add i32 %i, 1
      %more = icmp ult i32 %next, 50
      br i1 %more, label %many, label %end
    one:
      %y = load volatile i32, ptr %in
      br label %end
    end:
      ret void
    })");
  std::vector<char> in(4096);
  LaunchConfig config = makeConfig(300, 32, "sm_53");
  LaunchCounts all = count(*program, config, {bufferOf(in)});
  config.sampleBlocks = true;
  LaunchCounts sample = count(*program, config, {bufferOf(in)});
  EXPECT_EQ(sample.blocks, all.blocks);
  EXPECT_EQ(sample.globalRead, all.globalRead);
  EXPECT_EQ(sample.issueSlots, all.issueSlots);
}

// Orin: 16 SMs at 1.3 GHz, 204.8 GB/s of which a copy reaches 0.85.
TEST(SimulatorPrediction, LargestTermDecides) {
  const elfatt::target::Chip &orin = getChip("sm_87");
  LaunchCounts counts;
  counts.blocks = 16;
  counts.dramRead = 20'000'000;
  counts.dramWritten = 10'000'000;
  Prediction bytes = predict(orin, counts);
  EXPECT_NEAR(bytes.us, 30e6 / (204.8e9 * 0.85) * 1e6, 1e-9);
  EXPECT_EQ(bytes.limitedBy, "bytes");
  counts.tensorOps[0] = 100'000'000'000;
  Prediction tensor = predict(orin, counts);
  EXPECT_NEAR(tensor.us, 100e9 / (2048.0 * 16 * 1.3e9) * 1e6, 1e-6);
  EXPECT_EQ(tensor.limitedBy, "tensor");
  counts.exp2 = 2'000'000'000;
  Prediction exp2 = predict(orin, counts);
  EXPECT_NEAR(exp2.us, 2e9 / (16.0 * 16 * 1.3e9) * 1e6, 1e-6);
  EXPECT_EQ(exp2.limitedBy, "ex2");
  counts.issueSlots = 1'000'000'000;
  Prediction issue = predict(orin, counts);
  EXPECT_NEAR(issue.us, 1e9 / (4.0 * 16 * 1.3e9) * 1e6, 1e-6);
  EXPECT_EQ(issue.limitedBy, "issue");
  // One block more: one SM has two, which lasts twice as long.
  counts.blocks = 17;
  EXPECT_NEAR(predict(orin, counts).us, issue.us * 32 / 17, 1e-6);
}

// Issue 7's figures: 56x56 tokens of 64 channels, batch 32, at 16 bits cross the memory of an
// Orin once in 295 us, of an H100 in 17.1.
TEST(SimulatorPrediction, AgreesWithTheFloors) {
  LaunchCounts counts;
  counts.blocks = 132 * 16;
  counts.dramRead = uint64_t(3) * 2 * 32 * 3136 * 64;
  counts.dramWritten = uint64_t(2) * 32 * 3136 * 64;
  EXPECT_NEAR(predict(getChip("sm_87"), counts).us, 295, 1);
  EXPECT_NEAR(predict(getChip("sm_90"), counts).us, 17.1, 0.1);
}
} // namespace
