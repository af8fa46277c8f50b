# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Raises a batch of cases at once, runs them, and says what is wrong with each."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from elfatt.tools import find_tool
from execute import Executable

from . import inputs
from .draft import SCORE_LABELS, Case, spread
from .operands import from_bits
from .reference import Expected, expect

#: Seconds that a tool may take for a batch: what takes longer hangs.
_TIMEOUT = 60
_RAISE = "--elfatt-raise=remarks=false"
_STRICT = "--elfatt-raise=remarks=false strict"


@dataclass
class Outcome:
    """What became of one case. ``faults`` is empty where all is well."""

    sites: List[Dict[str, Any]] = field(default_factory=list)
    #: The function after raising, and whether strict raised it too.
    raised: str = ""
    is_strict: bool = False
    faults: List[str] = field(default_factory=list)

    @property
    def is_raised(self) -> bool:
        return any(site["status"] == "raised" for site in self.sites)

    @property
    def reasons(self) -> List[str]:
        return [site["reason"] for site in self.sites if site["status"] == "refused"]


class ToolError(Exception):
    """A tool failed on a module."""


def _opt(text: str, *arguments: str) -> str:
    tool = find_tool("elfatt-opt")
    assert tool, "elfatt-opt is not built"
    result = subprocess.run(
        [tool, "-", *arguments], input=text, capture_output=True, text=True, timeout=_TIMEOUT
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
    """The text of each function, and of what stands before them, by name."""
    parts = re.split(r"^  (?=func\.func )", module, flags=re.M)
    return {re.match(r"func\.func @(\w+)", part).group(1): part for part in parts[1:]}  # type: ignore[union-attr]


def _raise(text: str, option: str) -> tuple:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "sites.json"
        raised = _opt(text, option, f"--elfatt-report=file={report}")
        return raised, json.loads(report.read_text())


def run(cases: Sequence[Case], start: int, judge: "Judge") -> List[Outcome]:
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
    maps = dict(re.findall(r"^(#map\d*) = (.*)$", text, flags=re.M))
    body = text[text.index("module {") + len("module {") : text.rindex("}")]
    return re.sub(r"#map\d*", lambda match: maps[match.group(0)], body)


def _run(cases: Sequence[Case], start: int, judge: "Judge") -> List[Outcome]:
    source = _prepare(cases)
    raised, records = _raise(source, _RAISE)
    _, strict = _raise(source, _STRICT)
    functions = _functions(raised)
    outcomes = []
    for i in range(len(cases)):
        outcome = Outcome(raised=functions[f"f{i}"])
        outcome.sites = [r for r in records if r["function"] == f"f{i}"]
        outcome.is_strict = any(
            r["status"] == "raised" for r in strict if r["function"] == f"f{i}"
        )
        judge.report(cases[i], outcome)
        outcomes.append(outcome)
    executed = [i for i, o in enumerate(outcomes) if o.is_raised and not o.faults]
    if executed:
        before = _compile(source, executed)
        after = _compile(_opt(raised, "--elfatt-decompose"), executed)
        _execute(cases, outcomes, executed, before, after, start, judge)
    return outcomes


def _compile(text: str, executed: Sequence[int]) -> Executable:
    """The functions that are executed, of a module."""
    whole = _write_out_softmax(_opt(text))
    functions = _functions(whole)
    maps = "".join(re.findall(r"^#map\d* = .*\n", whole, flags=re.M))
    body = "".join("  " + functions[f"f{i}"] for i in executed)
    return Executable(maps + "module {\n" + body.rstrip().removesuffix("\n}") + "\n}\n", 0)


def _execute(
    cases: Sequence[Case], outcomes: List[Outcome], executed: Sequence[int],
    before: Executable, after: Executable, start: int, judge: "Judge",
) -> None:
    for i in executed:
        for kind in inputs.KINDS:
            if kind == "broken" and cases[i].adds_infinity:
                continue
            arrays = inputs.make(cases[i], kind, start)
            source = before.call(f"f{i}", *arrays)
            raised = after.call(f"f{i}", *arrays)
            judge.values(cases[i], outcomes[i], kind, arrays, source, raised)


def wide(array: np.ndarray, element: str) -> np.ndarray:
    return (from_bits(array) if element == "bf16" else array).astype(np.float64)


def differs(got: np.ndarray, want: np.ndarray, tolerance: Any) -> Optional[str]:
    """How ``got`` differs from ``want``, None where it does not."""
    if got.shape != want.shape:
        return f"expected shape {want.shape}, got {got.shape}"
    odd = ~np.isfinite(want) | ~np.isfinite(got)
    same = (np.isnan(want) & np.isnan(got)) | (want == got)
    if np.any(odd & ~same):
        place = tuple(np.argwhere(odd & ~same)[0])
        return f"expected {want[place]} at {[int(x) for x in place]}, got {got[place]}"
    with np.errstate(invalid="ignore"):
        excess = np.where(odd, 0.0, abs(got - want) / tolerance)
    if excess.size and excess.max() > 1:
        place = np.unravel_index(excess.argmax(), excess.shape)
        return (
            f"expected {want[place]:.7g} at {[int(x) for x in place]}, got {got[place]:.7g}: "
            f"{excess.max():.3g} times what is allowed"
        )
    return None


class Judge:
    """Says what is wrong with a case of attention."""

    def report(self, case: Case, outcome: Outcome) -> None:
        """The sites that were reported: one, raised, with the right facts."""
        assert case.meaning
        if len(outcome.sites) != 1 or not outcome.is_raised:
            reasons = ", ".join(outcome.reasons)
            outcome.faults.append(f"not raised, {len(outcome.sites)} sites: {reasons}")
            return
        site, sizes = outcome.sites[0], case.sizes
        if site["op"] != "attention.sdpa":
            outcome.faults.append(f"expected attention.sdpa, got {site['op']}")
            return
        shape = site["shape"]
        for name, label in (("M", "j"), ("D", "d"), ("Dv", "e")):
            if shape[name] not in (None, sizes[label]):
                outcome.faults.append(f"expected {name}={sizes[label]}, got {shape[name]}")
        if None not in shape.values():
            rows = sizes["b"] * sizes["g"] * sizes["r"] * sizes["i"]
            # Queries that share keys may be rows, too.
            got = shape["B"] * shape["H"] * shape["N"]
            if got != rows or shape["N"] not in (sizes["i"], sizes["i"] * sizes["r"]):
                outcome.faults.append(f"expected {rows} rows, {sizes['i']} a head, got {shape}")
        kinds = {step.kind for step in case.meaning.steps} - {"nothing"}
        if kinds == {"causal"} and sizes["j"] > 1 and site["bias"] != "causal":
            outcome.faults.append(f"expected the causal flag, got bias {site['bias']}")
        if not kinds and site["bias"] != "none":
            outcome.faults.append(f"expected no bias, got {site['bias']}")
        if kinds == {"additive"} and site["bias"] != "additive":
            outcome.faults.append(f"expected an additive bias, got {site['bias']}")

    def values(
        self, case: Case, outcome: Outcome, kind: str, arrays: List[np.ndarray],
        source: List[np.ndarray], raised: List[np.ndarray],
    ) -> None:
        """The same results before and after, and both are the formula's."""
        expected = expect(case, arrays)
        shown = case.results[0]
        labels = ("b", "g", "r", "i", "e")
        ours, theirs = (
            spread(wide(r[0], shown.element), shown.dims, case.sizes, labels)
            for r in (raised, source)
        )
        self._compare(outcome, f"{kind}: raised against the formula", ours, expected)
        assert case.meaning
        # Where the source loses range or precision it may be NaN alone.
        excess = case.meaning.loses_range and not outcome.is_strict
        if excess:
            theirs = np.where(np.isfinite(theirs), theirs, expected.values)
        self._compare(outcome, f"{kind}: source against the formula", theirs, expected)
        for i, (a, b) in enumerate(zip(raised[1:], source[1:]), start=1):
            element = case.results[i].element
            fault = differs(wide(a, element), wide(b, element), 1e-6)
            if fault:
                outcome.faults.append(f"{kind}: result {i}: {fault}")

    @staticmethod
    def _compare(outcome: Outcome, what: str, got: np.ndarray, expected: Expected) -> None:
        fault = differs(got, expected.values, expected.tolerance)
        if fault:
            outcome.faults.append(f"{what}: {fault}")
