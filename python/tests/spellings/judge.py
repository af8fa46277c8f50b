# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is wrong with a case that was raised, or was not, and run."""

from __future__ import annotations

from typing import Any, List, Optional

import numpy as np

from .check import Outcome
from .draft import Case, spread
from .operands import from_bits
from .reference import Expected, expect


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


class SpellingJudge:
    """Says what is wrong with a case of attention."""

    def report(self, case: Case, outcome: Outcome) -> None:
        """The sites that were reported: one, raised, with the right facts."""
        assert case.meaning
        if len(outcome.sites) != 1 or not outcome.is_raised:
            reasons = ", ".join(outcome.reasons)
            outcome.faults.append(f"not raised, {len(outcome.sites)} sites: {reasons}")
            return
        site, sizes = outcome.sites[0], case.sizes
        if outcome.loses_range and not case.may_lose_range:
            outcome.faults.append("an excess of range is reported without a cause")
        if site["op"] != "attention.sdpa":
            outcome.faults.append(f"expected attention.sdpa, got {site['op']}")
            return
        shape = site["shape"]
        for name, label in (("M", "j"), ("D", "d"), ("Dv", "e")):
            if shape[name] not in (None, sizes[label]):
                outcome.faults.append(
                    f"expected {name}={sizes[label]}, got {shape[name]}"
                )
        if None not in shape.values():
            rows = sizes["b"] * sizes["g"] * sizes["r"] * sizes["i"]
            # Queries that share keys may be rows, too; which rows count tokens shows
            # where there are as many as keys.
            got = shape["B"] * shape["H"] * shape["N"]
            queries = {sizes["i"], sizes["i"] * sizes["r"]}
            if sizes["i"] != sizes["j"]:
                queries.add(sizes["r"])
            if got != rows or shape["N"] not in queries:
                outcome.faults.append(
                    f"expected {rows} rows, {sizes['i']} a head, got {shape}"
                )
        kinds = {step.kind for step in case.meaning.steps} - {"nothing"}
        if kinds == {"causal"} and sizes["j"] > 1 and site["bias"] != "causal":
            outcome.faults.append(f"expected the causal flag, got bias {site['bias']}")
        if not kinds and site["bias"] != "none":
            outcome.faults.append(f"expected no bias, got {site['bias']}")
        if kinds == {"additive"} and site["bias"] != "additive":
            outcome.faults.append(f"expected an additive bias, got {site['bias']}")

    def values(
        self,
        case: Case,
        outcome: Outcome,
        kind: str,
        arrays: List[np.ndarray],
        source: List[np.ndarray],
        raised: List[np.ndarray],
    ) -> None:
        """The same results before and after, and both are the formula's."""
        assert case.meaning
        expected = expect(case, arrays)
        shown = case.results[0]
        labels = ("b", "g", "r", "i", "e")
        ours, theirs = (
            spread(wide(r[0], shown.element), shown.dims, case.sizes, labels)
            for r in (raised, source)
        )
        if not outcome.loses_range and case.types.softmax not in ("f16", "bf16"):
            self._compare(
                outcome, f"{kind}: source against the formula", theirs, expected
            )
        else:
            # The report says that rows differ where the source overflows; rounding to
            # 16 bits may overflow, too. Such places are free.
            lost = ~np.isfinite(theirs) | ~np.isfinite(expected.values)
            # A guard against NaN hides those of the scores, too; the op does not.
            lost |= np.isnan(ours) & (case.meaning.guard == "nan-guard")
            ours = np.where(lost, expected.values, ours)
        self._compare(outcome, f"{kind}: raised against the formula", ours, expected)
        for i, (a, b) in enumerate(zip(raised[1:], source[1:]), start=1):
            element = case.results[i].element
            fault = differs(wide(a, element), wide(b, element), 1e-6)
            if fault:
                outcome.faults.append(f"{kind}: result {i}: {fault}")

    @staticmethod
    def _compare(
        outcome: Outcome, what: str, got: np.ndarray, expected: Expected
    ) -> None:
        fault = differs(got, expected.values, expected.tolerance)
        if fault:
            outcome.faults.append(f"{what}: {fault}")


class NearMissJudge:
    """Refused, or raised and still the same."""

    def report(self, case: Case, outcome: Outcome) -> None:
        pass

    def values(
        self,
        case: Case,
        outcome: Outcome,
        kind: str,
        arrays: List[np.ndarray],
        source: List[np.ndarray],
        raised: List[np.ndarray],
    ) -> None:
        if kind == "large":
            return
        epsilon = case.types.coarsest()
        for tensor, a, b in zip(case.results, raised, source):
            got, want = wide(a, tensor.element), wide(b, tensor.element)
            if outcome.loses_range:
                guarded = case.record.get("guard") == "nan-guard"
                want = np.where(
                    np.isfinite(want) & ~(guarded & (np.isnan(got) | (want == 0))),
                    want,
                    got,
                )
            finite = want[np.isfinite(want)]
            bound = max(1.0, abs(finite).max(initial=0.0))
            fault = differs(got, want, 256 * epsilon * bound)
            if fault:
                outcome.faults.append(f"{kind}: raised, but {fault}")
