# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Drawn spellings of attention are raised and keep their meaning; drawn near misses
are not, or keep theirs. ``python -m spellings`` draws thousands."""

from __future__ import annotations

from typing import List, Tuple

import pytest
from spellings.build import build
from spellings.check import Outcome, run
from spellings.choices import Record, draw, replay
from spellings.draft import Case
from spellings.judge import NearMissJudge, SpellingJudge
from spellings.known import is_known
from spellings.near_misses import build_near_miss

# What the machine draws is the same each time: the sweep is for other seeds.
SEED = 4
SPELLINGS, NEAR_MISSES = 120, 150


def faults(drawn: List[Tuple[Record, Case]], outcomes: List[Outcome]) -> str:
    """What is wrong, with the choices to replay it by."""
    return "\n".join(
        f"{record}: {outcome.faults[0]}"
        for (record, _), outcome in zip(drawn, outcomes)
        if outcome.faults
    )


def test_spellings(elfatt_opt: str) -> None:
    drawn = draw(build, SPELLINGS, SEED, is_known)
    assert len({str(record) for record, _ in drawn}) > 0.9 * SPELLINGS
    outcomes = run([case for _, case in drawn], SEED, SpellingJudge())
    assert not faults(drawn, outcomes)
    assert all(outcome.is_raised for outcome in outcomes)


def test_near_misses(elfatt_opt: str) -> None:
    drawn = draw(build_near_miss, NEAR_MISSES, SEED, is_known)
    outcomes = run([case for _, case in drawn], SEED, NearMissJudge())
    assert not faults(drawn, outcomes)
    refused = sum(not outcome.is_raised for outcome in outcomes)
    assert refused > 0.7 * NEAR_MISSES


@pytest.mark.parametrize("breaks", ["scale", "guard", "mask"])
def test_judge_sees_a_wrong_result(elfatt_opt: str, breaks: str) -> None:
    """A formula that differs in one thing from the source is told apart."""
    record = {"scale": "scores", "guard": "safe", "steps": "1", "step0": "mask"}
    case = build(replay(record))
    assert case.meaning
    if breaks == "scale":
        case.meaning.scale *= 1.01
    elif breaks == "guard":
        case.meaning.guard = "none"
    else:
        case.meaning.steps.clear()
    (outcome,) = run([case], SEED, SpellingJudge())
    assert outcome.is_raised and outcome.faults


def test_replay_gives_the_same_text() -> None:
    for record, case in draw(build, 20, SEED, is_known):
        assert build(replay(record)).text == case.text


def test_every_kind_is_drawn() -> None:
    """No draw of a few hundred leaves a kind out."""
    taken = {
        f"{name}={option}"
        for record, _ in draw(build, 600, SEED)
        for name, option in record.items()
    }
    for kind in (
        "softmax=linalg.softmax",
        "max=twice",
        "max0.by=two results",
        "divide=after",
        "divide=in the product",
        "base=powf",
        "guard=nan-guard",
        "packing=qkv",
        "scale=both",
        "step0=alibi",
        "step0.triangle=tril",
        "types=bf16 widened",
        "dynamic=bij",
        "batch=brg",
        "also=probabilities",
        "dropout=all kept",
        "passes=--linalg-fuse-elementwise-ops",
    ):
        assert kind in taken, kind
