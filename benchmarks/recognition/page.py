# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the results say: one line each, and docs/Families.md."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterable, List, Sequence

# float32 against float32 through a whole model, relative to the largest output.
TOLERANCE = 2e-5

Result = Dict[str, Any]


def judge(case: Any, result: Result) -> Result:
    """A record: what was expected, what came, and whether all of it came true."""
    library, family, spelling, frontend = case
    sites = result.get("sites", [])
    raised = Counter(_raised_as(s) for s in sites if s["status"] == "raised")
    refused = Counter(s["reason"] for s in sites if s["status"] == "refused")
    return {
        "library": library,
        "family": family.name,
        "note": family.note,
        "spelling": spelling,
        "frontend": frontend,
        "attentions": family.attentions,
        "raised": raised,
        "refused": refused,
        "expected_refused": dict(family.refused),
        "messages": sorted({s["message"] for s in sites if s["status"] == "refused"}),
        "error": result.get("error"),
        "failure": result.get("failure"),
    }


def is_complete(r: Result) -> bool:
    return (
        r["failure"] is None
        and sum(r["raised"].values()) == r["attentions"]
        and r["refused"] == r["expected_refused"]
        and r["error"] <= TOLERANCE
    )


def _raised_as(site: Result) -> str:
    op = site["op"].removeprefix("attention.")
    return op if site["bias"] == "none" else f"{op} with {site['bias']}"


def counts(counter: Dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sorted(counter.items()))


def line(r: Result, seconds: float) -> str:
    head = (
        f"{'ok  ' if is_complete(r) else 'MISS'} {r['family']} ({r['spelling']}, "
        f"{r['frontend']}), {seconds:.1f} s"
    )
    if r["failure"]:
        return f"{head}: {_first_line(r['failure'])}"
    return (
        f"{head}: {r['attentions']} expected; raised: {counts(r['raised']) or 'none'}; "
        f"refused: {counts(r['refused']) or 'none'}; error {r['error']:.1e}"
    )


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:200].replace("|", "\\|")


def summary(records: Sequence[Result]) -> str:
    imported = [r for r in records if not r["failure"]]
    raised = sum(min(sum(r["raised"].values()), r["attentions"]) for r in imported)
    reachable = sum(r["attentions"] for r in imported)
    worst = max((r["error"] for r in imported), default=0.0)
    return (
        f"{len(imported)} of {len(records)} models import; in them {raised} of {reachable} "
        f"attentions are raised; largest error {worst:.1e}; "
        f"{sum(map(is_complete, records))} rows are as expected in all"
    )


HEADER = """# Real model families

Each family is built small from its library's own code and config, with random weights, imported,
raised, decomposed again, run by another compiler (torch-mlir's JIT) and compared with the source
model. *Attentions* are counted in the library's source, not by the compiler. *Error* is the largest
difference to the source model over its largest output, in float32; NaN must stand where it stood.
Reasons are those of [Reasons.md](Reasons.md).

Made by `python benchmarks/recognition/families.py --write`; `--family`, `--library` and
`--frontend` choose rows. The families of `diffusers`, `timm` and JAX need
`pip install -c requirements.txt -r requirements-families.txt`.
"""


def write(records: Sequence[Result], path: Path) -> None:
    text = [HEADER, f"Result: {summary(records)}.\n"]
    revisions = Counter(r["revision"] for r in records)
    text += [f"Rows by the revision that they were measured at: {counts(revisions)}.\n"]
    for library in dict.fromkeys(r["library"] for r in records):
        mine = [r for r in records if r["library"] == library]
        text += [f"## {library}", "", f"{_version(library)}.", "", *_table(mine), ""]
    missing = [r for r in records if not is_complete(r)]
    text += ["## What falls short", ""]
    text += [f"- {_shortfall(r)}" for r in missing] or ["Nothing."]
    path.write_text("\n".join(text) + "\n")


def _version(library: str) -> str:
    package = {"torch.nn": "torch"}.get(library, library.split(",")[0])
    return f"`{package}` {importlib.metadata.version(package).split('+')[0]}"


def _table(records: Sequence[Result]) -> Iterable[str]:
    yield "| family | spelling | front end | attentions | raised | refused | error |"
    yield "|---|---|---|---|---|---|---|"
    # Spellings and front ends with one outcome share a row.
    rows: Dict[Any, List[Result]] = {}
    for r in records:
        outcome = (
            r["family"],
            counts(r["raised"]),
            counts(r["refused"]),
            bool(r["failure"]),
        )
        rows.setdefault(outcome, []).append(r)
    for (name, raised, refused, failed), same in rows.items():
        note = same[0]["note"]
        cells = [
            f"{name}: {note}" if note else name,
            ", ".join(dict.fromkeys(r["spelling"] for r in same)),
            ", ".join(dict.fromkeys(r["frontend"] for r in same)),
            str(same[0]["attentions"]),
            "does not import" if failed else raised or "none",
            refused or "none",
            "" if failed else f"{max(r['error'] for r in same):.1e}",
        ]
        yield "| " + " | ".join(cells) + " |"


def _shortfall(r: Result) -> str:
    name = f"{r['family']} ({r['spelling']}, {r['frontend']})"
    if r["failure"]:
        return f"{name}: {_first_line(r['failure'])}"
    if r["error"] > TOLERANCE:
        return f"{name}: error {r['error']:.1e}"
    return f"{name}: " + (
        "; ".join(r["messages"]) or "not all of its attentions are sites"
    )
