# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The tables and plots of cpu-attention.json.

    python benchmarks/cpu/report.py [FOLDER]

writes them again from FOLDER/cpu-attention.json (benchmarks/results), measuring
nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common  # noqa: E402
from contestants import AUTOTUNE, COMPILE, EAGER, EXACT, IREE, OURS  # noqa: E402

Line = Dict[str, Any]
PEERS = (EXACT, EAGER, COMPILE, AUTOTUNE, IREE)


def get_ms(line: Line, who: str) -> Optional[float]:
    return line["figures"].get(who, {}).get("ms")


def get_ratio(line: Line, who: str) -> Optional[float]:
    """How many times ours the other takes: the median of the rounds' ratios."""
    ours, other = line["figures"][OURS], line["figures"].get(who)
    if not other or not ours["rounds"] or len(ours["rounds"]) != len(other["rounds"]):
        return None
    return common.ratio(other["rounds"], ours["rounds"])


def over_limit(line: Line) -> Optional[float]:
    ms = get_ms(line, OURS)
    return ms / line["limit_ms"] if ms else None


def show_ms(ms: float) -> str:
    return f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:.0f}"


def show_peer(line: Line, who: str) -> str:
    figure = line["figures"].get(who)
    if not figure:
        return ""
    ratio = get_ratio(line, who)
    if figure["ms"] is None or ratio is None:
        return "failed"
    return f"{show_ms(figure['ms'])} ({ratio:.1f}x)"


def show_ours(line: Line) -> str:
    ms = get_ms(line, OURS)
    return f"**{show_ms(ms)}** ({over_limit(line):.1f}x)" if ms else "failed"


def show_error(line: Line, who: str) -> str:
    error = line["figures"].get(who, {}).get("error")
    return "" if error is None else f"{error:.1e}"


def show_compile(line: Line) -> str:
    seconds = line["own"].get("compile_s")
    return "" if seconds is None else f"{seconds:.2f}"


def make_table(
    lines: Sequence[Line], columns: Dict[str, Callable[[Line], str]]
) -> List[str]:
    rows = [[cell(line) for cell in columns.values()] for line in lines]
    out = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return out + ["| " + " | ".join(row) + " |" for row in rows]


def span(values: Sequence[Optional[float]]) -> str:
    known = [v for v in values if v is not None]
    return f"{min(known):.1f} to {max(known):.1f}" if known else "not measured"


def summarise(lines: Sequence[Line]) -> List[str]:
    """What a reader wants to know first."""
    out = []
    elfatt = [line for line in lines if line["table"] == "elfatt"]
    for text, chosen in (
        ("windows up to 12", [x for x in elfatt if x["shape"]["window"] <= 12]),
        ("windows from 14", [x for x in elfatt if x["shape"]["window"] >= 14]),
    ):
        for element in ("f32", "bf16"):
            some = [x for x in chosen if x["type"] == element]
            if some:
                compiled = span([get_ratio(x, COMPILE) for x in some])
                exact = span([get_ratio(x, EXACT) for x in some])
                limit = span([over_limit(x) for x in some])
                out.append(
                    f"- ELFATT {element}, {text}: {compiled} times as fast as "
                    f"torch.compile of the formula, {exact} times as fast as PyTorch's "
                    f"exact attention; {limit} times the limit."
                )
    for element in ("f32", "bf16"):
        some = [x for x in lines if x["table"] == "exact" and x["type"] == element]
        if some:
            exact = span([get_ratio(x, EXACT) for x in some])
            limit = span([over_limit(x) for x in some])
            out.append(
                f"- Exact attention {element}: {exact} times as fast as PyTorch's; "
                f"{limit} times the limit."
            )
    slower = [
        f"{x['name']} {x['type']} ({who} takes {ratio:.2f} of our time)"
        for x in lines
        for who in PEERS
        if x["table"] != "growth" and (ratio := get_ratio(x, who)) and ratio < 1
    ]
    out.append(
        "- Slower than a peer: " + "; ".join(slower) + "."
        if slower
        else "- Slower than a peer: nowhere in these tables."
    )
    return out


