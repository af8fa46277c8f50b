#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Builds libelfatt_runtime.so from the source beside this script, with any
# compiler of C++17: the machine's own, or one for another machine.
#
#   sh build.sh [OUTPUT]
#
# Environment: CXXFLAGS (-O3), LDFLAGS, and CXX, the compiler (c++), for example
# CXX="python3 -m ziglang c++ -target aarch64-linux-gnu.2.27".
set -eu
folder=$(dirname "$0")
output=${1:-libelfatt_runtime.so}
# shellcheck disable=SC2086 # CXX may hold options.
exec ${CXX:-c++} -std=c++17 ${CXXFLAGS:--O3} -fPIC -shared -fvisibility=hidden -ffunction-sections \
  -fdata-sections -isystem "$folder" "$folder"/*.cpp -o "$output" -Wl,-soname,libelfatt_runtime.so \
  -Wl,--version-script="$folder/runtime.map" -Wl,--gc-sections -s ${LDFLAGS:-} -lpthread -ldl
