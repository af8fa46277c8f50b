# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Instructions of one call of an attention op, counted by callgrind.

    python benchmarks/cpu/instructions.py [--record]

A guard without noise: two small shapes are compiled to bundles for AVX2 (what
valgrind knows), and the instructions of one warm call on one thread are compared with
results/cpu-instructions.json; --record writes that file anew. The test suite does the
same (python/tests/test_instructions.py). Counts of another LLVM are not compared.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, Optional

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import common  # noqa: E402
import shapes  # noqa: E402

NAME = "cpu-instructions"
RECORD = common.RESULTS / f"{NAME}.json"

TOLERANCE = 0.05
"""A count may grow by this part before it is called slower. Nothing in it is noise: it
leaves room for changes that pay elsewhere."""

LEVEL = "x86-64-v3"

SHAPES = (
    shapes.Elfatt(28, 64, 2, 7, 1),
    shapes.Exact("ViT", 1, 2, 197, 197, 64),
)


class Unavailable(Exception):
    """What is missing on this machine."""


def find(name: str) -> str:
    """A tool of LLVM 22, or of this repository."""
    found = (
        shutil.which(f"{name}-22")
        or shutil.which(name, path="/usr/lib/llvm-22/bin")
        or shutil.which(name)
    )
    if not found:
        raise Unavailable(f"{name} is not installed: run scripts/setup.sh")
    return found


def get_llvm_version() -> str:
    text = subprocess.run([find("clang"), "--version"], text=True, capture_output=True)
    return re.search(r"version ([\d.]+)", text.stdout)[1]  # type: ignore[index]


def count(shape: object, folder: Path) -> int:
    """Instructions of one warm call."""
    valgrind = find("valgrind")
    source, bundle, program = folder / "op.mlir", folder / "bundle", folder / "call"
    source.write_text(shape.mlir("f32"))  # type: ignore[attr-defined]
    common.run(
        "elfatt-compile", str(source), f"--target=cpu:x86_64-linux-gnu:{LEVEL}",
        "--no-runtime-source", "-o", str(bundle),
    )  # fmt: skip
    libraries = ROOT / "build" / "lib"
    common.run(
        find("clang++"), "-O1", "-std=c++20", f"-I{ROOT / 'include'}",
        str(Path(__file__).parent / "call_once.cpp"), f"-L{libraries}",
        f"-Wl,-rpath,{libraries}", "-lelfatt_runtime", "-o", str(program),
    )  # fmt: skip
    result = common.run(
        valgrind, "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=measured",
        f"--callgrind-out-file={folder / 'callgrind.out'}", str(program), str(bundle), LEVEL,
    )  # fmt: skip
    return int(re.search(r"Collected : (\d+)", result.stderr)[1])  # type: ignore[index]


def read_record() -> Dict[str, object]:
    return json.loads(RECORD.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="keep these counts")
    arguments = parser.parse_args()
    counts: Dict[str, int] = {}
    try:
        version = get_llvm_version()
        for shape in SHAPES:
            print(f"{shape.name}: compiling, then counting", flush=True)
            with tempfile.TemporaryDirectory() as folder:
                counts[shape.name] = count(shape, Path(folder))
    except Unavailable as error:
        sys.exit(f"error: {error}")
    known: Optional[Dict[str, int]] = None
    if RECORD.exists():
        known = read_record()["instructions"]  # type: ignore[assignment]
    lines = [["AVX2, f32, one call", "instructions", "recorded", "ratio"]]
    for name, number in counts.items():
        before = (known or {}).get(name)
        ratio = f"{number / before:.3f}" if before else ""
        lines.append([name, str(number), str(before or ""), ratio])
    print()
    common.print_table(lines)
    if arguments.record:
        common.write_results(NAME, {"llvm": version, "instructions": counts}, sys.argv)


if __name__ == "__main__":
    main()
