#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What kernels of random shapes take: registers, spills and the time to compile them.

    python benchmarks/gpu/random_kernels.py [--chips=sm_53,sm_90] [--types=f32]
        [--channels=40,64|odd] [--only=sdpa] [--cases=1] [--seed=0] [--seconds=2]
        [--occupancy]

Makes `--cases` ops of each kind for each chip, type and number of channels: exact
attention (biases, masks, causal, grouped heads, short rows and long, sizes that are
not known, other channels of V) and ELFATT (windows of 4 to 16, few heads and many).
Each is compiled alone, by elfatt-opt with ptxas, and never run. Prints what spills,
takes more than `--seconds` of processor time, or leaves registers and shared memory
for fewer than 4 blocks and fewer than 16 warps a multiprocessor (heads of up to 64
channels); then how many there were, the compiler's refusals apart. The exit status is
1 if something spills or takes longer, 2 where there is no ptxas.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

TYPES = ("f16", "bf16", "f32")
CHANNELS = (8, 16, 20, 24, 32, 40, 48, 56, 64, 72, 80, 96, 112, 128)
ODD_CHANNELS = (1, 3, 5, 7, 13, 33, 65, 100, 127)
SHARED_PER_SM = {
    "sm_53": 64, "sm_72": 96, "sm_75": 64, "sm_80": 164, "sm_86": 100, "sm_87": 164,
    "sm_89": 100, "sm_90": 228, "sm_100": 228, "sm_103": 228, "sm_110": 228,
    "sm_120": 100, "sm_121": 100,
}  # fmt: skip
"""KiB; docs/Chips.md."""
REGISTERS_PER_SCHEDULER = 16 * 1024
SCHEDULERS = 4
NARROW = 64
"""Heads up to here have room for 4 blocks or 16 warps."""


@dataclasses.dataclass(frozen=True)
class Op:
    name: str
    text: str


