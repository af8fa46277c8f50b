# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Instructions of compiled attention against recorded counts: a guard against slower
code that no other work on the machine disturbs. After a change that is meant:
``python benchmarks/cpu/instructions.py --record``."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "cpu"))

import instructions  # noqa: E402


@pytest.mark.parametrize("shape", instructions.SHAPES, ids=lambda shape: shape.name)
def test_instructions_are_not_more_than_recorded(shape: object, tmp_path: Path) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("counts are of AVX2 code")
    record = instructions.read_record()
    try:
        version = instructions.get_llvm_version()
        if version != record["llvm"]:
            pytest.skip(f"counts are of LLVM {record['llvm']}, this is {version}")
        count = instructions.count(shape, tmp_path)
    except instructions.Unavailable as missing:
        pytest.skip(str(missing))
    known = record["instructions"][shape.name]  # type: ignore[index,attr-defined]
    assert count <= known * (1 + instructions.TOLERANCE), f"{count} beside {known}"
    # A record far above what the code does would let it become slower again.
    assert count >= known / 2, f"{count} beside {known}: record the better count"
