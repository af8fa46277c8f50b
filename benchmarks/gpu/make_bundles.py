# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiles the bundles of prepare.sh: KIT/bundles/NAME for each shape and type, and
KIT/kit.json. A chip for which a kernel does not compile is left out of its bundle, with
the reason in kit.json."""

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
from typing import Any, Dict, Optional, Sequence, Tuple

import paths  # noqa: F401

import common
import gpu_shapes
import run


def try_compile(
    compiler: str, output: Path, chips: Sequence[str], text: str
) -> Optional[str]:
    """Why it failed, or None."""
    with tempfile.NamedTemporaryFile("w", suffix=".mlir") as file:
        file.write(text)
        file.flush()
        command = [compiler, file.name, f"--target={','.join(chips)}"]
        command += ["--no-runtime-source", "-o", str(output)]
        done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode == 0:
        return None
    lines = [x for x in done.stderr.splitlines() if "error:" in x]
    return (lines or [f"status {done.returncode}"])[0].split("error: ", 1)[-1][:300]


def compile_bundle(
    compiler: str, output: Path, chips: Sequence[str], text: str
) -> Dict[str, str]:
    """Compiles for the chips that take the kernel. Why the others do not."""
    if (why := try_compile(compiler, output, chips, text)) is None:
        return {}
    if len(chips) == 1:
        return {chips[0]: why}
    with tempfile.TemporaryDirectory() as folder:
        tried = {c: try_compile(compiler, Path(folder) / c, [c], text) for c in chips}
    if good := [chip for chip in chips if tried[chip] is None]:
        try_compile(compiler, output, good, text)
    return {chip: why for chip, why in tried.items() if why}


def main(words: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kit", type=Path)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--chips", default="sm_80,sm_87,sm_90")
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

    chips = arguments.chips.split(",")

    def make(case: Tuple[Any, str]) -> Dict[str, str]:
        shape, element = case
        output = folder / gpu_shapes.slug(shape, element)
        return compile_bundle(arguments.compiler, output, chips, shape.mlir(element))

    failed = {}
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for number, (case, why) in enumerate(zip(cases, pool.map(make, cases))):
            seconds = time.monotonic() - begin
            name = gpu_shapes.slug(*case)
            what = ", ".join(f"{chip}: {text}" for chip, text in why.items()) or "ok"
            print(f"[{seconds:4.0f} s, {number + 1} of {len(cases)}] {name}: {what}")
            if why:
                failed[name] = why
    kit = {
        "revision": common.revision(),
        "chips": chips,
        "failed": failed,
    }
    (arguments.kit / "kit.json").write_text(json.dumps(kit, indent=2) + "\n")
    return 0 if any(folder.iterdir()) else 1


if __name__ == "__main__":
    sys.exit(main())
