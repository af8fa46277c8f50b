/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

   Opens a bundle, runs its function "main" on made-up inputs and prints what
   comes out. Extents that are not fixed are 4.

     elfatt-compile model.mlir --target=cpu,sm_87 -o bundle
     sh bundle/runtime/build.sh libelfatt_runtime.so
     cc -I bundle/runtime examples/run_bundle.c -o run_bundle -L. -lelfatt_runtime -Wl,-rpath,.
     ./run_bundle bundle [TARGET]

   On a GPU, with a stream and memory of the caller's:

     nvcc -DUSE_CUDA -I bundle/runtime examples/run_bundle.c -o run_bundle -L. -lelfatt_runtime \
       -Xlinker -rpath=.
     ./run_bundle bundle cuda */
#include "elfatt/Runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef USE_CUDA
#include <cuda_runtime.h>
#endif

enum { MAX_ARRAYS = 16, MAX_RANK = 16 };

static void fail(const char *message, int status) {
  fprintf(stderr, "error: %s (status %d)\n", message, status);
  exit(2);
}

static void check(elfatt_status status) {
  if (status != ELFATT_OK)
    fail(elfatt_message(), (int)status);
}

static int64_t element_bytes(elfatt_element element) {
  switch (element) {
  case ELFATT_F64:
  case ELFATT_I64:
    return 8;
  case ELFATT_F32:
  case ELFATT_I32:
    return 4;
  case ELFATT_I8:
  case ELFATT_BOOL:
    return 1;
  default:
    return 2;
  }
}

static int64_t count_elements(const int64_t *shape, int32_t rank) {
  int64_t count = 1;
  for (int32_t d = 0; d < rank; ++d)
    count *= shape[d];
  return count;
}

static void *allocate(int64_t bytes) {
  void *memory = calloc((size_t)bytes + 1, 1);
  if (!memory)
    fail("no memory", ELFATT_NO_MEMORY);
  return memory;
}

/* Where kernels read and write: the device's memory, or the host's own. */
#ifdef USE_CUDA
static void check_cuda(cudaError_t error) {
  if (error != cudaSuccess)
    fail(cudaGetErrorString(error), (int)error);
}

static void *device_memory(int on_gpu, void *host, int64_t bytes) {
  void *memory = host;
  if (on_gpu) {
    check_cuda(cudaMalloc(&memory, (size_t)bytes + 1));
    check_cuda(cudaMemcpy(memory, host, (size_t)bytes, cudaMemcpyHostToDevice));
  }
  return memory;
}

static void fetch(int on_gpu, void *host, void *memory, int64_t bytes) {
  if (on_gpu)
    check_cuda(cudaMemcpy(host, memory, (size_t)bytes, cudaMemcpyDeviceToHost));
}

static void release(int on_gpu, void *memory) {
  if (on_gpu)
    check_cuda(cudaFree(memory));
}
#else
static void *device_memory(int on_gpu, void *host, int64_t bytes) {
  (void)bytes;
  if (on_gpu)
    fail("built without CUDA: nvcc -DUSE_CUDA", ELFATT_NOT_SUPPORTED);
  return host;
}

static void fetch(int on_gpu, void *host, void *memory, int64_t bytes) {
  (void)on_gpu, (void)host, (void)memory, (void)bytes;
}

static void release(int on_gpu, void *memory) { (void)on_gpu, (void)memory; }
#endif

/* The bits of 0, +-1/8 .. +-1/2: exact in every type of floats. */
static void fill(void *data, elfatt_element element, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    float value = (float)((i * 7 + i / 5) % 9 - 4) / 8.0f;
    double wide = value;
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint16_t brain = (uint16_t)(bits >> 16);
    uint16_t half = (uint16_t)((bits >> 16 & 0x8000) |
                               (value == 0 ? 0 : ((bits & 0x7fffffff) - 0x38000000) >> 13));
    if (element == ELFATT_F32)
      memcpy((char *)data + i * 4, &value, 4);
    else if (element == ELFATT_F64)
      memcpy((char *)data + i * 8, &wide, 8);
    else if (element == ELFATT_BF16)
      memcpy((char *)data + i * 2, &brain, 2);
    else if (element == ELFATT_F16)
      memcpy((char *)data + i * 2, &half, 2);
    else /* Integers, little-endian: 0 or 1. */
      ((char *)data)[i * element_bytes(element)] = (char)(i % 2);
  }
}

/* Runs the function. On a GPU its kernels are in the stream when it returns: the
   workspace is the caller's, one for each stream, and must live until they are
   done. */
