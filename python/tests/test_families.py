# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A few of the families of benchmarks/recognition, which other tests do not cover: every
attention is raised, and the model computes what it did. All of them: docs/Families.md."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "recognition"))
import measure  # noqa: E402
import page  # noqa: E402


@pytest.mark.parametrize(
    "table, name, spelling",
    [
        ("vision", "Swin", "sdpa"),  # shifted windows, position bias
        ("vision", "SAM image encoder", "eager"),  # decomposed position bias
        ("encoders", "T5 encoder", "eager"),  # bias by buckets, no scale
        ("decoders", "Gemma2", "eager"),  # softcap, sliding window, grouped heads
        ("decoders", "BLOOM", "eager"),  # ALiBi
    ],
)
def test_family(table: str, name: str, spelling: str) -> None:
    families = importlib.import_module(f"zoo.{table}").FAMILIES
    (family,) = (family for family in families if family.name == name)
    result = measure.measure(family, spelling, "torch", keep=None)
    record = page.judge((table, family, spelling, "torch"), result)
    assert page.is_complete(record), (page.line(record, 0), record["messages"])


def test_incomplete_rows_are_told() -> None:
    families = importlib.import_module("zoo.torch_nn").FAMILIES
    case = "torch.nn", families[0], "sdpa", "torch"
    site = {"status": "raised", "op": "attention.sdpa", "bias": "none"}
    other = {"status": "refused", "reason": "no-softmax", "message": "there is none"}
    assert page.is_complete(page.judge(case, {"sites": [site], "error": 1e-7}))
    for result in (
        {"sites": [site], "error": 1e-3},
        {"sites": [site], "error": float("inf")},
        {"sites": [site, site], "error": 1e-7},
        {"sites": [site, other], "error": 1e-7},
        {"sites": [], "error": 1e-7},
        {"failure": "import: no"},
    ):
        assert not page.is_complete(page.judge(case, result))


def test_difference() -> None:
    one, nan = np.array([1.0, 2.0]), np.array([1.0, np.nan])
    assert measure.difference([one], [one + [0, 0.5]]) == 0.2
    assert measure.difference([nan], [nan]) == 0.0
    assert measure.difference([nan], [one]) == float("inf")
    with pytest.raises(ValueError, match="expected shape"):
        measure.difference([one[:1]], [one])


def test_page_shows_what_falls_short(tmp_path: Path) -> None:
    families = importlib.import_module("zoo.torch_nn").FAMILIES
    case = "torch.nn", families[0], "sdpa", "torch"
    site = {"status": "refused", "reason": "no-softmax", "message": "there is none"}
    record = {**page.judge(case, {"sites": [site], "error": 1e-7}), "revision": "abc"}
    page.write([record], tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert (
        "| MultiheadAttention | sdpa | torch | 1 | none | 1 no-softmax | 1.0e-07 |"
        in text
    )
    assert "- MultiheadAttention (sdpa, torch): there is none" in text
