#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Builds libelfatt_runtime.so for boards with an old C library: for x86-64 and
# aarch64, asking for nothing newer than glibc 2.27 (JetPack 4), and checks that
# and its size. The first build takes a minute or two, since zig makes its C++
# library.
#
#   scripts/build_board_runtime.sh DIR
#
# Needs a configured build, and ziglang:
#   .venv/bin/python -m pip install -r requirements-boards.txt
set -euo pipefail

fail() {
  printf 'build_board_runtime: error: %s\n' "$*" >&2
  exit 2
}

[ $# -eq 1 ] || fail "expected a folder for the libraries"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
output=$1
source=${ELFATT_RUNTIME_SOURCE:-$root/build/share/elfatt/runtime}
python=${PYTHON:-$root/.venv/bin/python}
[ -f "$source/build.sh" ] || fail "no source in $source: build elfatt-compile first"
"$python" -c 'import ziglang' 2>/dev/null ||
  fail "the package ziglang is missing: $python -m pip install -r requirements-boards.txt"

# The newest version of glibc that a library asks for.
newest_glibc() {
  readelf --dyn-syms -W "$1" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1
}

for arch in x86_64 aarch64; do
  mkdir -p "$output/$arch"
  library=$output/$arch/libelfatt_runtime.so
  CXX="$python -m ziglang c++ -target $arch-linux-gnu.2.27" sh "$source/build.sh" "$library"
  newest=$(newest_glibc "$library")
  [ "$(printf '%s\nGLIBC_2.27\n' "$newest" | sort -V | tail -n 1)" = GLIBC_2.27 ] ||
    fail "$library asks for $newest"
  bytes=$(stat -c %s "$library")
  [ "$bytes" -lt 2097152 ] || fail "$library has $bytes bytes, expected less than 2 MB"
  echo "$library: $bytes bytes, $newest"
done
