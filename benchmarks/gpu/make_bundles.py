# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiles the bundles of prepare.sh: KIT/bundles/NAME for each shape and type, and
KIT/kit.json. A kernel that does not compile is left out, with its reason in kit.json."""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple

import paths  # noqa: F401

import common
import gpu_shapes
import run


def compile_bundle(
    compiler: str, folder: Path, targets: str, shape: Any, element: str
) -> Optional[str]:
    """Why it failed, or None."""
    with tempfile.NamedTemporaryFile("w", suffix=".mlir") as file:
        file.write(shape.mlir(element))
        file.flush()
        command = [compiler, file.name, f"--target={targets}", "--no-runtime-source"]
        command += ["-o", str(folder / gpu_shapes.slug(shape, element))]
        done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode == 0:
        return None
    lines = [x for x in done.stderr.splitlines() if "error:" in x]
    return (lines or [f"status {done.returncode}"])[0].split("error: ", 1)[-1][:300]


def main(words: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kit", type=Path)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--chips", default="sm_80,sm_87,sm_90,sm_120")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--types", default="")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args(words)
    cases = run.list_cases(arguments)
    if not cases:
        parser.error(f"no shape's name contains {' or '.join(arguments.only)}")
    folder = arguments.kit / "bundles"
    folder.mkdir(parents=True)
    # ptxas of this Python's packages, as in an active virtual environment.
    os.environ.setdefault("VIRTUAL_ENV", sys.prefix)
    begin = time.monotonic()

    def make(case: Tuple[Any, str]) -> Optional[str]:
        return compile_bundle(arguments.compiler, folder, arguments.chips, *case)

    failed = {}
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for number, (case, why) in enumerate(zip(cases, pool.map(make, cases))):
            seconds = time.monotonic() - begin
            name = gpu_shapes.slug(*case)
            print(
                f"[{seconds:4.0f} s, {number + 1} of {len(cases)}] {name}: {why or 'ok'}"
            )
            if why:
                failed[name] = why
    kit = {
        "revision": common.revision(),
        "chips": arguments.chips.split(","),
        "failed": failed,
    }
    (arguments.kit / "kit.json").write_text(json.dumps(kit, indent=2) + "\n")
    return 0 if len(failed) < len(cases) else 1


if __name__ == "__main__":
    sys.exit(main())
