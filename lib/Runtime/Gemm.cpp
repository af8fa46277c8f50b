// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Dense products: tiles of the result on our own threads, each by our own code
// or by a dense library's. docs/Rationale.md has the measurements.
#include "elfatt/Runtime.h"

#include "GemmKernel.h"
#include "Processor.h"

#include <algorithm>
#include <atomic>
#include <vector>

using namespace elfatt::runtime;

namespace {

std::atomic<elfatt_dense_product> denseProduct{nullptr};

/// About how many multiplications make a tile.
constexpr int64_t tileWork = int64_t(1) << 23;

/// A matrix in a batch, with the strides of Runtime.h.
template <typename T> struct Matrix {
  T *data;
  int64_t batch0, batch1, row, column;

  T *at(int64_t i, int64_t j, int64_t r, int64_t c) const {
    return data + i * batch0 + j * batch1 + r * row + c * column;
  }
  Matrix transposed() const { return {data, batch0, batch1, column, row}; }
};

struct Product {
  int64_t batch1, m, n, k;
  Matrix<const float> a, b;
  Matrix<float> c;
  float beta;
  int64_t rowTiles, columnTiles;
};

struct Range {
  int64_t begin, size;
};

/// The i-th of `tiles` parts of `size`, cut at multiples of `step`.
Range part(int64_t size, int64_t tiles, int64_t i, int64_t step) {
  int64_t units = (size + step - 1) / step;
  int64_t begin = std::min(size, units * i / tiles * step);
  int64_t end = std::min(size, units * (i + 1) / tiles * step);
  return {begin, end - begin};
}

/// A matrix as the library wants it: one stride is 1.
struct Operand {
  const float *data;
  int64_t leading;
  bool transposed;
};

/// Takes rows x columns at `data` as they are, or packs them into `storage`
/// where neither stride is 1.
Operand prepare(const float *data, int64_t rows, int64_t columns, int64_t rowStride,
                int64_t columnStride, std::vector<float> &storage) {
  if (columnStride == 1 || columns == 1)
    if (rowStride >= std::max<int64_t>(1, columns) || rows == 1)
      return {data, std::max<int64_t>({rowStride, columns, 1}), false};
  if (rowStride == 1 || rows == 1)
    if (columnStride >= std::max<int64_t>(1, rows))
      return {data, columnStride, true};
  storage.resize(rows * columns);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      storage[r * columns + c] = data[r * rowStride + c * columnStride];
  return {storage.data(), columns, false};
}

/// One product of the library, beta 0 or 1; the matrices' batches are ignored.
void multiplyByLibrary(elfatt_dense_product product, int64_t m, int64_t n, int64_t k,
                       Matrix<const float> a, Matrix<const float> b, Matrix<float> c, float beta) {
  std::vector<float> packedA, packedB, packedC;
  Operand oa = prepare(a.data, m, k, a.row, a.column, packedA);
  Operand ob = prepare(b.data, k, n, b.row, b.column, packedB);
  bool direct = (c.column == 1 || n == 1) && (c.row >= n || m == 1);
  float *out = c.data;
  int64_t leading = std::max(c.row, n);
  if (!direct) {
    packedC.resize(m * n);
    out = packedC.data();
    leading = n;
    if (beta != 0)
      for (int64_t r = 0; r < m; ++r)
        for (int64_t j = 0; j < n; ++j)
          out[r * n + j] = *c.at(0, 0, r, j);
  }
  if (product(oa.transposed ? 'T' : 'N', ob.transposed ? 'T' : 'N', m, n, k, 1.0f, oa.data,
              oa.leading, ob.data, ob.leading, beta, out, leading) != 0)
    elfatt_fail("the dense library refused a matrix product");
  if (!direct)
    for (int64_t r = 0; r < m; ++r)
      for (int64_t j = 0; j < n; ++j)
        *c.at(0, 0, r, j) = out[r * n + j];
}

using Kernel = void (*)(const GemmOperands &, float *);

/// The fastest of our own for this processor.
Kernel chooseKernel() {
#if defined(__x86_64__)
  if (hasLevel("x86-64-v4"))
    return gemmAVX512;
  if (hasLevel("x86-64-v3"))
    return gemmAVX2;
#endif
  return gemmBaseline;
}

/// Each thread's own, aligned to a cache line; too large for some threads' stacks.
float *getScratch() {
  static thread_local std::vector<float> memory(kGemmScratch + 16);
  auto address = reinterpret_cast<uintptr_t>(memory.data());
  return memory.data() + (64 - address % 64) % 64 / sizeof(float);
}

void multiply(int64_t m, int64_t n, int64_t k, Matrix<const float> a, Matrix<const float> b,
              Matrix<float> c, float beta) {
  if (k == 0) {
    for (int64_t r = 0; beta == 0 && r < m; ++r)
      for (int64_t j = 0; j < n; ++j)
        *c.at(0, 0, r, j) = 0;
    return;
  }
  // Rows are written whole: a result that lies in columns is made as its
  // transpose, b^T a^T.
  if (c.column != 1 && c.row == 1 && m > 1)
    return multiply(n, m, k, b.transposed(), a.transposed(), c.transposed(), beta);
  if (elfatt_dense_product product = denseProduct)
    return multiplyByLibrary(product, m, n, k, a, b, c, beta);
  static const Kernel kernel = chooseKernel();
  kernel({m, n, k, a.data, a.row, a.column, b.data, b.row, b.column, c.data, c.row, c.column,
          beta != 0},
         getScratch());
}

/// Tiles [begin, end) of the product; the tiles of one batch element follow
/// each other.
void multiplyTiles(void **args, int64_t begin, int64_t end) {
  const Product &p = *static_cast<Product *>(args[0]);
  for (int64_t tile = begin; tile < end; ++tile) {
    Range columns = part(p.n, p.columnTiles, tile % p.columnTiles, 16);
    Range rows = part(p.m, p.rowTiles, tile / p.columnTiles % p.rowTiles, 8);
    if (rows.size == 0 || columns.size == 0)
      continue;
    int64_t batch = tile / (p.columnTiles * p.rowTiles);
    int64_t i = batch / p.batch1, j = batch % p.batch1;
    Matrix<const float> a = p.a, b = p.b;
    Matrix<float> c = p.c;
    a.data = a.at(i, j, rows.begin, 0);
    b.data = b.at(i, j, 0, columns.begin);
    c.data = c.at(i, j, rows.begin, columns.begin);
    multiply(rows.size, columns.size, p.k, a, b, c, p.beta);
  }
}

} // namespace

