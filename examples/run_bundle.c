/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

   Opens a bundle, runs its function "main" on made-up inputs and prints what
   comes out. Extents that are not fixed are 4.

     elfatt-compile model.mlir --target=cpu -o bundle
     sh bundle/runtime/build.sh libelfatt_runtime.so
     cc -I bundle/runtime examples/run_bundle.c -o run_bundle -L. -lelfatt_runtime -Wl,-rpath,.
     ./run_bundle bundle [TARGET] */
#include "elfatt/Runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARRAYS = 16, MAX_RANK = 16 };

static void check(elfatt_status status) {
  if (status == ELFATT_OK)
    return;
  fprintf(stderr, "error: %s (status %d)\n", elfatt_message(), (int)status);
  exit(2);
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
  if (!memory) {
    fprintf(stderr, "error: no memory\n");
    exit(2);
  }
  return memory;
}

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

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) {
    fprintf(stderr, "usage: %s BUNDLE [TARGET]\n", argv[0]);
    return 2;
  }
  elfatt_bundle *bundle;
  check(elfatt_bundle_open(argv[1], argc > 2 ? argv[2] : NULL, &bundle));
  const char *target;
  check(elfatt_bundle_target(bundle, &target));
  const elfatt_function *function;
  check(elfatt_bundle_find(bundle, "main", &function));
  int32_t input_count, output_count;
  check(elfatt_function_counts(function, &input_count, &output_count));
  if (input_count > MAX_ARRAYS || output_count > MAX_ARRAYS) {
    fprintf(stderr, "error: more than %d arrays\n", MAX_ARRAYS);
    return 2;
  }
  printf("code for %s, %d threads\n", target, (int)elfatt_get_threads());

  elfatt_tensor inputs[MAX_ARRAYS], outputs[MAX_ARRAYS];
  int64_t shapes[2 * MAX_ARRAYS][MAX_RANK];
  for (int32_t i = 0; i < input_count; ++i) {
    elfatt_type type;
    check(elfatt_function_input(function, i, &type));
    for (int32_t d = 0; d < type.rank && d < MAX_RANK; ++d)
      shapes[i][d] = type.shape[d] < 0 ? 4 : type.shape[d];
    int64_t count = count_elements(shapes[i], type.rank);
    inputs[i].data = allocate(count * element_bytes(type.element));
    inputs[i].element = type.element;
    inputs[i].rank = type.rank;
    inputs[i].shape = shapes[i];
    inputs[i].strides = NULL; /* row-major */
    fill(inputs[i].data, type.element, count);
  }
  for (int32_t i = 0; i < output_count; ++i) {
    elfatt_type type;
    check(elfatt_function_output(function, i, &type));
    int64_t *shape = shapes[MAX_ARRAYS + i];
    check(elfatt_function_output_shape(function, inputs, input_count, i, shape));
    outputs[i].data = allocate(count_elements(shape, type.rank) * element_bytes(type.element));
    outputs[i].element = type.element;
    outputs[i].rank = type.rank;
    outputs[i].shape = shape;
    outputs[i].strides = NULL;
  }

  check(elfatt_run(function, inputs, input_count, outputs, output_count, NULL, 0, NULL));

  for (int32_t i = 0; i < output_count; ++i) {
    printf("output %d: [", (int)i);
    for (int32_t d = 0; d < outputs[i].rank; ++d)
      printf("%s%lld", d ? "x" : "", (long long)outputs[i].shape[d]);
    printf("]");
    int64_t count = count_elements(outputs[i].shape, outputs[i].rank);
    if (outputs[i].element == ELFATT_F32)
      for (int64_t j = 0; j < count && j < 4; ++j)
        printf(" %.4f", (double)((const float *)outputs[i].data)[j]);
    printf("\n");
    free(outputs[i].data);
  }
  for (int32_t i = 0; i < input_count; ++i)
    free(inputs[i].data);
  elfatt_bundle_close(bundle);
  return 0;
}
