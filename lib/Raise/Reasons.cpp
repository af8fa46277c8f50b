// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Reasons.h"

#include "llvm/Support/ErrorHandling.h"

using namespace elfatt::raise;

llvm::StringRef elfatt::raise::getName(Reason reason) {
  switch (reason) {
#define ELFATT_REASON_NAME(id, name, text)                                                         \
  case Reason::id:                                                                                 \
    return name;
    ELFATT_REASONS(ELFATT_REASON_NAME)
#undef ELFATT_REASON_NAME
  }
  llvm_unreachable("unknown reason");
}

llvm::StringRef elfatt::raise::getText(Reason reason) {
  switch (reason) {
#define ELFATT_REASON_TEXT(id, name, text)                                                         \
  case Reason::id:                                                                                 \
    return text;
    ELFATT_REASONS(ELFATT_REASON_TEXT)
#undef ELFATT_REASON_TEXT
  }
  llvm_unreachable("unknown reason");
}

llvm::StringRef elfatt::raise::getName(JoinReason reason) {
  switch (reason) {
#define ELFATT_JOIN_REASON_NAME(id, name, text)                                                    \
  case JoinReason::id:                                                                             \
    return name;
    ELFATT_JOIN_REASONS(ELFATT_JOIN_REASON_NAME)
#undef ELFATT_JOIN_REASON_NAME
  }
  llvm_unreachable("unknown reason");
}

llvm::StringRef elfatt::raise::getText(JoinReason reason) {
  switch (reason) {
#define ELFATT_JOIN_REASON_TEXT(id, name, text)                                                    \
  case JoinReason::id:                                                                             \
    return text;
    ELFATT_JOIN_REASONS(ELFATT_JOIN_REASON_TEXT)
#undef ELFATT_JOIN_REASON_TEXT
  }
  llvm_unreachable("unknown reason");
}
