// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every rule that the simulator checks: a small kernel that breaks just that rule, and its
// correct twin.
#include "SimulatorKernels.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

using namespace elfatt::sim;

namespace {
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

TEST(SimulatorEnd, DivisionsByZero) {
  for (const char *type : {"i32", "i64"}) {
    std::string text = R"(
      define ptx_kernel void @k(ptr %numbers) {
        %x = load TYPE, ptr %numbers
        %q = udiv TYPE 100, %x
        %r = srem TYPE %q, 7
        store TYPE %r, ptr %numbers
        ret void
      })";
    for (int i = 0; i < 4; ++i)
      text = replace(text, "TYPE", type);
    auto program = compile(text);
    int64_t number[1] = {9};
    EXPECT_EQ(launchError(*program, "k", threads(1), {bufferOf(number)}), "no error");
    EXPECT_EQ(number[0], 4);
    number[0] = 0;
    EXPECT_CONTAINS(launchError(*program, "k", threads(1), {bufferOf(number)}),
                    "thread 0: udiv in k (#2) divides by zero");
  }
}

TEST(SimulatorEnd, QuotientsThatDoNotFit) {
  for (const char *operation : {"sdiv", "srem"})
    for (const char *type : {"i8", "i32", "i64"}) {
      std::string text = R"(
      define ptx_kernel void @k(ptr %numbers) {
        %x = load TYPE, ptr %numbers
        %at = getelementptr TYPE, ptr %numbers, i32 1
        %y = load TYPE, ptr %at
        %q = OPERATION TYPE %x, %y
        store TYPE %q, ptr %numbers
        ret void
      })";
      text = replace(text, "OPERATION", operation);
      for (int i = 0; i < 5; ++i)
        text = replace(text, "TYPE", type);
      auto program = compile(text);
      int64_t numbers[2] = {0, -1};
      int64_t bytes = std::atoi(type + 1) / 8;
      auto put = [&](int64_t x, int64_t y) {
        std::memcpy(numbers, &x, bytes);
        std::memcpy(reinterpret_cast<char *>(numbers) + bytes, &y, bytes);
      };
      int64_t lowest = -(int64_t(1) << (8 * bytes - 2)) * 2;
      put(lowest, -1);
      EXPECT_CONTAINS(launchError(*program, "k", threads(1), {bufferOf(numbers)}),
                      std::string("thread 0: ") + operation +
                          " in k (#4) divides the lowest number by -1");
      put(lowest, 1);
      EXPECT_EQ(launchError(*program, "k", threads(1), {bufferOf(numbers)}), "no error");
      put(lowest + 1, -1);
      EXPECT_EQ(launchError(*program, "k", threads(1), {bufferOf(numbers)}), "no error");
    }
}

TEST(SimulatorEnd, QuotientsOfVectorsAndByConstants) {
  std::string text = R"(
    define ptx_kernel void @k(ptr %numbers) {
      %x = load <2 x i32>, ptr %numbers
      %q = sdiv <2 x i32> <i32 -2147483648, i32 100>, %x
      %first = extractelement <2 x i32> %q, i32 0
      %r = sdiv i32 %first, -1
      store i32 %r, ptr %numbers
      ret void
    })";
  auto program = compile(text);
  int32_t numbers[2] = {-1, 1};
  auto run = [&](int32_t x, int32_t y) {
    numbers[0] = x;
    numbers[1] = y;
    return launchError(*program, "k", threads(1), {bufferOf(numbers)});
  };
  EXPECT_EQ(run(2, 1), "no error");
  EXPECT_EQ(numbers[0], 1 << 30);
  EXPECT_CONTAINS(run(-1, 1), "sdiv in k (#2) divides the lowest number by -1");
  EXPECT_CONTAINS(run(2, 0), "sdiv in k (#2) divides by zero");
  EXPECT_CONTAINS(run(1, 1), "sdiv in k (#4) divides the lowest number by -1");
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
