#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Sets up what is missing, builds, and does the main job on real models: import,
# find the attention, run it exactly and as ELFATT, write GPU code, and print
# what came out beside PyTorch.
#
#   scripts/demo.sh [--models=minilm,vit_small,...] [--output=FOLDER] [--help]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/setup.sh
if ! log=$(cmake --preset release 2>&1); then
  printf '%s\n' "$log" >&2
  exit 2
fi
cmake --build --preset release
exec .venv/bin/python -m elfatt.demo "$@"
