# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Faults put into kernels one at a time, to see that a test would notice each.

A small attention op is lowered to its kernels, one line of them is changed by a named
rule, and the result runs on the simulator. A mutant is killed by an error of the
simulator (a race, an address out of bounds, threads that do not meet) or by a result
that is out of bounds; one that lives is either harmless or a gap in the tests.

    python python/tests/gpu_mutations.py [--kernels=...] [--rules=...] [--chips=...]
                                         [--most=...]

runs every mutant, or so many of each rule, and prints those that live.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import (
    Callable,
    Dict,
    Iterator,
    List,
    Match,
    NamedTuple,
    Optional,
    Pattern,
    Sequence,
    Set,
    Tuple,
)

import ml_dtypes
import numpy as np
from elfatt.tools import find_tool
from gpu_tables import qkv
from kernel_case import Case, check
from kernel_ops import elfatt, sdpa


class Mutant(NamedTuple):
    rule: str
    line: int
    old: str
    text: str


# A rule gives what a line of the kernels becomes, or nothing where it does not apply. New
# values are called %m and %n.
Rule = Callable[[Sequence[str], int], Optional[str]]

LOAD = re.compile(r"(memref|vector)\.load (%\w+)|nvgpu\.ldmatrix (%\w+)")
STORE = re.compile(
    r"(?:memref|vector)\.store %\S+, (%\w+)\[|device_async_copy .*, (%\w+)\["
)
BARRIER = re.compile(r"^\s*(gpu\.barrier|nvvm\.bar\.warp\.sync)")


def without_barrier(lines: Sequence[str], i: int) -> Optional[str]:
    """A barrier between stores to a buffer and loads of it is gone. Others may be there
    for nothing: behind a product or a shuffle, lanes have what they read before it."""
    if not BARRIER.search(lines[i]):
        return None
    stored = buffers(lines, STORE, between_barriers(lines, i, -1))
    loaded = buffers(lines, LOAD, between_barriers(lines, i, 1))
    return "" if stored & loaded else None


def between_barriers(lines: Sequence[str], i: int, step: int) -> List[int]:
    found = []
    i += step
    while not re.search(r"^\s*gpu\.(func|return)", lines[i]) and not BARRIER.search(
        lines[i]
    ):
        found.append(i)
        i += step
    return found


def buffers(lines: Sequence[str], access: Pattern[str], at: Sequence[int]) -> Set[str]:
    """The shared buffers that these lines access."""
    return {
        find_buffer(lines, i, next(x for x in found.groups()[::-1] if x))
        for i in at
        if (found := access.search(lines[i])) and "workgroup" in lines[i]
    }


def find_buffer(lines: Sequence[str], i: int, view: str) -> str:
    """What a view is of: the line above that defines it, and so on."""
    for j in range(i - 1, 0, -1):
        view_of = r"memref\.(?:subview|expand_shape|collapse_shape|transpose) (%\w+)"
        if found := re.match(rf"\s*{re.escape(view)} = {view_of}", lines[j]):
            return find_buffer(lines, j, found[1])
    return view


def without_wait(lines: Sequence[str], i: int) -> Optional[str]:
    """Data of asynchronous copies are used before they are there."""
    if "device_async_wait" not in lines[i]:
        return None
    for line in lines[i + 1 :]:
        if "workgroup" in line and LOAD.search(line):
            return ""
        # Another wait will do, or nothing is read.
        if "device_async_wait" in line or "gpu.return" in line:
            return None
    return None


def another_lane(lines: Sequence[str], i: int) -> Optional[str]:
    """A shuffle asks a lane of another row. What the first one says is the warp's number, which
    all know."""
    found = re.search(r"gpu\.shuffle +\w+ %\S+, (?!%c0_)(%\S+), ", lines[i])
    if not found:
        return None
    other = f"%m = arith.constant 4 : i32\n%n = arith.xori {found[1]}, %m : i32\n"
    return other + put(lines[i], found, "%n")


def one_more(lines: Sequence[str], i: int) -> Optional[str]:
    """A mask takes one token beyond the last, or a part begins one block late."""
    # The bound that a mask's elements are compared with, each less its place.
    bound = re.search(r"(%\w+) = arith\.index_cast (%\w+) : index to i32", lines[i])
    if bound:
        compare = re.compile(rf"arith\.cmpi slt, %\w+, {bound[1]} : i32")
        if not any(compare.search(line) for line in lines[i + 1 : i + 4]):
            return None
        more = "%one = arith.constant 1 : index\n%more = arith.addi {}, %one : index\n"
        line = lines[i][: bound.start(2)] + "%more" + lines[i][bound.end(2) :]
        return more.format(bound[2]) + line
    found = re.search(
        r"arith\.cmpi (slt|ult|uge), .*(vector<\d+xi32>|: index)", lines[i]
    )
    if not found or (found[1] == "uge") == found[2].startswith("vector"):
        return None
    wider = {"slt": "sle", "ult": "ule", "uge": "ugt"}
    return put(lines[i], found, wider[found[1]])


