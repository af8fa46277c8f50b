// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the runtime is made of, behind its C API.
#include "../../lib/Runtime/Cuda.h"
#include "../../lib/Runtime/Error.h"
#include "../../lib/Runtime/Manifest.h"
#include "../../lib/Runtime/Processor.h"
#include "../../lib/Runtime/Sha256.h"

#include "gtest/gtest.h"

using namespace elfatt::runtime;

namespace {

// Of FIPS 180-4's examples.
TEST(RuntimeSha256, KnowsTheExamples) {
  EXPECT_EQ(sha256("", 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc", 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  std::string two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  EXPECT_EQ(sha256(two.data(), two.size()),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  std::string million(1000000, 'a');
  EXPECT_EQ(sha256(million.data(), million.size()),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(RuntimeProcessor, LevelsFollowTheFeatures) {
  CpuId v4{0xffffffff, 0xffffffff, 0, 0xffffffff, 0xe7};
  EXPECT_EQ(getX86Level(v4), 4);
  EXPECT_FALSE(dotsBF16(v4));
  CpuId withBF16 = v4;
  withBF16.leaf71a = 1u << 5;
  EXPECT_EQ(getX86Level(withBF16), 4);
  EXPECT_TRUE(dotsBF16(withBF16));
  withBF16.enabledByKernel = 0x7;
  EXPECT_FALSE(dotsBF16(withBF16));
  CpuId noAvx512 = v4;
  noAvx512.leaf7b &= ~(1u << 16);
  EXPECT_EQ(getX86Level(noAvx512), 3);
  // A kernel that does not keep the wide registers takes the level away.
  CpuId noZmm = v4;
  noZmm.enabledByKernel = 0x7;
  EXPECT_EQ(getX86Level(noZmm), 3);
  CpuId noYmm = v4;
  noYmm.enabledByKernel = 0x3;
  EXPECT_EQ(getX86Level(noYmm), 2);
  CpuId noFma = v4;
  noFma.leaf1c &= ~(1u << 12);
  EXPECT_EQ(getX86Level(noFma), 2);
  EXPECT_EQ(getX86Level({}), 1);
}

TEST(RuntimeProcessor, QuotasAreCoresRoundedUp) {
  EXPECT_EQ(parseQuota("max 100000"), 0);
  EXPECT_EQ(parseQuota("-1 100000"), 0);
  EXPECT_EQ(parseQuota(""), 0);
  EXPECT_EQ(parseQuota("100000"), 0);
  EXPECT_EQ(parseQuota("200000 100000"), 2);
  EXPECT_EQ(parseQuota("250000 100000"), 3);
  EXPECT_EQ(parseQuota("10000 100000"), 1);
  EXPECT_GE(countUsableCores(), 1);
}

/// A manifest with one function, whose result has extent `expression` of n.
std::string withExtent(const std::string &expression) {
  return R"({"schema": 3, "code": [], "constants": null, "files": {}, "functions": [{"name": "f",
    "dims": ["n"], "arguments": [{"type": "f32", "shape": ["n"], "strides": [1]}],
    "results": [{"type": "f32", "shape": [)" +
         expression + R"(], "strides": [1]}]}]})";
}

int64_t evaluate(const std::string &expression, int64_t n) {
  Manifest manifest = parseManifest(withExtent(expression));
  return manifest.functions[0].results[0].shape[0].evaluate({n});
}

TEST(RuntimeExpression, EvaluatesAffineExpressions) {
  EXPECT_EQ(evaluate("7", 3), 7);
  EXPECT_EQ(evaluate("\"n\"", 3), 3);
  EXPECT_EQ(evaluate(R"(["+", ["*", "n", 4], -2])", 3), 10);
  EXPECT_EQ(evaluate(R"(["floordiv", "n", 7])", 20), 2);
  EXPECT_EQ(evaluate(R"(["floordiv", ["*", "n", -1], 7])", 20), -3);
  EXPECT_EQ(evaluate(R"(["ceildiv", "n", 7])", 20), 3);
  EXPECT_EQ(evaluate(R"(["ceildiv", ["*", "n", -1], 7])", 20), -2);
  EXPECT_EQ(evaluate(R"(["mod", ["*", "n", -1], 7])", 20), 1);
}

TEST(RuntimeExpression, RefusesWhatHasNoValue) {
  EXPECT_THROW(evaluate(R"(["*", "n", 4611686018427387904])", 3), Error);
  EXPECT_THROW(evaluate(R"(["floordiv", 1, "n"])", 0), Error);
  EXPECT_THROW(evaluate(R"(["mod", 1, ["*", "n", -1]])", 1), Error);
}

void expectRefused(const std::string &text, const std::string &message) {
  try {
    parseManifest(text);
    ADD_FAILURE() << "not refused: " << text;
  } catch (const Error &error) {
    EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
  }
}

TEST(RuntimeManifest, RefusesWhatIsNone) {
  expectRefused("", "not JSON");
  expectRefused("[1", "not JSON");
  expectRefused("[]", "expected an object with 'schema'");
  expectRefused("{}", "'schema' is missing");
  expectRefused(R"({"schema": "2"})", "'schema': expected a whole number");
  expectRefused(R"({"schema": 2.5})", "'schema': expected a whole number");
  expectRefused(R"({"schema": 18446744073709551615})", "'schema': expected a whole number");
  expectRefused(R"({"schema": 99})", "has format 99, this runtime reads up to 3");
  expectRefused(R"({"schema": 2})", "compile the model again");
  expectRefused(withExtent("1.5"), "expected a whole number");
  expectRefused(withExtent("\"m\""), "unknown dim 'm'");
  expectRefused(withExtent(R"(["^", 1, 2])"), "unknown operation '^'");
  expectRefused(withExtent("-1"), "expected extents of 0 or more");
  std::string deep = "1";
  for (int i = 0; i < 100; ++i)
    deep = "[\"+\", 1, " + deep + "]";
  expectRefused(withExtent(deep), "expected a number, a dim or");
  expectRefused(std::string(1 << 20, '['), "not JSON");
}

CodeManifest ptx(const char *target, int version) {
  return {std::string(target) + ".ptx", "ptx", target, "", version, 0};
}

CodeManifest cubin(const char *target, int oldestDriver) {
  return {std::string(target) + ".cubin", "cubin", target, "", 0, oldestDriver};
}

CodeManifest fatbin(const char *target, int ptxVersion, int oldestDriver) {
  return {std::string(target) + ".fatbin", "fatbin", target, "", ptxVersion, oldestDriver};
}

TEST(RuntimeCuda, FatbinsAreChosenByEitherPart) {
  std::vector<CodeManifest> code{fatbin("sm_80", 74, 12000), fatbin("sm_87", 74, 12000)};
  auto list = [&](int architecture, int driver) {
    std::string files;
    for (const CodeManifest *entry : listDeviceCode(code, architecture, driver))
      files += entry->file + " ";
    return files;
  };
  EXPECT_EQ(list(87, 12060), "sm_87.fatbin sm_80.fatbin ");
  EXPECT_EQ(list(87, 11040), "sm_87.fatbin sm_80.fatbin ") << "its PTX";
  EXPECT_EQ(list(86, 12060), "sm_80.fatbin ") << "its cubin; the PTX of sm_87 is too new";
  EXPECT_EQ(list(90, 12060), "sm_87.fatbin sm_80.fatbin ") << "PTX alone";
  EXPECT_EQ(list(87, 11030), "");
}

TEST(RuntimeCuda, ChoosesCodeByDeviceAndDriver) {
  std::vector<CodeManifest> code{ptx("sm_80", 70), ptx("sm_87", 74), ptx("sm_90", 85)};
  auto choose = [&](int architecture, int driver) -> std::string {
    std::vector<const CodeManifest *> usable = listDeviceCode(code, architecture, driver);
    return usable.empty() ? "none" : usable[0]->file;
  };
  EXPECT_EQ(choose(87, 11040), "sm_87.ptx");
  EXPECT_EQ(choose(87, 11030), "sm_80.ptx") << "PTX 7.4 is too new for CUDA 11.3";
  EXPECT_EQ(choose(120, 13000), "sm_90.ptx");
  EXPECT_EQ(choose(90, 12000), "sm_87.ptx");
  EXPECT_EQ(choose(75, 13000), "none");
  EXPECT_EQ(choose(87, 10020), "none");
  code.push_back(cubin("sm_87", 12000));
  EXPECT_EQ(choose(87, 12060), "sm_87.cubin");
  EXPECT_EQ(choose(87, 11040), "sm_87.ptx") << "the cubin is of a newer CUDA";
  EXPECT_EQ(choose(89, 12060), "sm_87.ptx") << "a cubin of a Jetson runs there alone";
}

TEST(RuntimeCuda, CubinsComeBeforePtxTheNewestFirst) {
  std::vector<CodeManifest> code{ptx("sm_80", 74), cubin("sm_80", 12000), ptx("sm_86", 74),
                                 cubin("sm_86", 13000), ptx("sm_90", 85)};
  auto list = [&](int architecture, int driver) {
    std::string files;
    for (const CodeManifest *entry : listDeviceCode(code, architecture, driver))
      files += entry->file + " ";
    return files;
  };
  EXPECT_EQ(list(86, 13000), "sm_86.cubin sm_80.cubin sm_86.ptx sm_80.ptx ");
  EXPECT_EQ(list(89, 12040), "sm_80.cubin sm_86.ptx sm_80.ptx ");
  EXPECT_EQ(list(90, 12050), "sm_90.ptx sm_86.ptx sm_80.ptx ");
}

// CUDA C++ Programming Guide, "Binary Compatibility".
TEST(RuntimeCuda, CubinsRunOnLaterMinorsButNotToOrFromTegra) {
  EXPECT_TRUE(runsCubin(80, 80));
  EXPECT_TRUE(runsCubin(80, 86));
  EXPECT_TRUE(runsCubin(86, 89));
  EXPECT_TRUE(runsCubin(120, 121));
  EXPECT_FALSE(runsCubin(86, 80));
  EXPECT_FALSE(runsCubin(80, 90));
  EXPECT_FALSE(runsCubin(80, 87));
  EXPECT_FALSE(runsCubin(87, 89));
  EXPECT_TRUE(runsCubin(87, 87));
}

TEST(RuntimeManifest, FatbinsHaveBothVersions) {
  auto parse = [](const std::string &entry) {
    return parseManifest(R"({"schema": 3, "constants": null, "files": {}, "functions": [],
        "code": [{"file": "k.fatbin", "format": "fatbin", "target": "sm_87")" +
                         entry + "}]}");
  };
  Manifest manifest = parse(R"(, "ptx": "7.4", "cuda": 12000)");
  EXPECT_EQ(manifest.code[0].ptxVersion, 74);
  EXPECT_EQ(manifest.code[0].cudaVersion, 12000);
  EXPECT_THROW(parse(R"(, "ptx": "7.4")"), Error);
  EXPECT_THROW(parse(R"(, "cuda": 12000)"), Error);
}

const char *const kDevices =
    R"({"schema": 3, "code": [], "constants": null, "files": {}, "functions": [{"name": "f",
    "dims": [], "arguments": [], "results": [], "devices": %})";

TEST(RuntimeManifest, LaunchesAreOfAChip) {
  auto parse = [](std::string devices) {
    std::string text = kDevices;
    return parseManifest(text.replace(text.find('%'), 1, devices + "}]"));
  };
  Manifest manifest = parse(R"({"sm_80": {"workspaces": [], "launches": []},
                                "sm_90": {"workspaces": [{"bytes": 8}], "launches": []}})");
  EXPECT_TRUE(manifest.functions[0].devices.at("sm_80").workspaces.empty());
  EXPECT_EQ(manifest.functions[0].devices.at("sm_90").workspaces.size(), 1u);
  EXPECT_THROW(parse("[]"), Error);
  EXPECT_THROW(parse(R"({"sm_80": {"workspaces": []}})"), Error);
}

// The table of PTX versions in NVIDIA's PTX ISA manual, "Release Notes".
TEST(RuntimeCuda, KnowsTheNewestPtxOfADriver) {
  EXPECT_EQ(newestPtx(9020), 62);
  EXPECT_EQ(newestPtx(10020), 65);
  EXPECT_EQ(newestPtx(11040), 74);
  EXPECT_EQ(newestPtx(12050), 85);
  EXPECT_EQ(newestPtx(12060), 85);
  EXPECT_EQ(newestPtx(12080), 87);
  EXPECT_EQ(newestPtx(13000), 90);
  EXPECT_EQ(newestPtx(8000), 0);
}

} // namespace
