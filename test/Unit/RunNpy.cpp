// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Run/Array.h"
#include "elfatt/Run/Options.h"

#include "gtest/gtest.h"

#include <cmath>
#include <cstring>

using namespace elfatt::run;

namespace {

std::vector<char> makeNpy(const std::string &header, size_t dataBytes, char version = 1) {
  std::string text = "\x93NUMPY";
  text += version;
  text += '\0';
  text += static_cast<char>(header.size() & 0xff);
  text += static_cast<char>(header.size() >> 8);
  if (version > 1)
    text += std::string(2, '\0');
  text += header;
  for (size_t i = 0; i < dataBytes; ++i)
    text += static_cast<char>(i);
  return {text.begin(), text.end()};
}

std::string getError(const std::vector<char> &bytes) {
  auto array = parseNpy(bytes);
  return array ? "" : llvm::toString(array.takeError());
}

TEST(Npy, RoundTrips) {
  for (std::vector<int64_t> shape : {std::vector<int64_t>{}, {3}, {2, 3}, {0, 4}, {1, 1, 1, 2}}) {
    Array array{{'f', 4}, shape, {}};
    array.data.resize(array.size() * 4);
    for (size_t i = 0; i < array.data.size(); ++i)
      array.data[i] = i;
    auto read = parseNpy(formatNpy(array));
    ASSERT_TRUE(bool(read)) << llvm::toString(read.takeError());
    EXPECT_EQ(read->shape, shape);
    EXPECT_EQ(read->data, array.data);
    EXPECT_EQ(read->type, array.type);
  }
}

TEST(Npy, ReadsAllVersions) {
  for (char version : {1, 2, 3})
    EXPECT_EQ(getError(makeNpy("{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }\n", 4,
                               version)),
              "");
}

TEST(Npy, FortranOrderIsTurned) {
  auto array = parseNpy(makeNpy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", 6));
  ASSERT_TRUE(bool(array));
  EXPECT_EQ(array->data, (Bytes{0, 2, 4, 1, 3, 5}));
}

TEST(Npy, ArraysBeginALineOfTheCache) {
  for (int64_t bytes : {1, 100, 1 << 20}) {
    auto array = parseNpy(formatNpy({{'u', 1}, {bytes}, Bytes(bytes)}));
    ASSERT_TRUE(bool(array));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(array->data.data()) % 64, 0u) << bytes;
  }
}

TEST(Npy, MalformedIsAnError) {
  EXPECT_EQ(getError({}), "not a .npy array");
  EXPECT_EQ(getError(makeNpy("", 0)), "malformed .npy header");
  for (const char *header :
       {"{", "{'descr'", "{'descr': '<f4'}", "{'descr': '<f4', 'fortran_order': 3, 'shape': ()}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': ()} more",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'other': 1}"})
    EXPECT_EQ(getError(makeNpy(header, 4)), "malformed .npy header") << header;
}

TEST(Npy, TypesThatAreNotServedAreNamed) {
  for (const char *type : {">f4", "<c8", "|O1", "<U3", "<f3", "<M8"})
    EXPECT_EQ(
        getError(makeNpy(
            "{'descr': '" + std::string(type) + "', 'fortran_order': False, 'shape': (1,)}", 4)),
        "element type '" + std::string(type) + "' is not served");
}

TEST(Npy, SizeMustFit) {
  EXPECT_EQ(getError(makeNpy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 8)),
            "array has 8 bytes, expected 12");
  EXPECT_EQ(getError(makeNpy("{'descr': '<f4', 'fortran_order': False, 'shape': "
                             "(9999999999, 9999999999)}",
                             8)),
            "array is too large");
}

TEST(Npy, TruncationAnywhereIsAnError) {
  std::vector<char> whole = makeNpy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8);
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(getError({whole.begin(), whole.begin() + size}), "") << size;
}

TEST(Npz, FormatsArchives) {
  auto bytes = formatNpz({{"out0", Array{{'f', 4}, {1}, {0, 0, 0, 0}}}});
  ASSERT_TRUE(bool(bytes));
  EXPECT_EQ(std::memcmp(bytes->data(), "PK", 2), 0);
}

TEST(Array, HalfPrecisionHasValues) {
  Array array{{'f', 2}, {2}, {0, 0x3c, 0, char(0xfc)}};
  EXPECT_EQ(array.get(0), 1.0);
  EXPECT_EQ(array.get(1), -INFINITY);
}

std::string getOptionError(std::vector<const char *> args) {
  auto options = parseOptions(args);
  return options ? "" : llvm::toString(options.takeError());
}

TEST(Options, DefaultsAreTheContract) {
  auto options = parseOptions({"m.mlir"});
  ASSERT_TRUE(bool(options));
  EXPECT_EQ(options->file, "m.mlir");
  EXPECT_EQ(options->target, "cpu");
  EXPECT_FALSE(options->benchmarkSeconds);
  EXPECT_FALSE(options->approximate);
}

TEST(Options, ValuesAreRead) {
  auto options = parseOptions({"--benchmark=2.5", "m.mlir", "--threads", "3",
                               "--approximate=window=7x7 grid=56x56", "--no-raise"});
  ASSERT_TRUE(bool(options));
  EXPECT_EQ(options->benchmarkSeconds, 2.5);
  EXPECT_EQ(options->threads, 3);
  EXPECT_EQ(options->approximate, "window=7x7 grid=56x56");
  EXPECT_FALSE(options->raise);
}

TEST(Options, BadUsageIsNamed) {
  EXPECT_EQ(getOptionError({}), "no file given; see --help");
  EXPECT_EQ(getOptionError({"a", "b"}), "two files given: 'a' and 'b'");
  EXPECT_EQ(getOptionError({"a", "--fast"}), "unknown option '--fast'; see --help");
  EXPECT_EQ(getOptionError({"a", "--threads=0"}),
            "--threads: expected a number from 1 to 1024, got '0'");
  EXPECT_EQ(getOptionError({"a", "--atol=nan"}), "--atol: expected a number >= 0, got 'nan'");
  EXPECT_EQ(getOptionError({"a", "--compare=fast"}), "--compare: expected exact, got 'fast'");
  EXPECT_EQ(getOptionError({"a", "--save"}), "--save needs a value: a .npz file");
  EXPECT_EQ(getOptionError({"a", "--no-raise=1"}), "--no-raise takes no value, got '1'");
}

} // namespace
