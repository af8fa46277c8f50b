# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The table and the plot of gpu-attention.json.

    python gpu_report.py [FOLDER]

writes them again, measuring nothing. A figure that is no time of a GPU is never
shown as one: the page's first lines say what was measured and what was not.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import paths

import peers

Case = Dict[str, Any]
OTHERS = tuple(
    name for name in peers.ELFATT_PEERS if name not in (peers.OURS, peers.COPY)
)
F32_BOUND = 2e-6
TIMES_EAGER = 1.25
"""Of f16 and bf16: our error is at most so many times that of the same formula in
PyTorch eager, in the same type on the same inputs; of f32 at most 2e-6 of max |V|."""


def get_figure(case: Case, who: str) -> Dict[str, Any]:
    return case["figures"].get(who, {})


def get_us(case: Case, who: str) -> Optional[float]:
    rounds = get_figure(case, who).get("rounds")
    return statistics.median(rounds) if rounds else None


def get_ratio(case: Case, who: str, to: str) -> Optional[float]:
    """The time of one over that of the other: the median of the rounds' ratios."""
    a, b = (get_figure(case, x).get("rounds") for x in (who, to))
    if not a or not b or len(a) != len(b):
        return None
    return statistics.median(x / y for x, y in zip(a, b))


def get_bound(case: Case) -> Optional[float]:
    if case["type"] == "f32":
        return F32_BOUND
    error = get_figure(case, peers.EAGER).get("error")
    return None if error is None else TIMES_EAGER * error


def judge(case: Case) -> str:
    """right, wrong, not judged (nothing to compare with), or failed."""
    figure = get_figure(case, peers.OURS)
    if "failed" in figure:
        return "failed"
    error, bound = figure.get("error"), get_bound(case)
    if error is None or bound is None:
        return "not judged"
    return "right" if error <= bound else "WRONG"


def find_faults(record: Dict[str, Any]) -> List[str]:
    """What makes the run fail: kernels that are wrong or do not run."""
    return [
        f"{case['name']}, {show_type(case)}: {verdict}"
        for case in record["cases"]
        if (verdict := judge(case)) in ("WRONG", "failed")
    ]


def summarise(case: Case) -> str:
    parts = [judge(case)]
    for who in peers.ELFATT_PEERS:
        if (us := get_us(case, who)) is not None:
            parts.append(f"{who} {us:.1f} us")
    if case.get("predicted"):
        parts.append(f"predicted {case['predicted']['us']:.1f} us")
    for who, figure in case["figures"].items():
        if "failed" in figure:
            parts.append(f"{who} failed ({figure['failed'][:80]})")
    return ", ".join(parts)


# ----------------------------------------------------------------------------
# The page
# ----------------------------------------------------------------------------


def show_type(case: Case) -> str:
    """bf16, or "bf16 on sm_90" of the simulator."""
    return case["type"] + (f" on {case['chip']}" if "chip" in case else "")


def show_us(us: Optional[float]) -> str:
    if us is None:
        return ""
    return f"{us:.1f}" if us < 100 else f"{us:.0f}"


def show_error(value: Optional[float]) -> str:
    return "" if value is None else f"{value:.1e}"


def show_ours(case: Case) -> str:
    us, ratio = get_us(case, peers.OURS), get_ratio(case, peers.OURS, peers.COPY)
    if us is None:
        return "failed" if "failed" in get_figure(case, peers.OURS) else ""
    return f"**{show_us(us)}**" + (f" ({ratio:.2f}x)" if ratio else "")


