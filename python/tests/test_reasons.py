# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The closed lists of reasons: each is in docs/Reasons.md and in a lit test, and what
is there is in the lists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Set

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "Reasons.md").read_text()


def listed() -> Set[str]:
    """The second argument of each X(Id, "name", ...) of the lists in the headers."""
    names: Set[str] = set()
    for path in ("Raise/Reasons.h", "Approximate/Plan.h"):
        header = (ROOT / "include" / "elfatt" / path).read_text()
        names.update(re.findall(r'X\(\w+,\s*"([\w-]+)"', header))
    return names


def shown_by_tests() -> Set[str]:
    """Reasons as remarks, attributes and records have them."""
    names: Set[str] = set()
    for stage in ("Raise", "Approximate"):
        for path in (ROOT / "test" / stage).glob("*.*"):
            text = path.read_text()
            names.update(re.findall(r"\(([\w-]+)\)[:}]", text))
            names.update(re.findall(r'reason"?[:=]? *=? *"([\w-]+)"', text))
            names.update(re.findall(r"\(([a-z]+-[\w-]+)\)", text))
    return names


def documented() -> Set[str]:
    return set(re.findall(r"^## ([\w-]+)$", DOCS, re.MULTILINE)) | set(
        re.findall(r"^\| `([\w-]+)` \|", DOCS, re.MULTILINE)
    )


@pytest.mark.parametrize("name", sorted(listed()))
def test_reason_is_documented_and_tested(name: str) -> None:
    assert name in documented(), f"docs/Reasons.md has no entry for {name}"
    assert name in shown_by_tests(), (
        f"no test in test/Raise or test/Approximate shows {name}"
    )


def test_nothing_else_is_documented() -> None:
    assert documented() <= listed()
    assert len(listed()) > 20


@pytest.mark.parametrize("part", ["Cause", "Example", "What to do"])
def test_each_reason_of_raising_says_all(part: str) -> None:
    for section in re.split(r"^## ", DOCS.split("\n# ")[0], flags=re.MULTILINE)[1:]:
        name = section.splitlines()[0]
        assert f"**{part}.**" in section, f"{name} lacks '{part}'"