static void run(int on_gpu, const elfatt_function *function, const elfatt_tensor *inputs,
                int32_t input_count, const elfatt_tensor *outputs, int32_t output_count) {
  if (!on_gpu) {
    check(elfatt_run(function, inputs, input_count, outputs, output_count, NULL, 0, NULL));
    return;
  }
#ifdef USE_CUDA
  int64_t bytes;
  check(elfatt_function_workspace(function, inputs, input_count, &bytes));
  void *workspace = NULL;
  if (bytes > 0)
    check_cuda(cudaMalloc(&workspace, (size_t)bytes));
  cudaStream_t stream;
  check_cuda(cudaStreamCreate(&stream));
  check(elfatt_run(function, inputs, input_count, outputs, output_count, workspace, bytes, stream));
  check_cuda(cudaStreamSynchronize(stream));
  check_cuda(cudaStreamDestroy(stream));
  check_cuda(cudaFree(workspace));
#endif
}

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) {
    fprintf(stderr, "usage: %s BUNDLE [TARGET]\n", argv[0]);
    return 2;
  }
  int on_gpu = argc > 2 && strcmp(argv[2], "cuda") == 0;
  elfatt_bundle *bundle;
  check(elfatt_bundle_open(argv[1], argc > 2 ? argv[2] : NULL, &bundle));
  const char *target;
  check(elfatt_bundle_target(bundle, &target));
  const elfatt_function *function;
  check(elfatt_bundle_find(bundle, "main", &function));
  int32_t input_count, output_count;
  check(elfatt_function_counts(function, &input_count, &output_count));
  if (input_count > MAX_ARRAYS || output_count > MAX_ARRAYS)
    fail("too many arrays", ELFATT_BAD_ARGUMENT);
  printf("code for %s, %d threads\n", target, (int)elfatt_get_threads());

  elfatt_tensor inputs[MAX_ARRAYS], outputs[MAX_ARRAYS];
  int64_t shapes[2 * MAX_ARRAYS][MAX_RANK];
  for (int32_t i = 0; i < input_count; ++i) {
    elfatt_type type;
    check(elfatt_function_input(function, i, &type));
    for (int32_t d = 0; d < type.rank && d < MAX_RANK; ++d)
      shapes[i][d] = type.shape[d] < 0 ? 4 : type.shape[d];
    int64_t count = count_elements(shapes[i], type.rank);
    int64_t bytes = count * element_bytes(type.element);
    void *host = allocate(bytes);
    fill(host, type.element, count);
    inputs[i].data = device_memory(on_gpu, host, bytes);
    if (on_gpu)
      free(host);
    inputs[i].element = type.element;
    inputs[i].rank = type.rank;
    inputs[i].shape = shapes[i];
    inputs[i].strides = NULL; /* row-major */
  }
  void *results[MAX_ARRAYS];
  for (int32_t i = 0; i < output_count; ++i) {
    elfatt_type type;
    check(elfatt_function_output(function, i, &type));
    int64_t *shape = shapes[MAX_ARRAYS + i];
    check(elfatt_function_output_shape(function, inputs, input_count, i, shape));
    int64_t bytes = count_elements(shape, type.rank) * element_bytes(type.element);
    results[i] = allocate(bytes);
    outputs[i].data = device_memory(on_gpu, results[i], bytes);
    outputs[i].element = type.element;
    outputs[i].rank = type.rank;
    outputs[i].shape = shape;
    outputs[i].strides = NULL;
  }

  run(on_gpu, function, inputs, input_count, outputs, output_count);

  for (int32_t i = 0; i < output_count; ++i) {
    int64_t count = count_elements(outputs[i].shape, outputs[i].rank);
    fetch(on_gpu, results[i], outputs[i].data, count * element_bytes(outputs[i].element));
    printf("output %d: [", (int)i);
    for (int32_t d = 0; d < outputs[i].rank; ++d)
      printf("%s%lld", d ? "x" : "", (long long)outputs[i].shape[d]);
    printf("]");
    if (outputs[i].element == ELFATT_F32)
      for (int64_t j = 0; j < count && j < 4; ++j)
        printf(" %.4f", (double)((const float *)results[i])[j]);
    printf("\n");
    release(on_gpu, outputs[i].data);
    free(results[i]);
  }
  for (int32_t i = 0; i < input_count; ++i) {
    release(on_gpu, inputs[i].data);
    if (!on_gpu)
      free(inputs[i].data);
  }
  elfatt_bundle_close(bundle);
  return 0;
}