def show_peer(case: Case, who: str) -> str:
    figure = get_figure(case, who)
    if "failed" in figure:
        return "failed"
    us, ratio = get_us(case, who), get_ratio(case, who, peers.OURS)
    return show_us(us) + (f" ({ratio:.1f}x)" if ratio else "")


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> List[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def make_times(cases: Sequence[Case]) -> List[str]:
    rows = [
        [case["name"], case["type"], show_us(get_us(case, peers.COPY)), show_ours(case)]
        + [show_peer(case, who) for who in OTHERS]
        for case in cases
    ]
    return make_table(["shape", "type", peers.COPY, peers.OURS, *OTHERS], rows)


def make_errors(cases: Sequence[Case]) -> List[str]:
    rows = []
    for case in cases:
        row = [case["name"], show_type(case), judge(case)]
        row.append(show_error(get_figure(case, peers.OURS).get("error")))
        row.append(show_error(get_bound(case)))
        if any(x.get("predicted") for x in cases):
            p = case.get("predicted")
            row += [f"{p['us']:.1f}", p["limited_by"]] if p else ["", ""]
        rows.append(row)
    head = ["shape", "type", "kernel", "our error", "bound"]
    if any(case.get("predicted") for case in cases):
        head += ["predicted, us (no measurement)", "limited by"]
    return make_table(head, rows)


def make_page(record: Dict[str, Any]) -> str:
    device, cases = record["device"], record["cases"]
    out = ["# Attention on GPUs", ""]
    if record["is_gpu_time"]:
        did = "Measured" if record["rounds"] else "Checked, with nothing timed,"
        out.append(
            f"{did} on {device['name']} (compute capability {device['capability']}, "
            f"{device['sms']} SMs), CUDA {device['cuda']}, PyTorch {device['torch']};"
        )
    else:
        out.append(f"**{record['status']}**. No figure here is a time of a GPU;")
    out += [
        f"{record['date'][:10]}, revision `{record['revision']}`; `{record['command']}`."
    ]
    if device and device["kind"] == "simulator":
        out += [
            "",
            f"Errors are of kernels that ran on the {device['name']}, at batches of at "
            "most 2; predicted times are its roofline, and no measurement.",
        ]
    if device and device["kind"] == "host":
        out += ["", "The host's CPU ran CPU code here, to test the benchmark itself."]
    if faults := find_faults(record):
        out += ["", "**Kernels that are wrong or did not run:**", ""]
        out += [f"- {fault}" for fault in faults]
    timed = [
        case for case in cases if any(f.get("rounds") for f in case["figures"].values())
    ]
    if timed:
        what = "a call" if record["is_gpu_time"] else "a call on the host's CPU"
        out += [
            "",
            f"Microseconds of {what}, the median over {record['rounds']} rounds of the "
            f"median of {record['samples']} calls. In brackets: ours over the copy of the "
            "same bytes (half read, half written); the others over ours.",
            "",
            *make_times(timed),
        ]
    if cases:
        out += [
            "",
            "Errors are the largest difference to float64 over max |V|. The bound is "
            f"{TIMES_EAGER} times the error of PyTorch eager in the same formula and type, "
            f"for f32 {F32_BOUND:g}.",
            "",
            *make_errors(cases),
        ]
    notes = [
        f"- {case['name']}, {show_type(case)}, {who}: {text}"
        for case in cases
        for who, figure in case["figures"].items()
        if (text := figure.get("failed") or figure.get("note"))
    ]
    if notes:
        out += [
            "",
            "What failed, or is timed with its launches (no CUDA graph):",
            "",
            *notes,
        ]
    return "\n".join(out) + "\n"


# ----------------------------------------------------------------------------
# The plot
# ----------------------------------------------------------------------------


def plot(record: Dict[str, Any], folder: Path) -> bool:
    """gpu-attention.svg: one line a case. False where there is nothing to show."""
    cases = [case for case in record["cases"] if get_us(case, peers.OURS) is not None]
    if not cases:
        return False
    try:
        import matplotlib
    except ImportError:
        print("no plot: matplotlib is not installed")
        return False
    matplotlib.use("Agg")
    # The same record gives the same file.
    matplotlib.rcParams["svg.hashsalt"] = "elfatt"
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(9, 1.5 + 0.35 * len(cases)))
    for who, mark in zip(peers.ELFATT_PEERS, "*|vodsP^"):
        points = [(get_us(case, who), i) for i, case in enumerate(cases)]
        known = [(us, i) for us, i in points if us is not None]
        if known:
            size = 90 if who == peers.OURS else 40
            pyplot.scatter(*zip(*known), marker=mark, s=size, label=who)
    pyplot.xscale("log")
    pyplot.yticks(range(len(cases)), [f"{c['name']}, {c['type']}" for c in cases])
    pyplot.gca().invert_yaxis()
    pyplot.grid(axis="x", which="both", alpha=0.3)
    where = record["device"]["name"]
    kind = "" if record["is_gpu_time"] else ": NOT GPU times"
    pyplot.xlabel(f"us a call, {where}{kind}")
    pyplot.legend(loc="upper center", bbox_to_anchor=(0.4, -0.1), ncol=4)
    pyplot.tight_layout()
    figure.savefig(folder / "gpu-attention.svg", metadata={"Date": None})
    pyplot.close(figure)
    return True


def write(record: Dict[str, Any], folder: Path) -> None:
    page = make_page(record)
    if plot(record, folder):
        page += "\n![Times of a call](gpu-attention.svg)\n"
    (folder / "gpu-attention.md").write_text(page)
    print("\n" + page)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else paths.HERE / "results"
    write(json.loads((folder / "gpu-attention.json").read_text()), folder)


if __name__ == "__main__":
    main()
