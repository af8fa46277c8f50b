# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Faults in kernels are noticed: gpu_mutations.py has the rules, and runs all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from gpu_mutations import KERNELS, RULES, judge

MOST = 3
"""Mutants of one rule and kernel."""


@pytest.mark.parametrize("kernel", KERNELS)
def test_mutants_are_killed(kernel: str, tmp_path: Path) -> None:
    verdicts = judge(kernel, "sm_87", list(RULES), tmp_path, MOST)
    alive = [v.mutant for v in verdicts if not v.why]
    assert not alive, "\n".join(f"{m.rule}, line {m.line}: {m.old}" for m in alive)
    by_rule = {v.mutant.rule for v in verdicts}
    expected = {"no barrier", "no wait", "one more", "another lane", "another row"}
    assert expected <= by_rule, "a rule finds nothing to change"


def test_races_are_named(tmp_path: Path) -> None:
    verdicts = judge("branches-f16", "sm_87", ["no barrier"], tmp_path, MOST)
    assert all("a race" in v.why for v in verdicts), [v.why for v in verdicts]


@pytest.mark.parametrize("kernel", ("branches-f16", "long rows-f16"))
def test_lanes_of_quad_pairs_are_where_they_belong(kernel: str, tmp_path: Path) -> None:
    """mma.m8n8k4: each of the lane's bits, what lanes exchange, and what they multiply."""
    rules = ["another bit", "another lane", "another row", "swapped operands"]
    verdicts = judge(kernel, "sm_72", rules, tmp_path, MOST)
    alive = [v.mutant for v in verdicts if not v.why]
    assert not alive, "\n".join(f"{m.rule}, line {m.line}: {m.old}" for m in alive)
    assert {v.mutant.rule for v in verdicts} == set(rules)
