// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Runtime.h"

#include "gtest/gtest.h"

#include <atomic>
#include <cmath>
#include <cstdint>
#include <thread>
#include <vector>

namespace {

/// args[0]: counters, one an iteration.
void countVisits(void **args, int64_t begin, int64_t end) {
  auto *visits = static_cast<std::atomic<int> *>(args[0]);
  for (int64_t i = begin; i < end; ++i)
    ++visits[i];
}

void expectEachOnce(int64_t count) {
  std::vector<std::atomic<int>> visits(count);
  void *args[] = {visits.data()};
  elfatt_parallel_for(countVisits, args, count);
  for (int64_t i = 0; i < count; ++i)
    ASSERT_EQ(visits[i], 1) << "iteration " << i << " of " << count;
}

class Threads : public testing::TestWithParam<int> {
protected:
  void SetUp() override { elfatt_set_threads(GetParam()); }
  void TearDown() override { elfatt_set_threads(0); }
};

TEST_P(Threads, RunEachIterationOnce) {
  EXPECT_EQ(elfatt_get_threads(), GetParam());
  for (int64_t count : {1, 2, 3, 63, 64, 65, 1000, 100000})
    expectEachOnce(count);
}

TEST_P(Threads, AreReusedByManyShortLoops) {
  for (int i = 0; i < 2000; ++i)
    expectEachOnce(5);
}

TEST_P(Threads, EmptyLoopsDoNothing) {
  elfatt_parallel_for(nullptr, nullptr, 0);
  elfatt_parallel_for(nullptr, nullptr, -1);
}

void runNested(void **args, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    void *inner[] = {static_cast<std::atomic<int> *>(args[0]) + i * 10};
    elfatt_parallel_for(countVisits, inner, 10);
  }
}

TEST_P(Threads, NestedLoopsRunInPlace) {
  std::vector<std::atomic<int>> visits(200);
  void *args[] = {visits.data()};
  elfatt_parallel_for(runNested, args, 20);
  for (auto &visit : visits)
    EXPECT_EQ(visit, 1);
}

TEST_P(Threads, ServeSeveralCallers) {
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([] {
      for (int j = 0; j < 200; ++j)
        expectEachOnce(70);
    });
  for (std::thread &caller : callers)
    caller.join();
}

INSTANTIATE_TEST_SUITE_P(Runtime, Threads, testing::Values(1, 2, 5));

TEST(Memory, IsAlignedAndReused) {
  void *first = elfatt_alloc(0, 1000);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 64, 0u);
  elfatt_free(first);
  EXPECT_EQ(elfatt_alloc(0, 1000), first);
  elfatt_free(first);
  void *wide = elfatt_alloc(4096, 10);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(wide) % 4096, 0u);
  elfatt_free(wide);
  elfatt_free(nullptr);
  elfatt_release_memory();
}

TEST(Memory, ServesNoBytesAndRefusesTooMany) {
  void *none = elfatt_alloc(64, 0);
  EXPECT_NE(none, nullptr);
  elfatt_free(none);
  EXPECT_EQ(elfatt_alloc(64, -1), nullptr);
  EXPECT_EQ(elfatt_alloc(64, INT64_MAX), nullptr);
  elfatt_release_memory();
}

/// A dense matrix in a buffer with given strides.
struct Matrix {
  int64_t rows, columns, row, column;
  std::vector<float> data;

  Matrix(int64_t rows, int64_t columns, int64_t row, int64_t column, int seed)
      : rows(rows), columns(columns), row(row), column(column),
        data(rows * row + columns * column + 1) {
    for (size_t i = 0; i < data.size(); ++i)
      data[i] = std::sin(float(seed + i));
  }
  float &at(int64_t r, int64_t c) { return data[r * row + c * column]; }
};

void expectProduct(Matrix a, Matrix b, Matrix c, float beta) {
  Matrix before = c;
  elfatt_sgemm(1, 1, a.rows, b.columns, a.columns, a.data.data(), 0, 0, a.row, a.column,
               b.data.data(), 0, 0, b.row, b.column, c.data.data(), 0, 0, c.row, c.column, beta);
  for (int64_t i = 0; i < c.rows; ++i)
    for (int64_t j = 0; j < c.columns; ++j) {
      double sum = beta * before.at(i, j);
      for (int64_t k = 0; k < a.columns; ++k)
        sum += double(a.at(i, k)) * b.at(k, j);
      ASSERT_NEAR(c.at(i, j), sum, 1e-4) << i << ", " << j;
    }
}

TEST(Gemm, ServesAllStrides) {
  for (float beta : {0.0f, 1.0f}) {
    expectProduct({5, 7, 7, 1, 1}, {7, 9, 9, 1, 2}, {5, 9, 9, 1, 3}, beta);
    expectProduct({5, 7, 1, 5, 1}, {7, 9, 1, 7, 2}, {5, 9, 1, 5, 3}, beta);
    expectProduct({5, 7, 40, 3, 1}, {7, 9, 50, 2, 2}, {5, 9, 60, 4, 3}, beta);
    expectProduct({1, 7, 7, 1, 1}, {7, 1, 1, 1, 2}, {1, 1, 1, 1, 3}, beta);
  }
}

TEST(Gemm, TilesOfLargeProductsFit) {
  expectProduct({197, 300, 300, 1, 1}, {300, 1000, 1000, 1, 2}, {197, 1000, 1000, 1, 3}, 0);
  expectProduct({1003, 300, 300, 1, 1}, {300, 130, 130, 1, 2}, {1003, 130, 130, 1, 3}, 1);
}

TEST(Gemm, SumOverNothingIsZero) {
  float c[2] = {3, 4};
  float unused = 0;
  elfatt_sgemm(1, 1, 1, 2, 0, &unused, 0, 0, 1, 1, &unused, 0, 0, 1, 1, c, 0, 0, 2, 1, 0);
  EXPECT_EQ(c[0], 0);
  EXPECT_EQ(c[1], 0);
}

TEST(Gemm, ResultDoesNotDependOnThreads) {
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 3}) {
    elfatt_set_threads(threads);
    Matrix a(200, 384, 384, 1, 1), b(384, 500, 500, 1, 2), c(200, 500, 500, 1, 3);
    elfatt_sgemm(1, 1, 200, 500, 384, a.data.data(), 0, 0, 384, 1, b.data.data(), 0, 0, 500, 1,
                 c.data.data(), 0, 0, 500, 1, 0);
    results.push_back(c.data);
  }
  elfatt_set_threads(0);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

} // namespace