def make_page(record: Dict[str, Any]) -> str:
    lines: List[Line] = record["lines"]
    machine, rates = record["machine"], record["rates"]
    copies = [rate / 1e9 for rate in rates["copies"].values()]
    tables = {t: [x for x in lines if x["table"] == t] for t in ("elfatt", "exact")}
    peer = {who: (lambda line, who=who: show_peer(line, who)) for who in PEERS}
    out = [
        "# Attention on the CPU, as measured",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {record['threads']} threads, "
        f"{', '.join(machine['simd'])}; {record['date'][:10]}, revision "
        f"`{record['revision']}`; `{record['command']}`.",
        *(f"Before that, {earlier}." for earlier in record.get("earlier", [])),
        f"The machine at its best in this run: {rates['flops'] / 1e9:.0f} GFLOP/s f32, "
        f"{rates['exponentials'] / 1e9:.1f} G exponentials/s, copies of the shapes' "
        f"sizes {min(copies):.0f} to {max(copies):.0f} GB/s (small ones stay in caches).",
        "",
        *summarise(lines),
        "",
        "Times are milliseconds a call: the median over "
        f"{record['rounds']} rounds of the median of a round. In brackets: ours over "
        "the limit; the peer over ours. The limit is max(bytes / copy rate, flops / "
        "multiply-add rate + exponentials / exponential rate), computed in f32. "
        "Errors are the largest difference to float64 over max |V|. Beside the eager "
        "formula stands its own error: in bf16 PyTorch rounds after each step.",
        "",
    ]
    if tables["elfatt"]:
        out += [
            "## ELFATT",
            "",
            "Packed qkv [B,N,3C] to [B,N,C], LePE included (none with a class token). "
            "Exact SDPA is PyTorch's attention of all tokens, without LePE. IREE "
            "compiles the op as `elfatt-decompose` writes it. An empty cell was not "
            "measured.",
            "",
            *make_table(
                tables["elfatt"],
                {
                    "shape": lambda x: x["name"],
                    "type": lambda x: x["type"],
                    "limit": lambda x: show_ms(x["limit_ms"]),
                    "ours": show_ours,
                    **peer,
                    "our error": lambda x: show_error(x, OURS),
                    "eager's error": lambda x: show_error(x, EAGER),
                    "our compile time, s": show_compile,
                },
            ),
            "",
            "![ELFATT beside its peers](cpu-attention.svg)",
            "",
        ]
    if tables["exact"]:
        out += [
            "## Exact attention",
            "",
            "q, k, v [B,h,N,D] to [B,h,N,D], beside `F.scaled_dot_product_attention`.",
            "",
            *make_table(
                tables["exact"],
                {
                    "shape": lambda x: x["name"],
                    "type": lambda x: x["type"],
                    "limit": lambda x: show_ms(x["limit_ms"]),
                    "ours": show_ours,
                    "PyTorch": peer[EXACT],
                    "our error": lambda x: show_error(x, OURS),
                    "PyTorch's error": lambda x: show_error(x, EXACT),
                    "our compile time, s": show_compile,
                },
            ),
            "",
        ]
    growth = [x for x in lines if x["table"] == "growth"]
    if growth:
        out += [
            "## Growth with the tokens",
            "",
            "f32, batch 1, 64 channels, 2 heads, windows of 8 x 8; log-log.",
            "",
            "![Growth](cpu-growth.svg)",
            "",
            *make_growth_table(growth),
            "",
        ]
    failures = [
        f"- {x['name']} {x['type']}, {who}: {figure['failed']}"
        for x in lines
        for who, figure in x["figures"].items()
        if figure["failed"]
    ]
    if failures:
        out += ["## Failed", "", *failures, ""]
    return "\n".join(out)


