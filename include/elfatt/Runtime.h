// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The runtime that compiled code calls: threads, memory and dense products.
// Plain C; no LLVM behind it.
#ifndef ELFATT_RUNTIME_H
#define ELFATT_RUNTIME_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A parallel loop's body: the iterations [begin, end) of one loop. `args` is
/// what was given to elfatt_parallel_for.
typedef void (*elfatt_kernel)(void **args, int64_t begin, int64_t end);

/// Runs `kernel` over [0, count) on the pool's threads and the caller, and
/// returns when all iterations are done. How the range is cut depends on
/// `count` alone, never on the number of threads. Loops do not nest: a call
/// from within a kernel runs on the calling thread.
void elfatt_parallel_for(elfatt_kernel kernel, void **args, int64_t count);

/// Sets how many threads run loops, the caller included. 0 means all the cores
/// that the process may use. Not to be called while a loop runs.
void elfatt_set_threads(int32_t threads);

/// How many threads run loops, the caller included.
int32_t elfatt_get_threads(void);

/// Memory of `bytes` bytes aligned to 64 bytes (or `alignment`, a power of
/// two, if that is larger). Blocks given back are kept for the next request,
/// so that large buffers are not mapped anew at each call. Null when there is
/// no memory.
void *elfatt_alloc(int64_t alignment, int64_t bytes);

/// Gives back a block of elfatt_alloc. Null is allowed.
void elfatt_free(void *block);

/// Returns the kept blocks to the system.
void elfatt_release_memory(void);

/// c = a * b + beta * c for each element of a two-dimensional batch of products:
/// a is m x k, b is k x n, c is m x n. The element (i, j, r, s) of a matrix
/// lies at i * batch0 + j * batch1 + r * row + s * column, with the strides
/// that follow its pointer. All strides are served; a unit stride in each
/// matrix is the fast way. beta is 0 (c need not be set) or 1.
void elfatt_sgemm(int64_t batch0, int64_t batch1, int64_t m, int64_t n, int64_t k, //
                  const float *a, int64_t aBatch0, int64_t aBatch1, int64_t aRow,
                  int64_t aColumn, //
                  const float *b, int64_t bBatch0, int64_t bBatch1, int64_t bRow,
                  int64_t bColumn, //
                  float *c, int64_t cBatch0, int64_t cBatch1, int64_t cRow, int64_t cColumn,
                  float beta);

/// What happens when compiled code finds that it cannot go on, for example an
/// index beyond a table. The handler must not return. Without one the message
/// is printed and the process aborts.
typedef void (*elfatt_failure_handler)(const char *message);
void elfatt_set_failure_handler(elfatt_failure_handler handler);

/// Calls the failure handler. `message` ends with a zero byte.
void elfatt_fail(const char *message);

#ifdef __cplusplus
}
#endif

#endif // ELFATT_RUNTIME_H
