# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Kinds of spellings that are not raised yet: a case whose choices match one of these
patterns is not drawn. The table is to be empty."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Dict, List

from .choices import Record

Pattern = Dict[str, str]

#: Names and options, with wildcards.
REFUSED: List[Pattern] = [
    # Sizes that fusing computes anew, which nothing shows to be equal.
    {"dynamic": "*", "passes": "*fuse*"},
    # A part of a dynamic tensor: torch-mlir's JIT, which runs these, takes its strides
    # for others.
    {"dynamic": "*", "?.part of": "[de]"},
]


def is_known(record: Record, name: str) -> bool:
    """Whether ``name``, chosen last, made a case that is not raised yet."""
    return any(_matches(pattern, record, name) for pattern in REFUSED)


def _matches(pattern: Pattern, record: Record, name: str) -> bool:
    if not any(fnmatchcase(name, wanted) for wanted in pattern):
        return False
    return all(
        any(fnmatchcase(n, wanted) and fnmatchcase(o, value) for n, o in record.items())
        for wanted, value in pattern.items()
    )
