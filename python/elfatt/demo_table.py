# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The table that the demo ends with."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple


@dataclasses.dataclass
class Row:
    """What the demo found out of one model; None for what it did not reach.

    ``exact`` and ``approximate`` are the statistics of elfatt-run; ``sites`` and
    ``approximated`` are the records of elfatt-report, of the raised module and of
    the approximated one; times are in the unit of their name.
    """

    name: str
    what: str
    import_seconds: Optional[float] = None
    sites: Optional[List[Dict[str, Any]]] = None
    exact: Optional[Dict[str, Any]] = None
    approximated: Optional[List[Dict[str, Any]]] = None
    approximate: Optional[Dict[str, Any]] = None
    torch_ms: Optional[float] = None
    gpu_code: Optional[List[Tuple[str, int]]] = None
    failures: Dict[str, str] = dataclasses.field(default_factory=dict)

    def served(self) -> int:
        """How many sites the approximation replaced."""
        return sum(1 for s in self.approximated or [] if s["op"] == "attention.elfatt")


def _number(value: Optional[float], form: str = "{:.3g}") -> str:
    return "-" if value is None else form.format(value)


def _get(statistics: Optional[Dict[str, Any]], group: str, key: str) -> Optional[float]:
    return ((statistics or {}).get(group) or {}).get(key)


def _sites(row: Row) -> str:
    if row.sites is None:
        return "-"
    raised = sum(1 for site in row.sites if site["status"] == "raised")
    return f"{raised} of {len(row.sites)}"


def _outcome(site: Dict[str, Any]) -> str:
    """What became of a site: its op, and why it is no other."""
    reason = f" ({site['reason']})" if site["reason"] else ""
    return (site["op"] or "refused") + reason


def _gpu(row: Row) -> str:
    if row.gpu_code is None:
        return "-"
    return f"{sum(size for _, size in row.gpu_code) / 1024:.0f} KB"


def table(rows: Sequence[Row], threads: int) -> str:
    """One line a model, aligned for a terminal."""
    head = [
        [
            "model",
            "sites",
            "import",
            "exact",
            "ELFATT",
            "PyTorch",
            "implementation",
            "approximation",
            "GPU",
        ],
        ["", "raised", "s", "ms", "ms", "eager ms", "error", "error", "code"],
    ]
    lines = head + [
        [
            row.name,
            _sites(row),
            _number(row.import_seconds, "{:.1f}"),
            _number(_get(row.exact, "benchmark", "median_ms"), "{:.2f}"),
            _number(_get(row.approximate, "benchmark", "median_ms"), "{:.2f}"),
            _number(row.torch_ms, "{:.2f}"),
            _number(_get(row.exact, "error", "max_rel"), "{:.1e}"),
            _number(_get(row.approximate, "error", "max_rel"), "{:.1e}"),
            _gpu(row),
        ]
        for row in rows
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]

    def shape(line: List[str]) -> str:
        cells = [line[0].ljust(widths[0])] + [
            c.rjust(w) for c, w in zip(line[1:], widths[1:])
        ]
        return "  ".join(cells).rstrip()

    rule = "-" * len(shape(lines[2] if len(lines) > 2 else lines[0]))
    body = [shape(line) for line in lines]
    caption = (
        f"Times are medians on {threads} threads of this machine. Errors are the largest absolute\n"
        "difference over the largest output: implementation error of our exact model against\n"
        "PyTorch, approximation error of ELFATT against our exact model (no training)."
    )
    return "\n".join(body[:2] + [rule] + body[2:] + ["", caption])


def explain(rows: Sequence[Row], output: Path) -> str:
    """What the table has no room for: sites by kind, what was refused, files."""
    lines = []
    for row in rows:
        lines.append(f"\n{row.name}: {row.what}")
        raised = Counter(map(_outcome, row.sites or []))
        lines += [f"  raised: {count} x {kind}" for kind, count in raised.items()]
        replaced = Counter(map(_outcome, row.approximated or []))
        lines += [f"  with ELFATT: {n} x {kind}" for kind, n in replaced.items()]
        for step, why in row.failures.items():
            lines.append(f"  {step}: {why}")
        for name, size in row.gpu_code or []:
            lines.append(f"  {row.name}.gpu/{name}  {size} bytes")
    lines.append(f"\nEverything is in {output}; commands.log has the commands.")
    return "\n".join(lines)
