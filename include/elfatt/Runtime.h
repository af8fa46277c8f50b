// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The runtime: opens the bundles that elfatt-compile writes and runs their
// functions, and serves compiled code with threads, memory and dense products.
// Plain C; no LLVM behind it. examples/run_bundle.c shows how it is used.
#ifndef ELFATT_RUNTIME_H
#define ELFATT_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define ELFATT_API __attribute__((visibility("default")))
#else
#define ELFATT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- Statuses */

/// What became of a call.
typedef enum elfatt_status {
  ELFATT_OK = 0,
  /// A null or misaligned pointer, a wrong shape, stride or element type.
  ELFATT_BAD_ARGUMENT = 1,
  /// A file of the bundle is missing, unreadable, malformed or altered.
  ELFATT_BAD_BUNDLE = 2,
  /// A newer bundle, or one with no code for this machine.
  ELFATT_NOT_SUPPORTED = 3,
  ELFATT_NO_MEMORY = 4,
  /// No CUDA driver, none new enough, or no device.
  ELFATT_NO_DEVICE = 5,
  /// The CUDA driver refused a call.
  ELFATT_DEVICE_ERROR = 6,
  /// The code found that it cannot go on, for example an index beyond a table.
  ELFATT_RUN_FAILED = 7
} elfatt_status;

/// What went wrong in the calling thread's last call that returned a status;
/// empty after ELFATT_OK. Valid until the thread's next call.
ELFATT_API const char *elfatt_message(void);

/* ----------------------------------------------------------------- Bundles */

typedef struct elfatt_bundle elfatt_bundle;
/// A function of a bundle; it lives as long as its bundle.
typedef struct elfatt_function elfatt_function;

/// Opens the folder that elfatt-compile wrote, and checks every file that is
/// used against its checksum. `target` says whose code is wanted: null the best
/// for this processor, or one by name ("x86-64-v3"); "cuda" that of the calling
/// thread's current device, or of device 0 where none is current. The files must
/// stay as they are while the bundle is open.
ELFATT_API elfatt_status elfatt_bundle_open(const char *path, const char *target,
                                            elfatt_bundle **bundle);

/// Closes the bundle, none of whose functions may run any more. Null is allowed.
ELFATT_API void elfatt_bundle_close(elfatt_bundle *bundle);

/// The name of the code in use, for example "x86-64-v4" or "sm_87".
ELFATT_API elfatt_status elfatt_bundle_target(const elfatt_bundle *bundle, const char **target);

ELFATT_API elfatt_status elfatt_bundle_function_count(const elfatt_bundle *bundle, int32_t *count);

/// The i-th function.
ELFATT_API elfatt_status elfatt_bundle_function(const elfatt_bundle *bundle, int32_t i,
                                                const elfatt_function **function);

/// The function of that name.
ELFATT_API elfatt_status elfatt_bundle_find(const elfatt_bundle *bundle, const char *name,
                                            const elfatt_function **function);

/* --------------------------------------------------------------- Functions */

/// Types of elements; booleans are bytes, 0 or 1.
typedef enum elfatt_element {
  ELFATT_F16 = 1,
  ELFATT_BF16 = 2,
  ELFATT_F32 = 3,
  ELFATT_F64 = 4,
  ELFATT_I8 = 5,
  ELFATT_I16 = 6,
  ELFATT_I32 = 7,
  ELFATT_I64 = 8,
  ELFATT_BOOL = 9
} elfatt_element;

/// What a function takes or gives. An extent that is not fixed is -1.
typedef struct elfatt_type {
  elfatt_element element;
  int32_t rank;
  const int64_t *shape; ///< lives as long as the bundle
} elfatt_type;

/// An array in the caller's memory.
typedef struct elfatt_tensor {
  void *data; ///< aligned to its elements, for a GPU to 16 bytes; inputs are only read
  elfatt_element element;
  int32_t rank;
  const int64_t *shape;
  /// In elements. Null: row-major without gaps, which is the one layout that
  /// functions take; strides that say otherwise are an error.
  const int64_t *strides;
} elfatt_tensor;

ELFATT_API elfatt_status elfatt_function_name(const elfatt_function *function, const char **name);

ELFATT_API elfatt_status elfatt_function_counts(const elfatt_function *function, int32_t *inputs,
                                                int32_t *outputs);

ELFATT_API elfatt_status elfatt_function_input(const elfatt_function *function, int32_t i,
                                               elfatt_type *type);

ELFATT_API elfatt_status elfatt_function_output(const elfatt_function *function, int32_t i,
                                                elfatt_type *type);

/// The shape of output `i` for inputs of these shapes (their data may be null):
/// `shape` has room for the output's rank.
ELFATT_API elfatt_status elfatt_function_output_shape(const elfatt_function *function,
                                                      const elfatt_tensor *inputs,
                                                      int32_t input_count, int32_t i,
                                                      int64_t *shape);

/// Bytes of workspace that a run with such inputs needs; 0 for the host, whose
/// code takes its memory from elfatt_alloc.
ELFATT_API elfatt_status elfatt_function_workspace(const elfatt_function *function,
                                                   const elfatt_tensor *inputs, int32_t input_count,
                                                   int64_t *bytes);