def growth_series(lines: Sequence[Line]) -> Dict[str, Dict[int, float]]:
    """Milliseconds by tokens, for each curve."""
    series: Dict[str, Dict[int, float]] = {}
    for line in lines:
        is_exact = line["kind"] == "Exact"
        what = "exact" if is_exact else "ELFATT"
        shape = line["shape"]
        tokens = shape["queries"] if is_exact else shape["size"] ** 2
        for who, figure in line["figures"].items():
            name = "ours" if who == OURS else "PyTorch" if is_exact else who
            if figure["ms"] is not None:
                series.setdefault(f"{what}, {name}", {})[tokens] = figure["ms"]
    return series


def make_growth_table(lines: Sequence[Line]) -> List[str]:
    series = growth_series(lines)
    tokens = sorted({n for points in series.values() for n in points})
    out = ["| N | " + " | ".join(f"{s}, ms" for s in series) + " |"]
    out.append("|" + "---|" * (len(series) + 1))
    for n in tokens:
        cells = [
            show_ms(points[n]) if n in points else "" for points in series.values()
        ]
        out.append(f"| {n} | " + " | ".join(cells) + " |")
    return out


def plot(record: Dict[str, Any], folder: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        print("no plots: matplotlib is not installed (requirements-benchmarks.txt)")
        return
    matplotlib.use("svg")
    # Equal figures give equal files.
    matplotlib.rcParams["svg.hashsalt"] = "elfatt"
    from matplotlib import pyplot

    def save(name: str) -> None:
        pyplot.savefig(folder / name, bbox_inches="tight", metadata={"Date": None})
        pyplot.close()

    lines = [
        x for x in record["lines"] if x["table"] == "elfatt" and x["type"] == "f32"
    ]
    if lines:
        pyplot.figure(figsize=(9, 1.5 + 0.32 * len(lines)))
        places = range(len(lines))
        marks = {
            EXACT: "s",
            EAGER: "v",
            COMPILE: "o",
            AUTOTUNE: "d",
            IREE: "^",
            OURS: "*",
        }
        for who, mark in marks.items():
            points = [(get_ms(x, who), p) for x, p in zip(lines, places)]
            known = [point for point in points if point[0] is not None]
            size = 90 if who == OURS else 28
            pyplot.scatter(
                *zip(*known), marker=mark, s=size, label=who
            ) if known else None
        limits = [x["limit_ms"] for x in lines]
        pyplot.scatter(limits, places, marker="|", s=120, color="black", label="limit")
        pyplot.xscale("log")
        pyplot.yticks(places, [x["name"] for x in lines])
        pyplot.gca().invert_yaxis()
        pyplot.grid(axis="x", which="both", alpha=0.3)
        pyplot.xlabel(f"ms a call, f32, {record['threads']} threads")
        pyplot.legend(loc="upper center", bbox_to_anchor=(0.4, -0.08), ncol=4)
        save("cpu-attention.svg")
    growth = growth_series([x for x in record["lines"] if x["table"] == "growth"])
    if growth:
        pyplot.figure(figsize=(7, 4.5))
        for name, points in growth.items():
            style = "-" if name.endswith("ours") else "--"
            pyplot.loglog(*zip(*sorted(points.items())), style, marker="o", label=name)
        pyplot.xlabel("tokens")
        pyplot.ylabel("ms a call")
        pyplot.grid(which="both", alpha=0.3)
        pyplot.legend()
        save("cpu-growth.svg")


def write(record: Dict[str, Any], folder: Path) -> None:
    page = make_page(record)
    (folder / "cpu-attention.md").write_text(page)
    plot(record, folder)
    print("\n" + page)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=common.RESULTS)
    folder = parser.parse_args().folder
    record = folder / "cpu-attention.json"
    if not record.is_file():
        parser.error(f"'{record}' is missing; attention.py writes it")
    write(json.loads(record.read_text()), folder)


if __name__ == "__main__":
    main()