@dataclasses.dataclass(frozen=True)
class Kernel:
    name: str
    registers: int
    shared_bytes: int
    spill_bytes: int
    threads: int

    def blocks(self, chip: str) -> int:
        """On a multiprocessor, by registers and shared memory."""
        reserved = 1024 if int(chip[3:]) >= 80 else 0
        warps = self.threads // 32
        of_warp = -(-self.registers * 32 // 256) * 256
        by_memory = SHARED_PER_SM[chip] * 1024 // max(1, self.shared_bytes + reserved)
        by_registers = REGISTERS_PER_SCHEDULER // of_warp * SCHEDULERS // warps
        return min(by_registers, by_memory)

    def fills(self, chip: str) -> bool:
        blocks = self.blocks(chip)
        return blocks >= 4 or blocks * self.threads >= 16 * 32


@dataclasses.dataclass(frozen=True)
class Result:
    refused: str
    kernels: List[Kernel]
    seconds: float


def tensor(*shape: object) -> str:
    return f"tensor<{'x'.join(map(str, shape))}>"


def views(domain: str, *stored: str) -> str:
    maps = (f"affine_map<({domain}) -> ({dims})>" for dims in stored)
    return f"[{', '.join(maps)}]"


def function(arguments: Sequence[Tuple[str, str]], op: str, result: str) -> str:
    parameters = ", ".join(f"%{name}: {kind}" for name, kind in arguments)
    return (
        f"func.func @main({parameters}) -> {result} {{\n"
        f"  %o = {op}\n  return %o : {result}\n}}\n"
    )


def make_sdpa(rng: random.Random, D: int, element: str) -> Op:
    """Queries are [B, N, (groups,) H, D]: a bias of each head, a mask or neither."""
    B, H = rng.choice([(1, 4), (2, 8), (32, 6), (64, 2)])
    N = rng.choice([1, 49, 64, 77, 144, 196, 197, 256, 577, 1024, 3136, 4096])
    M = N if rng.random() < 0.7 else rng.choice([1, 49, 77, 197, 500, 1024])
    G = rng.choice([1, 1, 1, 2, 4])
    group, dim = ("g,", f"{G}x") if G > 1 else ("", "")
    domain = f"b,h,{group}i,j,d,e"
    extra = rng.choice(["", "", "causal", "bias", "mask", "bias-causal"])
    E = rng.choice([8, 24, 40, 64, 96]) if rng.random() < 0.15 else D
    is_known = rng.random() < 0.85
    b, n, m = (x if is_known else "?" for x in (B, N, M))
    q, o = (tensor(f"{b}x{n}x{H}x{dim}{x}x{element}") for x in (D, E))
    k, v = (tensor(b, m, H, x, element) for x in (D, E))
    stored = [f"b,i,h,{group}d", "b,j,h,d", "b,j,h,e"]
    arguments = [("q", q), ("k", k), ("v", v), ("init", o)]
    operands = []
    if "bias" in extra:
        operands.append(("bias", tensor(H, n, m, element), "h,i,j"))
    if "mask" in extra:
        operands.append(("mask", tensor(b, n, m, "i1"), "b,i,j"))
    added = ""
    for name, kind, dims in operands:
        arguments.append((name, kind))
        stored.append(dims)
        added += f" bias(%{name} : {kind})"
    op = (
        f"attention.sdpa indexing_maps = {views(domain, *stored, f'b,i,h,{group}e')} "
        f"ins(%q, %k, %v : {q}, {k}, {v}){added} outs(%init : {o}) "
        f"{'causal ' if 'causal' in extra else ''}-> {o}"
    )
    sizes = f"B{b} H{H}x{G} N{n} M{m} D{D}" + f"/{E}" * (E != D)
    return Op(f"sdpa {sizes} {element} {extra}".strip(), function(arguments, op, o))


def make_elfatt(rng: random.Random, D: int, element: str) -> Op:
    """Packed [B, N, 3, H, D], some of the heads global."""
    window = rng.randint(4, 16)
    lines = window * rng.choice([1, 2, 4, 8])
    B, H = rng.choice([(1, 2), (2, 4), (2, 8), (32, 2), (32, 8)])
    G = rng.choice([H // 2, H // 2, 1, H])
    lepe = rng.random() < 0.7
    qkv = tensor(B, lines * lines, 3, H, D, element)
    result = tensor(B, lines * lines, H, D, element)
    arguments, added = [("x", qkv), ("init", result)], ""
    for name, heads in (("global", G), ("local", H - G)):
        if lepe and heads:
            taps, bias = tensor(3, 3, heads, D, element), tensor(heads, D, element)
            arguments += [(f"{name}w", taps), (f"{name}b", bias)]
            added += f" {name}_lepe(%{name}w, %{name}b : {taps}, {bias})"
    stored = ["b,n,0,h,d", "b,n,1,h,d", "b,n,2,h,e", "b,n,h,e"]
    op = (
        f"attention.elfatt indexing_maps = {views('b,h,n,d,e', *stored)} "
        f"ins(%x, %x, %x : {qkv}, {qkv}, {qkv}){added} outs(%init : {result}) "
        f"global_heads = {G} grid = [{lines}, {lines}] "
        f"window = [{window}, {window}] -> {result}"
    )
    name = f"elfatt {lines}x{lines} B{B} H{H} G{G} D{D} w{window} {element}"
    return Op(name + " lepe" * lepe, function(arguments, op, result))


MAKERS = {"sdpa": make_sdpa, "elfatt": make_elfatt}


def read(output: str) -> List[Kernel]:
    """The kernels of a compiled module: what ptxas said of them, and their launches."""
    launches: Dict[str, Tuple[int, int]] = {}
    for name, rest in re.findall(
        r"gpu\.launch_func +@\w+::@(\w+) blocks(.*?)args", output
    ):
        threads = re.search(r"threads in \(%c(\d+)", rest)
        dynamic = re.search(r"dynamic_shared_memory_size %c(\d+)", rest)
        assert threads, rest
        launches[name] = (int(threads[1]), int(dynamic[1]) if dynamic else 0)
    return [
        Kernel(name, int(regs), int(smem) + launches[name][1], int(spills),
               launches[name][0])
        for name, regs, smem, spills in re.findall(
            r"(\w+) = \{registers = (\d+) : i64, shared_bytes = (\d+) : i64, "
            r"spill_bytes = (\d+) : i64\}", output)
    ]  # fmt: skip


def compile_op(tool: str, op: Op, chip: str) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        source, out, log = (Path(folder) / x for x in ("m.mlir", "out.mlir", "log"))
        source.write_text(op.text)
        with log.open("wb") as messages:
            process = subprocess.Popen(
                [tool, str(source), f"--elfatt-to-gpu=chip={chip} format=cubin",
                 "-o", str(out)],
                stderr=messages,
                # The packages of this Python, as in an active virtual environment.
                env={"VIRTUAL_ENV": sys.prefix, **os.environ},
            )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = usage.ru_utime + usage.ru_stime
        if process.returncode:
            errors = [x for x in log.read_text().splitlines() if "error:" in x]
            why = errors[0] if errors else f"exit status {process.returncode}"
            if "no ptxas for" in why:
                print(why, file=sys.stderr)
                raise SystemExit(2)
            return Result(why[why.find("error:") :], [], seconds)
        return Result("", read(out.read_text(errors="replace")), seconds)


def judge(chip: str, D: int, result: Result, most_seconds: float) -> List[str]:
    found = []
    for kernel in result.kernels:
        what = f"{kernel.name}, {kernel.registers} registers"
        if kernel.spill_bytes:
            found.append(f"SPILLS {kernel.spill_bytes} bytes: {what}")
        if D <= NARROW and not kernel.fills(chip):
            blocks = kernel.blocks(chip)
            found.append(
                f"{blocks} blocks, {blocks * kernel.threads // 32} warps: {what}, "
                f"{kernel.shared_bytes} bytes shared, {kernel.threads} threads"
            )
    if result.seconds > most_seconds:
        found.append(f"SLOW {result.seconds:.1f} s")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--chips", default=",".join(SHARED_PER_SM))
    parser.add_argument("--types", default=",".join(TYPES))
    parser.add_argument("--channels", default=",".join(map(str, CHANNELS)))
    parser.add_argument("--only", choices=MAKERS)
    parser.add_argument("--cases", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--occupancy", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    given = parser.parse_args()
    tool = os.environ.get("ELFATT_OPT") or shutil.which("elfatt-opt")
    if not tool:
        parser.error("elfatt-opt is not built")
    for chip in given.chips.split(","):
        if chip not in SHARED_PER_SM:
            parser.error(
                f"unknown chip '{chip}', expected one of {', '.join(SHARED_PER_SM)}"
            )

    def work(item: Tuple[str, str, int, str, int]) -> Tuple[str, int, Op, Result]:
        chip, element, D, kind, index = item
        rng = random.Random(f"{given.seed} {item}")
        op = MAKERS[kind](rng, D, element)
        return chip, D, op, compile_op(tool, op, chip)

    odd = given.channels == "odd"
    items = [
        (chip, element, int(D), kind, index)
        for chip in given.chips.split(",")
        for element in given.types.split(",")
        for D in (ODD_CHANNELS if odd else given.channels.split(","))
        for kind in ([given.only] if given.only else MAKERS)
        for index in range(given.cases)
    ]
    kernels = spills = slow = sparse = refused = 0
    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        for chip, D, op, result in pool.map(work, items):
            found = judge(chip, D, result, given.seconds)
            kernels += len(result.kernels)
            spills += sum(x.startswith("SPILLS") for x in found)
            slow += sum(x.startswith("SLOW") for x in found)
            sparse += sum("warps:" in x for x in found)
            refused += bool(result.refused)
            for line in [result.refused] if result.refused else found:
                if "warps:" in line and not given.occupancy:
                    continue
                print(f"{chip} {op.name}: {line}", flush=True)
    print(
        f"{len(items)} ops, {refused} refused; {kernels} kernels: {spills} spill, "
        f"{sparse} leave room for few warps; {slow} ops over {given.seconds:g} s"
    )
    return 1 if spills or slow else 0


if __name__ == "__main__":
    sys.exit(main())
