# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Raises a batch of cases at once, runs them, and says what is wrong with each."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Protocol, Sequence

import numpy as np
from elfatt.tools import find_tool
from execute import Executable

from . import inputs
from .draft import Case

#: Seconds that a tool may take for a batch: what takes longer hangs.
_TIMEOUT = 60
_RAISE = "--elfatt-raise=remarks=false"
_STRICT = "--elfatt-raise=remarks=false strict"


@dataclass
class Outcome:
    """What became of one case. ``faults`` is empty where all is well."""

    sites: List[Dict[str, Any]] = field(default_factory=list)
    #: The function after raising, and whether it is strict's that is executed: where
    #: strict raises a case, too, every other one is.
    raised: str = ""
    is_strict: bool = False
    faults: List[str] = field(default_factory=list)

    @property
    def is_raised(self) -> bool:
        return any(site["status"] == "raised" for site in self.sites)

    @property
    def loses_range(self) -> bool:
        """Whether the report says that the source overflows where the op does not."""
        return not self.is_strict and any(
            "rows overflow" in s["message"] for s in self.sites
        )

    @property
    def reasons(self) -> List[str]:
        return [site["reason"] for site in self.sites if site["status"] == "refused"]


class Judge(Protocol):
    """Adds what is wrong to an outcome: of the report, and of the results."""

    def report(self, case: Case, outcome: Outcome) -> None: ...

    def values(
        self,
        case: Case,
        outcome: Outcome,
        kind: str,
        arrays: List[np.ndarray],
        source: List[np.ndarray],
        raised: List[np.ndarray],
    ) -> None: ...


class ToolError(Exception):
    """A tool failed on a module."""


def _opt(text: str, *arguments: str) -> str:
    tool = find_tool("elfatt-opt")
    assert tool, "elfatt-opt is not built"
    result = subprocess.run(
        [tool, "-", *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
    )
    if result.returncode != 0:
        raise ToolError(f"elfatt-opt {' '.join(arguments)}: {result.stderr[-600:]}")
    return result.stdout


def _write_out_softmax(text: str) -> str:
    """``linalg.softmax`` as plain linalg, which the JIT needs."""
    if "linalg.softmax" not in text:
        return text
    library = Path(__file__).parent / "decompose_softmax.mlir"
    return _opt(
        text,
        f"--transform-preload-library=transform-library-paths={library}",
        "--transform-interpreter",
    )


def _functions(module: str) -> Dict[str, str]:
    """The text of each function of a printed module, by name."""
    inside = module[: module.rindex("}")]
    parts = re.split(r"^  func\.func @", inside, flags=re.M)[1:]
    return {re.match(r"\w+", part).group(): "  func.func @" + part for part in parts}  # type: ignore[union-attr]


def _raise(text: str, option: str) -> tuple:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "sites.json"
        raised = _opt(text, option, f"--elfatt-report=file={report}")
        return raised, json.loads(report.read_text())


def run(cases: Sequence[Case], start: int, judge: Judge) -> List[Outcome]:
    """Raises and executes all cases; on a crash, each on its own."""
    try:
        return _run(cases, start, judge)
    except Exception as error:  # noqa: BLE001 - any failure of a batch is one of a case.
        if len(cases) == 1:
            return [Outcome(faults=[f"{type(error).__name__}: {str(error)[:800]}"])]
        half = len(cases) // 2
        return run(cases[:half], start, judge) + run(cases[half:], start, judge)


def _prepare(cases: Sequence[Case]) -> str:
    """One module with all cases, each after its passes."""
    texts: Dict[str, str] = {}
    for i, case in enumerate(cases):
        texts[case.passes] = texts.get(case.passes, "") + case.named(f"f{i}")
    return "".join(
        _strip_module(_opt(text, *passes.split())) if passes else text
        for passes, text in texts.items()
    )


def _strip_module(text: str) -> str:
    """Functions without the module around them; maps have other names per module,
    so that they are printed in place."""
    text = _with_maps_in_place(text)
    return text[text.index("module {") + len("module {") : text.rindex("}")]


def _with_maps_in_place(text: str) -> str:
    maps = dict(re.findall(r"^(#map\d*) = (.*)$", text, flags=re.M))
    text = re.sub(r"^#map\d* = .*\n", "", text, flags=re.M)
    return re.sub(r"#map\d*", lambda match: maps[match.group(0)], text)


def _run(cases: Sequence[Case], start: int, judge: Judge) -> List[Outcome]:
    source = _prepare(cases)
    raised, records = _raise(source, _RAISE)
    strict, strict_records = _raise(source, _STRICT)
    functions = _functions(_with_maps_in_place(raised))
    exact = _functions(_with_maps_in_place(strict))
    outcomes = []
    for i in range(len(cases)):
        name = f"f{i}"
        is_strict = (start + i) % 2 == 0 and any(
            r["status"] == "raised" for r in strict_records if r["function"] == name
        )
        outcome = Outcome(
            raised=(exact if is_strict else functions)[name], is_strict=is_strict
        )
        outcome.sites = [r for r in records if r["function"] == name]
        judge.report(cases[i], outcome)
        outcomes.append(outcome)
    executed = [i for i, o in enumerate(outcomes) if o.is_raised and not o.faults]
    if executed:
        before = _compile(source, executed)
        module = "module {\n" + "".join(outcomes[i].raised for i in executed) + "}\n"
        after = _compile(_opt(module, "--elfatt-decompose"), executed)
        _execute(cases, outcomes, executed, before, after, start, judge)
    return outcomes


def _compile(text: str, executed: Sequence[int]) -> Executable:
    """The functions that are executed, of a module."""
    whole = _write_out_softmax(_opt(text))
    functions = _functions(whole)
    maps = "".join(re.findall(r"^#map\d* = .*\n", whole, flags=re.M))
    body = "".join(functions[f"f{i}"] for i in executed)
    return Executable(maps + "module {\n" + body + "}\n")


def _execute(
    cases: Sequence[Case],
    outcomes: List[Outcome],
    executed: Sequence[int],
    before: Executable,
    after: Executable,
    start: int,
    judge: Judge,
) -> None:
    for i in executed:
        for kind in inputs.KINDS:
            arrays = inputs.make(cases[i], kind, start)
            source = before.call(f"f{i}", *arrays)
            raised = after.call(f"f{i}", *arrays)
            judge.values(cases[i], outcomes[i], kind, arrays, source, raised)
