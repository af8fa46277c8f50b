# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What can be known of kernels without a GPU: one table, kernel x chip.

Registers, shared memory and spills are of ptxas; bytes, conflicts and the predicted
time of the simulator (docs/Simulator.md); the instructions of the main loops of
nvdisasm. Nothing here is a time of a GPU.

    benchmarks/gpu/static [--chips=sm_87,sm_90] [--types=bf16] [--only=TEXT]... [--full]

By default the 2-D shapes whose limit is memory, and a few of exact attention, in
bf16 for sm_80, sm_87, sm_90 and sm_120: some minutes. --full: every shape, f16 and f32 too,
for sm_80, sm_87, sm_89, sm_90 and sm_120. Writes build/benchmarks/gpu-static.json
and .md; with --update benchmarks/results/.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import paths

import common
import gpu_shapes
import sass

CHIPS = ("sm_80", "sm_87", "sm_90", "sm_120")
FULL_CHIPS = ("sm_80", "sm_87", "sm_89", "sm_90", "sm_120")
# Without what takes a minute for its inputs alone.
SHAPES = (
    *(shape for shape in gpu_shapes.MEMORY_BOUND if shape.batch <= 32),
    *gpu_shapes.EXACT[2:5],
)
CACHE = paths.ROOT / "build" / "benchmarks"
SECONDS_A_CASE = 600
NEEDED = {"EX2": 1.0, "FFMA/FMUL": 1.0, "FADD": 1.0, "FMNMX": 1.0, "F2F": 0.5}
"""Per score: one ex2, one multiply-add for the scale, one add, one maximum and half
a conversion (two scores make one packed register)."""

Record = Dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Case:
    shape: Any
    element: str
    chip: str

    @property
    def name(self) -> str:
        return f"{self.shape.name}, {self.element}, {self.chip}"


class Failed(Exception):
    """A tool refused the case; the text says why."""