/// Runs the function: reads the inputs and writes the outputs, which must not
/// overlap anything else. On the host it returns when the outputs are there;
/// `workspace` and `stream` are not used. On a GPU, pointers are the device's,
/// `stream` is a CUstream (null: the default one), `workspace` is aligned to 256
/// bytes and used by one stream at a time; kernels are launched and nothing is
/// allocated or waited for, so that a CUDA graph can capture it. Safe from
/// several threads.
ELFATT_API elfatt_status elfatt_run(const elfatt_function *function, const elfatt_tensor *inputs,
                                    int32_t input_count, const elfatt_tensor *outputs,
                                    int32_t output_count, void *workspace, int64_t workspace_bytes,
                                    void *stream);

/* ----------------------------------------------------------------- Threads */

/// A parallel loop's body: the iterations [begin, end) of one loop. `args` is
/// what was given to elfatt_parallel_for.
typedef void (*elfatt_kernel)(void **args, int64_t begin, int64_t end);

/// Runs `kernel` over [0, count) on the pool's threads and the caller, and
/// returns when all iterations are done. How the range is cut depends on
/// `count` alone, never on the number of threads. Loops do not nest: a call
/// from within a kernel runs on the calling thread.
ELFATT_API void elfatt_parallel_for(elfatt_kernel kernel, void **args, int64_t count);

/// Sets how many threads run loops, the caller included. 0 means all the cores
/// that the process may use (its affinity and its cgroup's quota). Not to be
/// called while a loop runs.
ELFATT_API void elfatt_set_threads(int32_t threads);

/// How many threads run loops, the caller included.
ELFATT_API int32_t elfatt_get_threads(void);

/// The embedder's own threads: calls body(data, begin, end) for ranges that
/// cover [0, count) once, from any threads, and returns when all are done.
typedef void (*elfatt_body)(void *data, int64_t begin, int64_t end);
typedef void (*elfatt_parallel_for_function)(void *context, int64_t count, elfatt_body body,
                                             void *data);

/// Has loops run by `function`, at::parallel_for for example, instead of the
/// pool; null goes back to it. The results' bits are the same. Not to be called
/// while a loop runs.
ELFATT_API void elfatt_set_parallel_for(elfatt_parallel_for_function function, void *context);

/* ------------------------------------------------- Memory, products, faults */

/// Memory of `bytes` bytes aligned to 64 bytes (or `alignment`, a power of
/// two, if that is larger). Blocks given back are kept for the next request,
/// so that large buffers are not mapped anew at each call. Null when there is
/// no memory.
ELFATT_API void *elfatt_alloc(int64_t alignment, int64_t bytes);

/// Gives back a block of elfatt_alloc. Null is allowed.
ELFATT_API void elfatt_free(void *block);

/// Returns the kept blocks to the system.
ELFATT_API void elfatt_release_memory(void);

/// c = a * b + beta * c for each element of a two-dimensional batch of products:
/// a is m x k, b is k x n, c is m x n. The element (i, j, r, s) of a matrix
/// lies at i * batch0 + j * batch1 + r * row + s * column, with the strides
/// that follow its pointer. All strides are served; a unit stride in each
/// matrix is the fast way. beta is 0 (c need not be set) or 1.
ELFATT_API void elfatt_sgemm(int64_t batch0, int64_t batch1, int64_t m, int64_t n, int64_t k, //
                             const float *a, int64_t aBatch0, int64_t aBatch1, int64_t aRow,
                             int64_t aColumn, //
                             const float *b, int64_t bBatch0, int64_t bBatch1, int64_t bRow,
                             int64_t bColumn, //
                             float *c, int64_t cBatch0, int64_t cBatch1, int64_t cRow,
                             int64_t cColumn, float beta);

/// A dense library's product of row-major matrices on the calling thread alone:
/// c = op(a) op(b) + beta c, op a transposition for 't'; 0 for success. Its form
/// is that of oneDNN's dnnl_sgemm.
typedef int (*elfatt_dense_product)(char transA, char transB, int64_t m, int64_t n, int64_t k,
                                    float alpha, const float *a, int64_t lda, const float *b,
                                    int64_t ldb, float beta, float *c, int64_t ldc);

/// Has elfatt_sgemm multiply its tiles by `product`; null goes back to the
/// runtime's own code. Not to be called while a loop runs.
ELFATT_API void elfatt_set_dense_product(elfatt_dense_product product);

/// What happens when compiled code outside of elfatt_run finds that it cannot
/// go on, for example an index beyond a table. The handler must not return.
/// Without one the message is printed and the process aborts.
typedef void (*elfatt_failure_handler)(const char *message);
ELFATT_API void elfatt_set_failure_handler(elfatt_failure_handler handler);

/// Ends the run that calls it with ELFATT_RUN_FAILED and `message`; outside of
/// one, calls the failure handler.
ELFATT_API void elfatt_fail(const char *message);

#ifdef __cplusplus
}
#endif

#endif // ELFATT_RUNTIME_H
