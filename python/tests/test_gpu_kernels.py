# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The GPU's attention kernels, on the simulator, against formulas in float64
(reference.py): every kernel, type and family of chips of gpu_tables.py. The simulator
checks bounds, races, alignment and meetings on the way.

    python python/tests/test_gpu_kernels.py [--groups=masks,...] [--chips=sm_87,...]

runs all of them, not one in some, and prints each that is out of bounds. Random cases:
kernel_sweep.py --target=sim.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Dict, List, Sequence

import ml_dtypes
import numpy as np
import pytest
from elfatt.tools import find_tool
from gpu_tables import CHIPS, GROUPS, REFUSED, Item, Refusal, find_refusal
from kernel_case import DTYPES, Case, Result, check, run
from kernel_ops import linear


def failures(tool: str, folder: Path, chip: str, items: Sequence[Item]) -> List[str]:
    """What is wrong with these cases on a chip, and neither right nor refused."""
    cases = [item.make() for item in items]
    results: Dict[str, Result] = {}
    # One that is refused would have all that share its module compiled again.
    for at_once in (1, 12):
        some = [c for c in cases if (find_refusal(c.name) is None) == (at_once > 1)]
        options = [f"--target=sim:{chip}"]
        results |= run(tool, folder / str(at_once), some, options, at_once, seconds=300)
    found = []
    for case in cases:
        if not is_refused(case, results[case.name]):
            try:
                check(case, results[case.name], eager=True)
            except AssertionError as error:
                found.append(f"{case.name} on {chip}: {str(error)[-600:]}")
    return found


def is_refused(case: Case, result: Result) -> bool:
    refusal = find_refusal(case.name)
    if refusal is None or not isinstance(result, str):
        return False
    return result.startswith("exit status 2") and bool(
        re.search(refusal.message, result)
    )


def by_chip(items: Sequence[Item]) -> Dict[str, List[Item]]:
    chips = defaultdict(list)
    for item in items:
        chips[item.chip].append(item)
    return chips


@pytest.mark.parametrize("group", GROUPS)
def test_kernels(elfatt_run: str, tmp_path: Path, group: str) -> None:
    items, stride = GROUPS[group]
    found = []
    for chip, of_chip in by_chip(items()[::stride]).items():
        found += failures(elfatt_run, tmp_path / chip, chip, of_chip)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("refusal", REFUSED, ids=lambda r: r.message[:20])
def test_refused(elfatt_run: str, tmp_path: Path, refusal: Refusal) -> None:
    """Whoever makes a kernel for one of these takes it from the table."""
    case = refusal.example()
    assert find_refusal(case.name) is refusal
    result = run(elfatt_run, tmp_path, [case], [f"--target=sim:{refusal.chip}"])
    assert is_refused(case, result[case.name]), result[case.name]


@pytest.mark.parametrize("dtype", ("f16", "bf16"))
@pytest.mark.parametrize("chip", ("sm_72", "sm_75", "sm_87"))
def test_contexts_are_not_rounded(
    elfatt_run: str, tmp_path: Path, chip: str, dtype: str
) -> None:
    """Each row takes the mean of two channels, whose contexts are large numbers of different
    sign: most of it is what rounding them leaves. PyTorch rounds them, and so tells how much."""
    spacing = 100 * float(ml_dtypes.finfo(DTYPES[dtype]).eps)
    tokens, channels = np.mgrid[:48, :16]
    up = np.random.default_rng(48).integers(0, 2, (48, 16))
    v = (100 + spacing * up) * (1 - 2 * (tokens % 2))
    k = np.where(tokens % 16 == channels, 20.0, -20.0)
    q = np.where((channels - tokens) % 16 < 2, 20.0, -20.0)
    q, k, v = (x[None, None] for x in (q, k, v))
    case = linear("remainder", q, k, v, dtype=dtype)
    result = run(elfatt_run, tmp_path, [case], [f"--target=sim:{chip}"])[case.name]
    check(case, result, eager=True)
    assert case.eager is not None and not isinstance(result, str)
    error, rounded = (
        float(np.abs(x.astype(np.float64) - case.expected).max())
        for x in (result, case.eager())
    )
    assert 8 * error <= rounded, (error, rounded)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--groups", default=",".join(GROUPS))
    parser.add_argument("--chips", default=",".join([*CHIPS, "sm_120"]))
    given = parser.parse_args()
    tool = find_tool("elfatt-run")
    if tool is None:
        parser.error("elfatt-run is not built")
    count, failed = 0, 0
    for group in given.groups.split(","):
        for chip, items in by_chip(GROUPS[group].items()).items():
            if chip not in given.chips.split(","):
                continue
            with tempfile.TemporaryDirectory() as folder:
                found = failures(tool, Path(folder), chip, items)
            print(f"{group} on {chip}: {len(items)} cases, {len(found)} out of bounds")
            print("".join(f"    {line}\n" for line in found), end="", flush=True)
            count, failed = count + len(items), failed + len(found)
    print(f"{count} cases, {failed} out of bounds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
