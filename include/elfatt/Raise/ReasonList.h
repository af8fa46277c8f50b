// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Closed lists of reasons: an enum, a name for reports, a text for people.
#ifndef ELFATT_RAISE_REASONLIST_H
#define ELFATT_RAISE_REASONLIST_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/ErrorHandling.h"

#define ELFATT_REASON_CASE(id, name, text) id,
#define ELFATT_REASON_NAME(id, name, text)                                                         \
  case Enum::id:                                                                                   \
    return name;
#define ELFATT_REASON_TEXT(id, name, text)                                                         \
  case Enum::id:                                                                                   \
    return text;

/// Defines the enum `Type`, `getName` and `getText` from `List(X)`, which is X(id, name, text) for
/// each of its cases.
#define ELFATT_DEFINE_REASONS(Type, List)                                                          \
  enum class Type { List(ELFATT_REASON_CASE) };                                                    \
  inline llvm::StringRef getName(Type reason) {                                                    \
    using Enum = Type;                                                                             \
    switch (reason) { List(ELFATT_REASON_NAME) }                                                   \
    llvm_unreachable("unknown reason");                                                            \
  }                                                                                                \
  inline llvm::StringRef getText(Type reason) {                                                    \
    using Enum = Type;                                                                             \
    switch (reason) { List(ELFATT_REASON_TEXT) }                                                   \
    llvm_unreachable("unknown reason");                                                            \
  }

#endif // ELFATT_RAISE_REASONLIST_H