def call(*words: str) -> None:
    try:
        done = subprocess.run(
            words, text=True, capture_output=True, timeout=SECONDS_A_CASE
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{words[0]}: more than {SECONDS_A_CASE} s") from None
    if done.returncode:
        lines = [x for x in done.stderr.splitlines() if "error:" in x]
        raise Failed((lines or [f"{words[0]}: status {done.returncode}"])[0][-300:])


# ----------------------------------------------------------------------------
# Counts of one case
# ----------------------------------------------------------------------------


def measure(case: Case, nvdisasms: Sequence[str]) -> Record:
    """The record of a case: its sums, and one record a kernel; or why it failed."""
    record: Record = {
        **gpu_shapes.to_json(case.shape),
        "name": case.shape.name,
        "type": case.element,
        "chip": case.chip,
    }
    begin = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            record.update(_measure_in(Path(folder), case, nvdisasms))
    except Failed as failure:
        record["failed"] = str(failure)
    record["seconds"] = round(time.monotonic() - begin, 1)
    return record


def _measure_in(folder: Path, case: Case, nvdisasms: Sequence[str]) -> Record:
    ir, stats, bundle = folder / "op.mlir", folder / "stats.json", folder / "bundle"
    ir.write_text(case.shape.mlir(case.element))
    call(
        "elfatt-compile", str(ir), f"--target={case.chip}", "--no-runtime-source",
        "-o", str(bundle),
    )  # fmt: skip
    call(
        "elfatt-run", str(ir), f"--target=sim:{case.chip}", f"--stats={stats}",
        "--sample-blocks",
    )  # fmt: skip
    kernels = json.loads(stats.read_text())["kernels"]
    cubin = bundle / f"kernels.{case.chip}.cubin"
    code: Dict[str, sass.Kernel] = {}
    note = None
    if not cubin.exists():
        note = "no ptxas for this chip"
    elif not nvdisasms:
        note = "no nvdisasm: install requirements-sass.txt"
    else:
        try:
            code = sass.disassemble(nvdisasms, cubin)
        except RuntimeError as error:
            note = str(error)
    for kernel in kernels:
        kernel["warps_per_sm"] = count_warps(kernel)
        if kernel["name"] in code:
            kernel["loops"] = [
                describe_region(region, case.shape)
                for region in sass.find_main_regions(code[kernel["name"]])
            ]
    return {"sums": add_up(kernels), "kernels": kernels, "sass_note": note}


def count_warps(kernel: Record) -> Optional[int]:
    blocks = kernel["blocks_per_sm"]
    return blocks and blocks * math.ceil(math.prod(kernel["block"]) / 32)


def add_up(kernels: Sequence[Record]) -> Record:
    """Of the kernels that make one op. The bytes' time is the floor's, at the rate
    that the simulator gives the chip's memory."""

    def total(*keys: str) -> float:
        return sum(kernel[key] for kernel in kernels for key in keys)

    floor = kernels[0]["floor_bytes"]
    fetched = total("global_bytes_read", "global_bytes_written")
    used = sum(
        k["sector_efficiency"] * (k["global_bytes_read"] + k["global_bytes_written"])
        for k in kernels
    )
    dram = total("dram_bytes_read", "dram_bytes_written")
    bytes_us = sum(k["terms_us"]["bytes"] for k in kernels) * floor / dram
    predicted = total("predicted_us")
    return {
        "launches": len(kernels),
        "floor_bytes": floor,
        "behind_l2": dram / floor,
        "no_cache": fetched / floor,
        "sector_efficiency": used / fetched,
        "bank_conflicts": total("bank_conflicts"),
        "predicted_us": predicted,
        "floor_us": bytes_us,
        "over_floor": predicted / bytes_us,
        "limited_by": max(kernels, key=lambda k: k["predicted_us"])["limited_by"],
        "spill_bytes": total("spill_bytes") if knows_registers(kernels) else None,
    }


def knows_registers(kernels: Sequence[Record]) -> bool:
    return all(kernel["registers"] is not None for kernel in kernels)


# ----------------------------------------------------------------------------
# Main loops
# ----------------------------------------------------------------------------


def tile_elements(code: Sequence[sass.Instruction], D: int) -> Tuple[str, float]:
    """What a main loop computes in one pass of one warp, and how many elements of it,
    padding included. "scores": S = Q K^T and P V; "channels": a softmax over tokens
    or channels and its product with V or the context, an element being one of K or Q.
    The products say how many, and the number of ex2, one an element and a few for
    states, which of the two it is; "more": there are products of something else, so
    that the ex2 alone say how many.
    """
    counts = sass.count(code)
    products = sass.count_products(code)
    exponentials = 32 * counts["EX2"]
    if not products:
        found = [
            ("scores", 32 * counts["FFMA/FMUL"] / (2 * D + 1)),
            ("channels", 32 * counts["FFMA/FMUL"] / (D + 1)),
        ]
    else:
        # Of 16 x 16 elements, in 16 x 8 x 16 a product: channels are padded to 8 where
        # they are columns, and where they are summed over to 16, or to 8 by a product of
        # half the depth. Weights are summed by additions, or by a product with ones.
        after = math.ceil(D / 8)
        found = [
            (kind, 256 * products / (number + ones))
            for ones in (0, 1)
            for kind, number in (
                ("scores", 2 * math.ceil(D / 16) + after),
                ("scores", 2 * after),
                ("channels", after),
            )
        ]
        # Tiles have 16 rows, and columns in eights.
        found = [x for x in found if x[1] % 128 == 0] or found
    if not exponentials:
        return "products alone", found[0][1]
    if products:
        # Each element is converted, two at a time.
        most = min(exponentials, 64 * counts["F2F"] or exponentials)
        found = [x for x in found if x[1] <= most]
        if not found:
            return "more", exponentials
    return min(found, key=lambda x: abs(math.log(x[1] / exponentials)))


def count_lepe(kind: str, shape: Any) -> float:
    """Multiply-adds of LePE an element: nine for each channel of a token."""
    if isinstance(shape, gpu_shapes.Exact) or shape.prefix:
        return 0.0
    per_token = 9 * gpu_shapes.head_dim(shape)
    elements = shape.window**2 if kind == "scores" else gpu_shapes.head_dim(shape)
    return per_token / elements


def describe_region(region: sass.Region, shape: Any) -> Record:
    D = gpu_shapes.head_dim(shape)
    counts = sass.count(region.code)
    kind, elements = tile_elements(region.code, D)
    is_loop = region.place.startswith("loop")
    has_lepe = kind == "more" or not is_loop
    if kind == "more":
        # Diagonals of LePE, remainders of a context: rows that meet one come in turns,
        # those of a window at once.
        kind = "channels" if is_loop else "scores"
    if not counts["HMMA"] and counts["EX2"] and region.inner_loops:
        # A loop inside holds products that run more than once; exponentials do not.
        elements = 32.0 * counts["EX2"]
    if isinstance(shape, gpu_shapes.Exact) and kind == "channels":
        kind = "scores"
    counts = counts - sass.count(region.rare)
    mix = {k: 32 * counts[k] / elements for k in (*sass.CLASSES, "all")}
    needed = dict(NEEDED)
    if not counts["HMMA"]:
        # No products of tensor cores and nothing to convert.
        needed["FFMA/FMUL"] += 2 * D if kind == "scores" else D
        needed["F2F"] = 0.0
    if has_lepe and region.rare:
        needed["FADD"] += count_lepe(kind, shape) / 9
    elif has_lepe:
        needed["FFMA/FMUL"] += count_lepe(kind, shape)
    return {
        "place": region.place,
        "kind": kind,
        "elements": elements,
        "inner_loops": region.inner_loops,
        "counts": dict(counts),
        "per_element": {k: round(v, 4) for k, v in mix.items() if v},
        "over_formula": sum(mix[k] for k in NEEDED) / sum(needed.values()),
    }


def padding(record: Record, kernel: Record) -> Optional[float]:
    """Scores of the padded tiles over those of the formula, where all products of
    the kernel are of one such loop."""
    kinds = {loop["kind"] for loop in kernel.get("loops", [])}
    shape = gpu_shapes.from_json(record)
    if kinds != {"scores"} or not kernel["mma"]:
        return None
    elements = sum(loop["elements"] for loop in kernel["loops"])
    products = sum(loop["counts"].get("HMMA", 0) for loop in kernel["loops"])
    if not products:
        return None
    tiles = kernel["mma"] * elements / products
    if isinstance(shape, gpu_shapes.Exact):
        scores = shape.batch * shape.heads * shape.queries * shape.keys
        return None if shape.causal else tiles / scores
    if shape.prefix:
        return None
    return tiles / (shape.batch * shape.heads // 2 * shape.size**2 * shape.window**2)


# ----------------------------------------------------------------------------
# The tables
# ----------------------------------------------------------------------------


def show(value: Optional[float], digits: int = 2) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if isinstance(value, float) else f"{value:,}"


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> List[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def op_row(record: Record) -> List[str]:
    start = [record["name"], record["type"], record["chip"]]
    if "failed" in record:
        return [*start, "failed: " + record["failed"], *[""] * 8]
    s = record["sums"]
    return [
        *start, show(s["launches"]), show(s["behind_l2"]), show(s["no_cache"]),
        f"{100 * s['sector_efficiency']:.0f}%", show(int(s["bank_conflicts"])),
        show(s["spill_bytes"]), show(s["predicted_us"], 1), show(s["over_floor"]),
        s["limited_by"],
    ]  # fmt: skip


def kernel_rows(record: Record) -> List[List[str]]:
    rows = []
    for kernel in record.get("kernels", []):
        start = [record["name"], record["type"], record["chip"], kernel["name"]]
        usage = [
            show(kernel["registers"]), show(kernel["shared_bytes"]),
            show(kernel["spill_bytes"]), show(kernel["blocks_per_sm"]),
            show(kernel["warps_per_sm"]), show(kernel["bank_conflicts"]),
            show(kernel["predicted_us"], 1), kernel["limited_by"],
        ]  # fmt: skip
        rows.append(start + usage)
    return rows


def loop_rows(record: Record) -> List[List[str]]:
    rows = []
    for kernel in record.get("kernels", []):
        for loop in kernel.get("loops", []):
            mix = loop["per_element"]
            inner = f", {loop['inner_loops']} inside" if loop["inner_loops"] else ""
            rows.append(
                [
                    record["name"],
                    record["type"],
                    record["chip"],
                    kernel["name"],
                    loop["place"] + inner,
                    loop["kind"],
                    f"{loop['elements']:.0f}",
                    show(padding(record, kernel)),
                    show(loop["over_formula"]),
                    show(float(mix.get("all", 0)), 1),
                    *(f"{mix.get(name, 0):.3g}" for name in sass.CLASSES),
                ]  # fmt: skip
            )
    return rows


def make_page(record: Record) -> str:
    records: List[Record] = record["cases"]
    notes = sorted(
        {f"{r['chip']}: {r['sass_note']}" for r in records if r.get("sass_note")}
    )
    return "\n".join(
        [
            "# GPU kernels, as counted without a GPU",
            "",
            f"{record['date'][:10]}, revision `{record['revision']}`; "
            f"`{record['command']}`. No figure here is a time of a GPU.",
            "",
            "## Attention ops",
            "",
            "Bytes are times the floor (Q, K, V and O, each once): behind the chip's L2, "
            "and without any cache. Sectors: bytes used of those fetched. Predicted: the "
            "sum over the op's launches; in the next column over the time of the floor's "
            "bytes. The limit is the slowest launch's.",
            "",
            *make_table(
                ["shape", "type", "chip", "launches", "behind L2", "no cache", "sectors",
                 "bank conflicts", "spills, bytes", "predicted, us", "over bytes' time",
                 "limited by"],
                [op_row(r) for r in records],
            ),
            "",
            "## Kernels",
            "",
            *make_table(
                ["shape", "type", "chip", "kernel", "registers", "shared, bytes",
                 "spills, bytes", "blocks/SM", "warps/SM", "bank conflicts",
                 "predicted, us", "limited by"],
                [row for r in records for row in kernel_rows(r)],
            ),
            "",
            "## Main loops",
            "",
            "SASS of the smallest loops that hold products and exponentials, per element "
            "of the padded tile (of scores, or of K and Q in the global half), counted "
            "for each lane. Over formula: ex2, FFMA and FMUL, FADD, FMNMX and F2F over "
            "what the formula needs (1, 1, 1, 1 and 1/2; in f32 the products too; "
            "nine FFMA a channel for LePE, or one FADD where it is one of the products). "
            "Padding: scores of the tiles over scores of the formula. Where loops lie "
            "inside, they are counted as if they ran once, but not those of LePE for values "
            "that are not finite.",
            "",
            *(f"- {note}" for note in notes),
            *([""] if notes else []),
            *make_table(
                ["shape", "type", "chip", "kernel", "where", "what", "elements",
                 "padding", "over formula", "all", *sass.CLASSES],
                [row for r in records for row in loop_rows(r)],
            ),
            "",
        ]
    )  # fmt: skip


# ----------------------------------------------------------------------------


def parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chips", help="default: " + ",".join(CHIPS))
    parser.add_argument("--types", help="default: bf16; --full: f16,bf16,f32")
    parser.add_argument(
        "--only", action="append", default=[], help="names that contain this text"
    )
    parser.add_argument("--full", action="store_true", help="every shape: an hour")
    parser.add_argument(
        "--update", action="store_true", help="write the results folder"
    )
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args(words)
    chips, types = (FULL_CHIPS, "f16,bf16,f32") if arguments.full else (CHIPS, "bf16")
    arguments.chips = arguments.chips.split(",") if arguments.chips else list(chips)
    arguments.types = (arguments.types or types).split(",")
    for element in arguments.types:
        if element not in gpu_shapes.WIDTHS:
            known = ", ".join(gpu_shapes.WIDTHS)
            parser.error(f"unknown type '{element}', expected {known}")
    if arguments.jobs < 1:
        parser.error("expected --jobs >= 1")
    shapes = gpu_shapes.ALL if arguments.full or arguments.only else SHAPES
    arguments.shapes = gpu_shapes.choose(shapes, arguments.only)
    if not arguments.shapes:
        parser.error(f"no shape's name contains {' or '.join(arguments.only)}")
    return arguments


def main(words: Optional[Sequence[str]] = None) -> int:
    arguments = parse(sys.argv[1:] if words is None else words)
    for tool in ("elfatt-compile", "elfatt-run"):
        if not shutil.which(tool):
            sys.exit(f"error: {tool} is not built")
    nvdisasms = sass.find_nvdisasms()
    cases = [
        Case(shape, element, chip)
        for shape in arguments.shapes
        for element in arguments.types
        for chip in arguments.chips
    ]
    # ptxas of this Python's packages, as in an active virtual environment.
    os.environ.setdefault("VIRTUAL_ENV", sys.prefix)
    begin = time.monotonic()
    done: List[Record] = []
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        running = [pool.submit(measure, case, nvdisasms) for case in cases]
        for future in concurrent.futures.as_completed(running):
            record = future.result()
            done.append(record)
            what = record.get("failed") or (
                f"{record['sums']['predicted_us']:.1f} us predicted, "
                f"{record['sums']['behind_l2']:.2f}x of the floor's bytes"
            )
            print(
                f"[{time.monotonic() - begin:4.0f} s, {len(done)} of {len(cases)}] "
                f"{record['name']}, {record['type']}, {record['chip']}: {what}",
                flush=True,
            )
    order = {case.name: i for i, case in enumerate(cases)}
    done.sort(key=lambda r: order[f"{r['name']}, {r['type']}, {r['chip']}"])
    folder = common.RESULTS if arguments.update else CACHE
    command = ["benchmarks/gpu/static", *(sys.argv[1:] if words is None else words)]
    record = common.write_results("gpu-static", {"cases": done}, command, folder)
    page = make_page(record)
    (folder / "gpu-static.md").write_text(page)
    print("\n" + page)
    return 1 if any("failed" in r for r in done) else 0


if __name__ == "__main__":
    sys.exit(main())