void elfatt_set_dense_product(elfatt_dense_product product) { denseProduct = product; }

void elfatt_sgemm(int64_t batch0, int64_t batch1, int64_t m, int64_t n, int64_t k, //
                  const float *a, int64_t aBatch0, int64_t aBatch1, int64_t aRow,
                  int64_t aColumn, //
                  const float *b, int64_t bBatch0, int64_t bBatch1, int64_t bRow,
                  int64_t bColumn, //
                  float *c, int64_t cBatch0, int64_t cBatch1, int64_t cRow, int64_t cColumn,
                  float beta) {
  int64_t batch = batch0 * batch1;
  if (batch == 0 || m == 0 || n == 0)
    return;
  Product product{batch1,
                  m,
                  n,
                  k,
                  {a, aBatch0, aBatch1, aRow, aColumn},
                  {b, bBatch0, bBatch1, bRow, bColumn},
                  {c, cBatch0, cBatch1, cRow, cColumn},
                  beta,
                  1,
                  1};
  // A single large product is cut along its longer side; a batch is enough
  // work for all threads as it is.
  if (batch < 8) {
    double tiles = double(m) * double(n) * double(k) / tileWork;
    int64_t limit = (std::max(m, n) + 63) / 64;
    (n >= m ? product.columnTiles : product.rowTiles) =
        std::clamp<int64_t>(int64_t(std::min(tiles, 16.0)), 1, limit);
  }
  void *args[] = {&product};
  elfatt_parallel_for(multiplyTiles, args, batch * product.rowTiles * product.columnTiles);
}
