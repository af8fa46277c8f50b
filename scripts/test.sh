#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Sets up what is missing, builds, and runs all tests: lit with the unit tests,
# lit once more with every input of elfatt-opt printed and parsed again, pytest.
# The last line is "N passed, N failed"; the exit status is 0 when none failed.
#
#   scripts/test.sh [--no-setup]
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly ROOT=$PWD
readonly RESULTS=$ROOT/build/test-results
# Seconds for a runner, several times what it takes: a test that hangs must not hang the whole.
readonly LIMIT=2400

say() { printf '\ntest: %s (%d s so far)\n' "$*" "$SECONDS"; }

# Nothing can be tested: that is one failure.
give_up() {
  printf 'test: error: %s\n' "$*" >&2
  echo "0 passed, 1 failed"
  exit 1
}

case "${1:-}" in
  "")
    say "setting up"
    scripts/setup.sh || give_up "scripts/setup.sh failed"
    ;;
  --no-setup) ;;
  *)
    printf "test: error: unknown argument '%s'; see the head of scripts/test.sh\n" "$1" >&2
    exit 2
    ;;
esac

python=$ROOT/.venv/bin/python
[ -x "$python" ] || give_up ".venv is missing; run scripts/setup.sh"

say "configuring"
configure_log=$(cmake --preset release 2>&1) || give_up "cmake failed: $configure_log"

say "building"
cmake --build --preset release --target all elfatt-unit-tests elfatt-docs ||
  give_up "the build failed"

rm -rf "$RESULTS"
mkdir -p "$RESULTS"

say "lit and unit tests"
timeout "$LIMIT" .venv/bin/lit -q --xunit-xml-output "$RESULTS/lit.xml" \
  build/test build/test/Unit

# What does not run elfatt-opt would only be repeated.
say "lit, inputs round-tripped"
timeout "$LIMIT" .venv/bin/lit -q --param verify_roundtrip=1 --filter-out Integration \
  --xunit-xml-output "$RESULTS/lit-roundtrip.xml" build/test

say "pytest"
timeout "$LIMIT" "$python" -m pytest -q --junitxml "$RESULTS/pytest.xml" python/tests

say "results"
"$python" scripts/sum_results.py "$RESULTS"/{lit,lit-roundtrip,pytest}.xml
