#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Makes the folder that benchmarks attention on a machine with a GPU, CUDA and
# PyTorch, but no LLVM: bundles of every kernel, the runtime, and run.py.
#
#   benchmarks/gpu/prepare.sh [DIR] [--chips=sm_80,sm_87,sm_90] [--quick]
#                             [--only=TEXT]... [--jobs=N] [--runtime=FILE]
#
# DIR (build/gpu-benchmark) is replaced. On the other machine: python run.py
# The runtime comes built for x86-64 and aarch64 where ziglang is installed
# (requirements-boards.txt), else for this machine, or is FILE; with its source, from
# which run.py builds it for a machine that it is not for.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
build=${ELFATT_BUILD:-$root/build}
[ -x "$python" ] || python=python3

fail() {
  printf 'prepare: error: %s\n' "$*" >&2
  exit 2
}

output=$build/gpu-benchmark
if [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; then
  output=$1
  shift
fi
runtime=
options=()
for option; do
  case $option in
    --runtime=*) runtime=${option#--runtime=} ;;
    *) options+=("$option") ;;
  esac
done
[ -x "$build/bin/elfatt-compile" ] ||
  fail "$build/bin/elfatt-compile is not built: cmake --build --preset release"
[ -f "$build/share/elfatt/runtime/build.sh" ] || fail "the runtime's source is not built"
if [ -e "$output" ] && [ ! -f "$output/kit.json" ]; then
  [ -d "$output" ] && [ -z "$(ls -A "$output")" ] || fail "'$output' is there and no kit: not replaced"
fi

# Beside its destination, and renamed in the end.
mkdir -p "$(dirname "$output")"
kit=$(mktemp -d "$output.XXXXXX")
chmod 755 "$kit"
trap 'rm -rf "$kit"' EXIT

here=$root/benchmarks/gpu
cp "$here"/{run,worker,peers,device,simulated,gpu_report,gpu_shapes,paths}.py "$kit"
cp "$root"/benchmarks/{common,cpu/shapes}.py "$root"/python/tests/{reference,bundles}.py "$kit"
mkdir -p "$kit/elfatt/models"
cp "$root"/python/elfatt/{__init__,arrays,errors,executable,module,runtime,tools}.py "$kit/elfatt"
cp "$root"/python/elfatt/models/*.py "$kit/elfatt/models"
cp "$root/LICENSE" "$kit"
cp -r "$build/share/elfatt/runtime" "$kit/runtime"

if [ -n "$runtime" ]; then
  mkdir -p "$kit/lib/$(uname -m)"
  cp "$runtime" "$kit/lib/$(uname -m)/libelfatt_runtime.so"
elif "$python" -c 'import ziglang' 2>/dev/null; then
  PYTHON=$python ELFATT_RUNTIME_SOURCE=$kit/runtime \
    "$root/scripts/build_board_runtime.sh" "$kit/lib"
else
  mkdir -p "$kit/lib/$(uname -m)"
  sh "$kit/runtime/build.sh" "$kit/lib/$(uname -m)/libelfatt_runtime.so"
fi

"$python" "$here/make_bundles.py" "$kit" --compiler="$build/bin/elfatt-compile" "${options[@]}"

bytes=$(du -sb "$kit" | cut -f1)
[ "$bytes" -lt 40000000 ] ||
  fail "the folder has $bytes bytes, expected less than 40 MB: name fewer --chips"
rm -rf "$output"
mv "$kit" "$output"
trap - EXIT
printf '%s: %s MB; there: python run.py\n' "$output" "$((bytes / 1000000))"
