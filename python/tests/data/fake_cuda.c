/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

   A libcuda that has a device, writes down what it is asked for in the file
   $FAKE_CUDA_LOG and does nothing; its memory is the host's. $FAKE_CUDA_VERSION is the driver's version,
   $FAKE_CUDA_CHIP the device's compute capability, as 87; $FAKE_CUDA_FAIL the call
   that fails, with the error $FAKE_CUDA_ERROR; $FAKE_CUDA_REFUSE the kind of image,
   cubin, fatbin or ptx, that the driver says is not for its device. With
   $FAKE_CUDA_COPY as "0 3 64" kernels copy 64 bytes from their argument 0 to argument 3. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int number(const char *name) { return atoi(getenv(name)); }

static int record(const char *call, const char *format, ...) {
  FILE *log = fopen(getenv("FAKE_CUDA_LOG"), "a");
  va_list values;
  va_start(values, format);
  fprintf(log, "%s ", call);
  vfprintf(log, format, values);
  fprintf(log, "\n");
  fclose(log);
  va_end(values);
  const char *fails = getenv("FAKE_CUDA_FAIL");
  return fails && strcmp(fails, call) == 0 ? number("FAKE_CUDA_ERROR") : 0;
}

static char context, module, kernel;

int cuInit(unsigned flags) { return record("cuInit", "%u", flags); }
int cuDriverGetVersion(int *version) {
  *version = number("FAKE_CUDA_VERSION");
  return 0;
}
int cuDeviceGet(int *device, int i) {
  *device = i;
  return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  *value = attribute == 75 ? number("FAKE_CUDA_CHIP") / 10 : number("FAKE_CUDA_CHIP") % 10;
  return 0;
}
int cuCtxGetCurrent(void **current) {
  *current = NULL;
  return 0;
}
int cuCtxGetDevice(int *device) {
  *device = 0;
  return 0;
}
int cuCtxPushCurrent_v2(void *pushed) { return pushed != &context; }
int cuCtxPopCurrent_v2(void **popped) {
  *popped = &context;
  return 0;
}
int cuDevicePrimaryCtxRetain(void **retained, int device) {
  *retained = &context;
  return record("cuDevicePrimaryCtxRetain", "%d", device);
}
int cuDevicePrimaryCtxRelease(int device) {
  return record("cuDevicePrimaryCtxRelease", "%d", device);
}
int cuModuleLoadData(void **loaded, const void *image) {
  const char *kind = memcmp(image, "\177ELF", 4) == 0            ? "cubin"
                     : memcmp(image, "\x50\xed\x55\xba", 4) == 0 ? "fatbin"
                                                                 : "ptx";
  const char *target = strcmp(kind, "ptx") == 0 ? strstr(image, ".target ") : kind;
  const char *refused = getenv("FAKE_CUDA_REFUSE");
  *loaded = &module;
  int failed = record("cuModuleLoadData", "%.13s", target ? target : "no target");
  return refused && strcmp(refused, kind) == 0 ? 209 : failed;
}
int cuModuleUnload(void *unloaded) { return record("cuModuleUnload", "%d", unloaded == &module); }
int cuModuleGetFunction(void **function, void *from, const char *name) {
  *function = &kernel;
  return record("cuModuleGetFunction", "%d %s", from == &module, name);
}
int cuFuncSetAttribute(void *function, int attribute, int value) {
  (void)function;
  return record("cuFuncSetAttribute", "%d %d", attribute, value);
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, void *stream, void **arguments, void **extra) {
  (void)function;
  const char *copy = getenv("FAKE_CUDA_COPY");
  int from, to, bytes;
  if (copy && sscanf(copy, "%d %d %d", &from, &to, &bytes) == 3)
    memcpy(*(void **)arguments[to], *(void **)arguments[from], bytes);
  return record("cuLaunchKernel", "%u %u %u %u %u %u %u %llx %llx %d", gx, gy, gz, bx, by, bz,
                shared, (unsigned long long)(uintptr_t)stream,
                (unsigned long long)*(uint64_t *)arguments[0], extra != NULL);
}
int cuCtxSynchronize(void) { return record("cuCtxSynchronize", ""); }
int cuFuncGetAttribute(int *value, int attribute, void *function) {
  (void)function;
  *value = attribute == 4 ? 96 : 0;
  return 0;
}
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *function, int threads,
                                                size_t shared) {
  (void)function, (void)threads, (void)shared;
  *blocks = 3;
  return 0;
}
int cuMemAlloc_v2(uint64_t *pointer, size_t bytes) {
  *pointer = (uintptr_t)malloc(bytes);
  return record("cuMemAlloc", "%zu", bytes);
}
int cuMemFree_v2(uint64_t pointer) {
  free((void *)(uintptr_t)pointer);
  return record("cuMemFree", "");
}
int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes) {
  memcpy((void *)(uintptr_t)to, from, bytes);
  return record("cuMemcpyHtoD", "%zu", bytes);
}
int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes) {
  memcpy(to, (void *)(uintptr_t)from, bytes);
  return record("cuMemcpyDtoH", "%zu", bytes);
}
int cuEventCreate(void **event, unsigned flags) {
  (void)flags;
  *event = &context;
  return 0;
}
int cuEventRecord(void *event, void *stream) { return event == NULL || stream != NULL; }
int cuEventSynchronize(void *event) { return record("cuEventSynchronize", "%d", event == &context); }
int cuEventElapsedTime(float *ms, void *begin, void *end) {
  *ms = 0.25f;
  return begin == NULL || end == NULL;
}
int cuEventDestroy_v2(void *event) { return event != &context; }
int cuGetErrorName(int error, const char **name) {
  *name = error == 209 ? "CUDA_ERROR_NO_BINARY_FOR_GPU"
          : error == 2 ? "CUDA_ERROR_OUT_OF_MEMORY"
                       : "CUDA_ERROR_INVALID_VALUE";
  return 0;
}
