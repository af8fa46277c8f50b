// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RUN_HOSTRATES_H
#define ELFATT_LIB_RUN_HOSTRATES_H

#include "elfatt/Target/Cost.h"

#include <map>

namespace elfatt::run {

/// What this machine does in a second with the runtime's threads, measured: a few
/// milliseconds for each question, asked once.
class HostRates {
public:
  /// Multiply-adds and exponentials are measured at once.
  HostRates();

  /// Seconds to copy so many bytes that `bytes` cross memory: half are read, half are
  /// written. Small copies stay in caches, as the data of a small op does.
  double getCopySeconds(int64_t bytes);

  /// The rates that hold for an op that moves `bytes`.
  target::HostRates getRates(int64_t bytes);

private:
  double flops, exponentials;
  std::map<int64_t, double> copies;
};

} // namespace elfatt::run

#endif // ELFATT_LIB_RUN_HOSTRATES_H