def loads(lines: Sequence[str], i: int) -> bool:
    """Whether the region that begins behind line i reads memory."""
    end = " " * (len(lines[i]) - len(lines[i].lstrip())) + "}"
    last = next(j for j in range(i + 1, len(lines)) if lines[j].startswith(end))
    return any(LOAD.search(line) or "async_copy" in line for line in lines[i:last])


def one_round_less(lines: Sequence[str], i: int) -> Optional[str]:
    """A loop that loads leaves out its last round."""
    found = re.search(r"scf\.for %\w+ = %\S+ to (%\S+) step (%\S+) ", lines[i])
    if not found:
        return None
    if not loads(lines, i):
        return None
    counter = "i32" if ": i32 {" in lines[i] else "index"
    less = f"%m = arith.subi {found[1]}, {found[2]} : {counter}\n"
    return less + put(lines[i], found, "%m")


def one_chunk_less(lines: Sequence[str], i: int) -> Optional[str]:
    """Threads that share a copy leave out its last chunk."""
    found = re.search(r"arith\.cmpi ult, %\S+, (%\S+) : index", lines[i])
    if not found or "scf.if" not in lines[i + 1]:
        return None
    if not loads(lines, i):
        return None
    less = f"%m = arith.constant 1 : index\n%n = arith.subi {found[1]}, %m : index\n"
    return less + put(lines[i], found, "%n")


def is_difference(lines: Sequence[str], i: int, value: str) -> bool:
    """Whether what line i uses is a difference that is rounded or chosen."""
    for j in range(i - 1, 0, -1):
        if found := re.match(rf"\s*{re.escape(value)} = (\S+) (.*) : ", lines[j]):
            operands = re.findall(r"%\w+", found[2])
            return found[1] == "arith.subf" or (
                found[1] in ("arith.truncf", "arith.select")
                and any(is_difference(lines, j, operand) for operand in operands)
            )
    return False


def holds_remainder(lines: Sequence[str], i: int, view: str) -> bool:
    """Whether a view that line i uses has what rounding leaves of a context. Random rows hide
    it; test_contexts_are_not_rounded does not."""
    buffer = find_buffer(lines, i, view)
    for j, line in enumerate(lines[:i]):
        stored = re.search(r"vector\.store (%\w+), (%\w+)\[", line)
        if stored and find_buffer(lines, j, stored[2]) == buffer:
            return is_difference(lines, j, stored[1])
    return False


def another_row(lines: Sequence[str], i: int) -> Optional[str]:
    """Shared memory is read from the next row but one, as with another padding."""
    found = re.search(
        r"(?:vector\.load|nvgpu\.ldmatrix) %\w+\[(%\w+), %\w+\]", lines[i]
    )
    if not found or "workgroup" not in lines[i]:
        return None
    view = re.search(r"(%\w+)\[", lines[i])
    if view and holds_remainder(lines, i, view[1]):
        return None
    other = f"%m = arith.constant 2 : index\n%n = arith.xori {found[1]}, %m : index\n"
    return other + put(lines[i], found, "%n")


def swapped_operands(lines: Sequence[str], i: int) -> Optional[str]:
    """The second and the third register of A change places in a product, or the only two."""
    found = re.search(r"nvvm\.mma\.sync A\[(?:%\w+, )?(%\w+, %\w+)[,\]]", lines[i])
    if not found:
        return None
    return put(lines[i], found, ", ".join(found[1].split(", ")[::-1]))


def another_bit(lines: Sequence[str], i: int) -> Optional[str]:
    """What a bit of the lane's number says, rows or columns, another one says."""
    found = re.search(r"arith\.andi (%\w+), (%c(1|2|4|8|16)) : index", lines[i])
    if not found or not any(f"{found[1]} = gpu.lane_id" in line for line in lines[:i]):
        return None
    other = 2 * int(found[3]) % 31
    constant = f"%m = arith.constant {other} : index\n"
    return constant + lines[i][: found.start(2)] + "%m" + lines[i][found.end(2) :]


def put(line: str, found: Match[str], new: str) -> str:
    return line[: found.start(1)] + new + line[found.end(1) :]


RULES: Dict[str, Rule] = {
    "no barrier": without_barrier,
    "no wait": without_wait,
    "another lane": another_lane,
    "one more": one_more,
    "one round less": one_round_less,
    "one chunk less": one_chunk_less,
    "another row": another_row,
    "swapped operands": swapped_operands,
    "another bit": another_bit,
}


def mutants(text: str, rule: str) -> Iterator[Mutant]:
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if "gpu.func" in line)
    for i in range(start, len(lines)):
        new = RULES[rule](lines, i)
        if new is not None:
            changed = "\n".join([*lines[:i], new, *lines[i + 1 :]])
            yield Mutant(rule, i + 1, lines[i].strip(), changed)


# Tokens and keys fill no tile, but reach into the last eight rows of each, and every warp
# has some; the type is one whose rounding does not hide what one key more does.


def branches(dtype: str) -> Case:
    inputs = qkv("branches", 1, 2, 510, 510, 16)
    return elfatt("branches", *inputs, (5, 102), (5, 6), 1, dtype=dtype)


