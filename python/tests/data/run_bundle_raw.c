/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

   run_bundle_raw BUNDLE THREADS IN OUT: runs main, which has one input and one
   output of fixed shape, on the bytes of IN. */
#include "elfatt/Runtime.h"

#include <stdio.h>
#include <stdlib.h>

static _Alignas(64) char in[1 << 22];
static _Alignas(64) char out[1 << 22];

static void check(elfatt_status status) {
  if (status == ELFATT_OK)
    return;
  fprintf(stderr, "error: %s (status %d)\n", elfatt_message(), (int)status);
  exit(2);
}

int main(int argc, char **argv) {
  elfatt_bundle *bundle;
  const elfatt_function *function;
  elfatt_type from, to;
  FILE *file;
  if (argc != 5 || !(file = fopen(argv[3], "rb")))
    return 2;
  size_t bytes = fread(in, 1, sizeof(in), file);
  fclose(file);
  elfatt_set_threads(atoi(argv[2]));
  check(elfatt_bundle_open(argv[1], NULL, &bundle));
  check(elfatt_bundle_find(bundle, "main", &function));
  check(elfatt_function_input(function, 0, &from));
  check(elfatt_function_output(function, 0, &to));
  elfatt_tensor input = {in, from.element, from.rank, from.shape, NULL};
  elfatt_tensor output = {out, to.element, to.rank, to.shape, NULL};
  size_t elements = 1, results = 1;
  for (int d = 0; d < from.rank; ++d)
    elements *= (size_t)from.shape[d];
  for (int d = 0; d < to.rank; ++d)
    results *= (size_t)to.shape[d];
  check(elfatt_run(function, &input, 1, &output, 1, NULL, 0, NULL));
  elfatt_bundle_close(bundle);
  file = fopen(argv[4], "wb");
  return !file || fwrite(out, bytes / elements, results, file) != results || fclose(file);
}
