# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""CPU bundles through the C API: bad calls and damaged files are a status, no fault."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
import shutil
from pathlib import Path
from typing import Any, Callable

import bundles
import numpy as np
import pytest
from bundles import Failure, Runtime, tensor
from cpu_bundles import DENSE, DIM, HEADS, TOKENS, Make, attention

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the bundles are for x86-64"
)

GOOD = np.zeros((TOKENS, 3, HEADS, DIM), np.float32)
OUT = np.zeros((TOKENS, HEADS, DIM), np.float32)
BAD_CALLS = {
    "no inputs": ([], [tensor(OUT)], "has 1 inputs, got 0"),
    "no outputs": ([tensor(GOOD)], [], "has 1 outputs, got 0"),
    "null input": ([tensor(GOOD, data=0)], [tensor(OUT)], "input 0: the data is null"),
    "null output": (
        [tensor(GOOD)],
        [tensor(OUT, data=0)],
        "output 0: the data is null",
    ),
    "misaligned": (
        [tensor(GOOD, data=GOOD.ctypes.data + 2)],
        [tensor(OUT)],
        "input 0: the data is not aligned to its elements of 4 bytes",
    ),
    "type": (
        [tensor(GOOD, element="f64")],
        [tensor(OUT)],
        "input 0: expected elements of type f32, got f64",
    ),
    "rank": (
        [tensor(GOOD, shape=[TOKENS, 3])],
        [tensor(OUT)],
        "input 0: expected 4 dims, got 2",
    ),
    "shape": (
        [tensor(GOOD, shape=[TOKENS + 1, 3, HEADS, DIM])],
        [tensor(OUT)],
        r"input 0: expected shape \[37x3x3x20\], got \[38x3x3x20\]",
    ),
    "output shape": (
        [tensor(GOOD)],
        [tensor(OUT, shape=[TOKENS, HEADS, 2**62])],
        r"output 0: expected shape \[37x3x20\]",
    ),
    "strides": (
        [tensor(GOOD, strides=[180, 60, 1, 3])],
        [tensor(OUT)],
        r"input 0: expected strides \[180x60x20x1\], got \[180x60x1x3\]",
    ),
    "overlap": (
        [tensor(GOOD)],
        [tensor(OUT, data=GOOD.ctypes.data + 400)],
        "output 0 overlaps input 0",
    ),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls_are_refused(runtime: Runtime, make_bundle: Make, case: str) -> None:
    inputs, outputs, message = BAD_CALLS[case]
    bundle = runtime.open(make_bundle(attention("f32")))
    with pytest.raises(Failure, match=message) as failure:
        bundle.run_tensors(inputs, outputs)
    assert failure.value.status == bundles.BAD_ARGUMENT
    bundle.run_tensors([tensor(GOOD)], [tensor(OUT)])


def test_huge_extents_are_refused(runtime: Runtime, make_bundle: Make) -> None:
    bundle = runtime.open(make_bundle(DENSE))
    x, index = np.zeros((1, 24), np.float32), np.zeros(5, np.int64)
    for rows in (-1, 2**31, 2**62):
        with pytest.raises(Failure) as failure:
            bundle.run_tensors(
                [tensor(x, shape=[rows, 24]), tensor(index)],
                [tensor(x, shape=[1, 40]), tensor(np.zeros((5, 24), np.float32))],
            )
        assert failure.value.status == bundles.BAD_ARGUMENT


def test_null_handles_are_refused(runtime: Runtime) -> None:
    library = runtime.library
    place = ctypes.c_void_p()
    calls = [
        lambda: library.elfatt_bundle_open(None, None, ctypes.byref(place)),
        lambda: library.elfatt_bundle_open(b"x", None, None),
        lambda: library.elfatt_bundle_target(None, ctypes.byref(place)),
        lambda: library.elfatt_bundle_find(None, b"main", ctypes.byref(place)),
        lambda: library.elfatt_function_counts(None, None, None),
        lambda: library.elfatt_run(None, None, 0, None, 0, None, 0, None),
    ]
    for call in calls:
        with pytest.raises(Failure, match="is null"):
            runtime.check(call())
    library.elfatt_bundle_close(None)


def sign(folder: Path) -> None:
    """Writes the checksum of a manifest that was changed."""
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    (folder / "manifest.json.sha256").write_text(f"{digest}  manifest.json\n")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change(**values: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest.update(values)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        sign(folder)

    return apply


DAMAGES: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "no folder": (shutil.rmtree, bundles.BAD_BUNDLE, "cannot read"),
    "no code": (
        lambda f: [p.unlink() for p in f.glob("code.*")],
        bundles.BAD_BUNDLE,
        "cannot read .*code",
    ),
    "code altered": (
        lambda f: [flip(p) for p in f.glob("code.*")],
        bundles.BAD_BUNDLE,
        "was altered",
    ),
    "code truncated": (
        lambda f: [os.truncate(p, 4096) for p in f.glob("code.*")],
        bundles.BAD_BUNDLE,
        "has 4096 bytes, expected",
    ),
    "constants altered": (
        lambda f: flip(f / "constants.bin"),
        bundles.BAD_BUNDLE,
        "constants.bin' was altered",
    ),
    "manifest altered": (
        lambda f: (f / "manifest.json").write_text(
            (f / "manifest.json").read_text().replace("24", "25")
        ),
        bundles.BAD_BUNDLE,
        "manifest.json' was altered",
    ),
    "manifest truncated": (
        lambda f: os.truncate(f / "manifest.json", 100),
        bundles.BAD_BUNDLE,
        "not JSON",
    ),
    "newer": (change(schema=4), bundles.NOT_SUPPORTED, "has format 4, .* up to 3"),
    "other machine": (
        change(
            code=[
                {
                    "file": "code.armv8-a.so",
                    "format": "elf",
                    "target": "armv8-a",
                    "architecture": "aarch64",
                }
            ]
        ),
        bundles.NOT_SUPPORTED,
        r"no code for this processor \(x86-64-v[\w-]+\); it has code for armv8-a",
    ),
    "path out of it": (
        change(constants="../x"),
        bundles.BAD_BUNDLE,
        "expected the name of a file of the bundle",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_bundles_are_refused(
    runtime: Runtime, make_bundle: Make, tmp_path: Path, damage: str
) -> None:
    apply, status, message = DAMAGES[damage]
    folder = tmp_path / "copy"
    shutil.copytree(make_bundle(DENSE), folder)
    apply(folder)
    with pytest.raises(Failure, match=message) as failure:
        runtime.open(folder)
    assert failure.value.status == status
