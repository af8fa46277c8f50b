/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

   What a bundle's shared object and the runtime say to each other. The object
   exports one `elfatt_code_interface` under the name below; it says its version
   and the runtime fills in the rest when it loads it. Compiled code calls the
   runtime through these pointers and through nothing else, so that it works
   whether the runtime is a shared library, loaded privately or linked in. */
#ifndef ELFATT_RUNTIME_CODEINTERFACE_H
#define ELFATT_RUNTIME_CODEINTERFACE_H

#include <stdint.h>

#define ELFATT_CODE_INTERFACE "elfatt_interface"
#define ELFATT_CODE_INTERFACE_VERSION 1
/* A function `f` is entered by `void elfatt_entry_f(void **args)`, where args
   holds one memref descriptor for each input, then for each output. */
#define ELFATT_CODE_ENTRY "elfatt_entry_"
/* Alignment of each constant in the file of constants, in bytes. */
#define ELFATT_CONSTANT_ALIGNMENT 64

typedef struct elfatt_code_interface {
  int64_t version;
  /* The file of constants, in memory. */
  const void *constants;
  /* elfatt_parallel_for, elfatt_sgemm, elfatt_fail, elfatt_alloc and elfatt_free
     for code within elfatt_run. */
  void *parallel_for;
  void *sgemm;
  void *fail;
  void *alloc;
  void *free;
} elfatt_code_interface;

#endif /* ELFATT_RUNTIME_CODEINTERFACE_H */