def windows(dtype: str) -> Case:
    inputs = qkv("windows", 1, 1, 60, 60, 16)
    return elfatt("windows", *inputs, (12, 5), (6, 5), 0, lepe=True, dtype=dtype)


def long_rows(dtype: str) -> Case:
    """A row of scores in blocks of keys, the last of them incomplete."""
    inputs = qkv("long rows", 1, 1, 29, 283, 16)
    return sdpa("long rows", *inputs, dtype=dtype)


def neighbours(dtype: str) -> Case:
    """Two heads a block, beside each other in scratch."""
    inputs = qkv("neighbours", 8, 4, 20, 23, 24)
    return sdpa("neighbours", *inputs, dtype=dtype, layout="tokens first")


KERNELS: Dict[str, Tuple[Callable[[str], Case], str]] = {
    "branches-f16": (branches, "f16"),
    "windows-f32": (windows, "f32"),
    "long rows-f16": (long_rows, "f16"),
    "neighbours-f16": (neighbours, "f16"),
}


def tool(name: str) -> str:
    found = find_tool(name)
    assert found, f"{name} is not built: run 'cmake --build --preset release'"
    return found


def lower(case: Case, folder: Path, chip: str) -> str:
    """The case's kernels and their launches, with a @main that takes its arguments as
    memrefs and leaves the result in its destination."""
    source = folder / "case.mlir"
    body = case.function().replace('passthrough = ["noinline"]', "")
    # What a public function takes stays as it is; the result then is memory of its own.
    source.write_text(f"func.func private @main{body}")
    pipeline = f"--elfatt-to-gpu=chip={chip}"
    done = subprocess.run(
        [tool("elfatt-opt"), str(source), pipeline, "--stop-after=kernels"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    text = done.stdout.replace("func.func private @main", "func.func @main")
    returned = re.search(r"^    return (%\w+) : (memref<.*>)$", text, re.MULTILINE)
    assert returned and returned[1] == f"%arg{case.destinations[0]}", returned
    text = text.replace(returned[0], "    return")
    return re.sub(r"(func\.func @main\(.*\)) -> memref<.*> \{", r"\1 {", text)


def run(text: str, case: Case, folder: Path, chip: str) -> str:
    """What is wrong: nothing, an error of the simulator, or of the result."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "m.mlir").write_text(text)
    arrays = {
        f"arg{i}": x.view(np.uint16) if x.dtype == ml_dtypes.bfloat16 else x
        for i, (x, _) in enumerate(case.arguments)
    }
    np.savez(folder / "in.npz", **arrays)
    files = ["--inputs=in.npz", "--save=out.npz"]
    done = subprocess.run(
        [tool("elfatt-run"), "m.mlir", f"--target=sim:{chip}", *files],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        error = done.stderr[done.stderr.find("error:") :]
        # Anything else is a mutant that is no program.
        assert "error: kernel '" in error, error[:2000]
        return error.splitlines()[0]
    with np.load(folder / "out.npz") as out:
        result = out[f"out{case.destinations[0]}"]
    if result.dtype == np.uint16:
        result = result.view(ml_dtypes.bfloat16)
    try:
        check(case, result, eager=True)
    except AssertionError as error:
        return str(error).splitlines()[0]
    return ""


class Verdict(NamedTuple):
    mutant: Mutant
    why: str  # it was killed; nothing if it lives


def judge(
    kernel: str, chip: str, rules: Sequence[str], folder: Path, most: int
) -> List[Verdict]:
    """At most so many mutants of each rule, from all over the kernels."""
    make, dtype = KERNELS[kernel]
    case = make(dtype)
    folder.mkdir(parents=True, exist_ok=True)
    text = lower(case, folder, chip)
    wrong = run(text, case, folder / "whole", chip)
    assert not wrong, f"{kernel} on {chip} is wrong as it is: {wrong}"
    picked: List[Mutant] = []
    for rule in rules:
        found = list(mutants(text, rule))
        picked += found[:: max(1, -(-len(found) // most))]

    def judge_one(i: int) -> Verdict:
        return Verdict(picked[i], run(picked[i].text, case, folder / str(i), chip))

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(judge_one, range(len(picked))))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kernels", default=",".join(KERNELS))
    parser.add_argument("--rules", default=",".join(RULES))
    parser.add_argument("--chips", default="sm_87")
    parser.add_argument("--most", type=int, default=10**6, help="mutants of each rule")
    given = parser.parse_args()
    lived = 0
    for kernel in given.kernels.split(","):
        for chip in given.chips.split(","):
            for rule in given.rules.split(","):
                with tempfile.TemporaryDirectory() as folder:
                    verdicts = judge(kernel, chip, [rule], Path(folder), given.most)
                alive = [v.mutant for v in verdicts if not v.why]
                lived += len(alive)
                killed = len(verdicts) - len(alive)
                print(f"{kernel} on {chip}, {rule}: {killed} killed, {len(alive)} live")
                for mutant in alive:
                    print(f"    line {mutant.line}: {mutant.old}", flush=True)
    return 1 if lived else 0


if __name__ == "__main__":
    sys.exit(main())
