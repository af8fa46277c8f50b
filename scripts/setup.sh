#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Installs what the project needs and is missing: Debian packages, and a Python
# environment in .venv. Idempotent; a second run takes seconds.
#
#   scripts/setup.sh                  packages and .venv
#   scripts/setup.sh --python-only    .venv alone (no root needed)
#
# Environment: PYTHON, the interpreter .venv is made from (3.11 or newer).
set -euo pipefail

PACKAGES=(
  # Compiler infrastructure.
  libmlir-22-dev mlir-22-tools llvm-22-dev llvm-22-tools liblld-22-dev
  # Building.
  clang-22 libclang-rt-22-dev lld-22 cmake ninja-build
  # Libraries.
  libboost-context-dev libdnnl-dev libgtest-dev libzip-dev nlohmann-json3-dev
  # Bundles for aarch64 boards, built and run here: 20 MB.
  qemu-user libc6-dev-arm64-cross libgcc-12-dev-arm64-cross libstdc++-12-dev-arm64-cross
  # Python. The headers are for the bindings.
  python3 python3-dev python3-venv
  # Counting instructions in the tests.
  valgrind
)

# transformers 5 and NumPy 2.4 need 3.11.
MIN_PYTHON="3.11"

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly ROOT=$PWD

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: error: %s\n' "$*" >&2
  exit 2
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "need root to run '$*': run this script as root or install sudo"
  fi
}

# ------------------------------------------------------------ Debian packages

missing_packages() {
  local package
  for package in "${PACKAGES[@]}"; do
    # Prints e.g. "ii " for an installed package.
    case "$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null)" in
      ?i*) ;;
      *) echo "$package" ;;
    esac
  done
}

install_packages() {
  command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
    fail "no apt-get here; install by other means what these Debian packages hold," \
      "then run 'scripts/setup.sh --python-only': ${PACKAGES[*]}"
  local missing
  mapfile -t missing < <(missing_packages)
  if [ ${#missing[@]} -eq 0 ]; then
    say "Debian packages: all ${#PACKAGES[@]} are there"
    return
  fi
  say "Debian packages: installing ${missing[*]} (about 3 GB with all they need," \
    "some minutes on a bare machine)"
  local log
  log=$(mktemp)
  # apt's own lock makes a second set-up wait instead of failing.
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
  if ! as_root "${apt[@]}" update >"$log" 2>&1; then
    # One broken third-party source must not stop us: the install decides.
    say "warning: 'apt-get update' had errors: $(grep -m1 '^E:' "$log" || tail -n1 "$log")"
  fi
  if ! as_root "${apt[@]}" install --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    fail "could not install the Debian packages (see above); LLVM 22 is in Debian 12" \
      "with its security updates, and in Ubuntu with LLVM's own packages"
  fi
  rm -f "$log"
}

# ------------------------------------------------------------ Python

is_usable() { # PYTHON: new enough, and able to make a venv
  command -v "$1" >/dev/null &&
    "$1" -c "import sys, venv, ensurepip
sys.exit(sys.version_info < tuple(map(int, '$MIN_PYTHON'.split('.'))))" 2>/dev/null
}

find_python() {
  if [ -n "${PYTHON:-}" ]; then
    is_usable "$PYTHON" ||
      fail "PYTHON=$PYTHON is not CPython $MIN_PYTHON or newer with the venv module"
    echo "$PYTHON"
    return
  fi
  local candidate
  for candidate in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
    if is_usable "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  fail "found no CPython $MIN_PYTHON or newer with the venv module; set PYTHON to one"
}

pip_install() {
  "$ROOT/.venv/bin/python" -m pip --disable-pip-version-check -qq install \
    --no-input --progress-bar off "$@"
}

# What .venv depends on. The path is part of it: a venv cannot be moved.
stamp_of() {
  {
    echo "$ROOT"
    "$1" -c 'import sys; print(sys.version)'
    cat requirements*.txt pyproject.toml
  } | sha256sum | cut -d' ' -f1
}

install_python() {
  local python stamp
  python=$(find_python)
  stamp=$(stamp_of "$python")
  if [ "$(cat .venv/elfatt-stamp 2>/dev/null)" = "$stamp" ] && .venv/bin/python -c ''; then
    say "Python packages: .venv is up to date"
    return
  fi
  say "Python packages: installing $(grep -c '==' requirements.txt) pinned packages" \
    "into .venv with $("$python" --version) (about 1.5 GB, PyTorch alone takes a minute)"
  # Made anew: packages that a pin no longer names must not stay.
  rm -rf .venv
  "$python" -m venv .venv || fail "could not make .venv with $python"
  pip_install -r requirements.txt ||
    fail "pip could not install requirements.txt (see above)"
  pip_install --no-deps -r requirements-nodeps.txt ||
    fail "pip could not install requirements-nodeps.txt (see above)"
  # One release does not know all chips, whatever is on PATH.
  pip_install --no-deps -r requirements-ptxas.txt ||
    fail "pip could not install requirements-ptxas.txt (see above)"
  # Python alone; the tools are found in build/bin. The pinned backend builds it, so that
  # no other is downloaded.
  pip_install --no-deps --no-build-isolation --config-settings=wheel.cmake=false -e . ||
    fail "pip could not install the elfatt package of this repository (see above)"
  echo "$stamp" >.venv/elfatt-stamp
}

case "${1:-}" in
  "") install_packages ;;
  --python-only) ;;
  *) fail "unknown argument '$1'; see the head of scripts/setup.sh" ;;
esac
install_python
say "done"
