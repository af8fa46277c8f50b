# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Machine code of a cubin: its loops, and what instructions they hold.

``nvdisasm -c`` prints it; a loop is a natural loop of the control-flow graph (a
branch back to a block that dominates it), so that the code which a divergent warp
would take, far behind, and jumps back from, is none.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Counter, Dict, FrozenSet, List, Optional, Sequence, Set

_TEXT = re.compile(r"\s*\.section\s+\.text\.([^,\s]+)")
_LABEL = re.compile(r"(\.L_x_\d+|\.L_\d+):")
# On sm_53 "{" and "}" hold two instructions that are issued together.
_CODE = re.compile(r"\s*/\*([0-9a-f]+)\*/\s+\{?\s*(.*?)\s*[;}]")
_PREDICATED = re.compile(r"@!?U?P\w+\s+(.*)")
_TARGET = re.compile(r"(?:`\(|BRANCH_TARGETS )(\.L_\w+)")
_CONDITION = re.compile(r"BRA\S*\s+!?U?P\w+,")

CLASSES = {
    "HMMA": r"HMMA",
    "EX2": r"MUFU\.EX2",
    "FFMA/FMUL": r"(FFMA|FMUL)(2|32I)?",
    "FADD": r"FADD(2|32I)?",
    "FMNMX": r"FMNMX3?",
    "F2F": r"F2F|F2FP",
    "LDG": r"LDG",
    "LDGSTS": r"LDGSTS",
    "LDS": r"LDS",
    "LDSM": r"LDSM",
    "STS": r"STS",
    "STG": r"STG",
    "spills": r"STL|LDL",
    "SHFL": r"SHFL",
    "BAR": r"BAR",
}
"""What is counted, by the opcode's first parts; FMUL too can be the scale."""
_CLASSES = {name: re.compile(rf"({text})(\.|$)") for name, text in CLASSES.items()}
ARITHMETIC = ("EX2", "FFMA/FMUL", "FADD", "FMNMX", "F2F")


@dataclasses.dataclass(frozen=True)
class Instruction:
    address: int
    opcode: str  # MUFU.EX2
    predicated: bool  # it need not do anything, or jump
    target: Optional[str]  # the label that it names


@dataclasses.dataclass
class Kernel:
    name: str
    code: List[Instruction]
    labels: Dict[str, int]  # label -> index into code


def find_nvdisasms() -> List[str]:
    """On PATH, of this Python's packages (nvidia-cuda-nvdisasm, and triton, which has
    one of CUDA 12) or a Toolkit's."""
    found = shutil.which("nvdisasm")
    paths = [found] if found else []
    for package in sys.path:
        for pattern in ("nvidia/*/bin", "triton/backends/nvidia/bin"):
            paths += map(str, sorted(Path(package).glob(f"{pattern}/nvdisasm")))
    paths += map(str, sorted(Path("/usr/local").glob("*/bin/nvdisasm")))
    return [path for path in dict.fromkeys(paths) if os.access(path, os.X_OK)]


def disassemble(nvdisasms: Sequence[str], cubin: Path) -> Dict[str, Kernel]:
    """The kernels of a cubin, by the first tool that knows the chip. Raises
    RuntimeError with what the first one says."""
    said = None
    for nvdisasm in nvdisasms:
        done = subprocess.run(
            [nvdisasm, "-c", str(cubin)], capture_output=True, text=True
        )
        if done.returncode == 0:
            return parse(done.stdout)
        said = said or done.stderr.strip()[:300]
    raise RuntimeError(f"nvdisasm: {said}")


def parse(text: str) -> Dict[str, Kernel]:
    kernels: Dict[str, Kernel] = {}
    kernel: Optional[Kernel] = None
    for line in text.splitlines():
        section = _TEXT.match(line)
        if section:
            kernel = kernels.setdefault(section[1], Kernel(section[1], [], {}))
        elif line.lstrip().startswith(".section\t"):
            kernel = None
        if kernel is None:
            continue
        label, code = _LABEL.match(line), _CODE.match(line)
        if label:
            kernel.labels[label[1]] = len(kernel.code)
        elif code:
            words = code[2]
            predicate = _PREDICATED.match(words)
            words = predicate[1] if predicate else words
            target = _TARGET.search(words)
            kernel.code.append(
                Instruction(
                    int(code[1], 16),
                    words.split()[0],
                    bool(predicate or _CONDITION.match(words)),
                    target[1] if target else None,
                )
            )
    return {name: k for name, k in kernels.items() if k.code}


def count(code: Sequence[Instruction]) -> Counter[str]:
    """Instructions by class; "all" has everything but NOPs."""
    counts: Counter[str] = collections.Counter()
    for instruction in code:
        if instruction.opcode != "NOP":
            counts["all"] += 1
        for name, pattern in _CLASSES.items():
            if pattern.match(instruction.opcode):
                counts[name] += 1
    return counts


def count_products(code: Sequence[Instruction]) -> float:
    """HMMA as so many of 16 x 8 x 16."""
    depths = {"16816": 1.0, "1688": 0.5, "1684": 0.25, "884": 1 / 8}
    return sum(
        depths.get(i.opcode.split(".")[1], 1.0)
        for i in code
        if i.opcode.startswith("HMMA.")
    )


# ----------------------------------------------------------------------------
# Control flow
# ----------------------------------------------------------------------------


class Flow:
    """Blocks of a kernel that a warp whose lanes stay together reaches."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        code = kernel.code
        starts = {0, *kernel.labels.values()}
        starts |= {i + 1 for i, x in enumerate(code) if self._ends_block(x)}
        self.starts = sorted(s for s in starts if s < len(code))
        self.ends = [*self.starts[1:], len(code)]
        number = {start: i for i, start in enumerate(self.starts)}
        self.successors: List[List[int]] = []
        for i, end in enumerate(self.ends):
            last = code[end - 1]
            after = []
            if self._goes_on(last) and i + 1 < len(self.starts):
                after.append(i + 1)
            if self._jumps(last) and last.target in kernel.labels:
                place = kernel.labels[last.target]
                if place in number:
                    after.append(number[place])
            self.successors.append(after)
        self._order()
        self._dominate()

    @staticmethod
    def _jumps(x: Instruction) -> bool:
        """BRA.DIV goes where a warp goes whose lanes have parted. For sm_80 ptxas
        writes some jumps within a kernel as calls that do not come back, for sm_53
        those to where lanes meet again as SYNC and BRK."""
        if x.opcode.startswith("BRA"):
            return not x.opcode.startswith("BRA.DIV")
        if x.opcode in ("SYNC", "BRK"):
            return x.target is not None
        return x.opcode.startswith("CALL") and x.target is not None

    @staticmethod
    def _goes_on(x: Instruction) -> bool:
        ends = x.opcode.split(".")[0] in (
            "BRA", "EXIT", "RET", "BRX", "JMP", "SYNC", "BRK",
        )  # fmt: skip
        return not ends or x.predicated or x.opcode.startswith("BRA.DIV")

    @classmethod
    def _ends_block(cls, x: Instruction) -> bool:
        return cls._jumps(x) or not cls._goes_on(x) or x.opcode.startswith("EXIT")

    def _order(self) -> None:
        """Reverse post-order of what is reached."""
        seen: Set[int] = {0}
        order: List[int] = []
        stack = [(0, iter(self.successors[0]))] if self.starts else []
        while stack:
            block, rest = stack[-1]
            following = next((s for s in rest if s not in seen), None)
            if following is None:
                order.append(block)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(self.successors[following])))
        self.order = order[::-1]
        self.predecessors: Dict[int, List[int]] = {b: [] for b in self.order}
        for b in self.order:
            for s in self.successors[b]:
                self.predecessors[s].append(b)

    def _dominate(self) -> None:
        everything = frozenset(self.order)
        self.dominators: Dict[int, FrozenSet[int]] = dict.fromkeys(
            self.order, everything
        )
        if self.order:
            self.dominators[0] = frozenset({0})
        changed = True
        while changed:
            changed = False
            for b in self.order[1:]:
                common = everything.intersection(
                    *(self.dominators[p] for p in self.predecessors[b])
                )
                if (new := common | {b}) != self.dominators[b]:
                    self.dominators[b] = new
                    changed = True

    def loops(self) -> List[FrozenSet[int]]:
        """The blocks of each natural loop; those with one header are one loop."""
        bodies: Dict[int, Set[int]] = {}
        for b in self.order:
            for header in self.successors[b]:
                if header not in self.dominators[b]:
                    continue
                body = bodies.setdefault(header, {header})
                stack = [b]
                while stack:
                    block = stack.pop()
                    if block not in body:
                        body.add(block)
                        stack += self.predecessors[block]
        return [frozenset(body) for body in bodies.values()]

    def dominated(self, block: int) -> FrozenSet[int]:
        """The blocks that are reached through `block` alone, itself among them."""
        return frozenset(b for b in self.order if block in self.dominators[b])

    def children(self, block: int) -> List[int]:
        """The blocks whose closest dominator is `block`."""
        return [
            b
            for b in self.order
            if b != block and self.dominators[b] == self.dominators[block] | {b}
        ]

    def reach(self, block: int) -> Set[int]:
        """What can be executed after `block`."""
        seen: Set[int] = set()
        stack = [block]
        while stack:
            for s in self.successors[stack.pop()]:
                if s not in seen:
                    seen.add(s)
                    stack.append(s)
        return seen

    def instructions(self, blocks: FrozenSet[int]) -> List[Instruction]:
        return [
            x
            for b in sorted(blocks)
            for x in self.kernel.code[self.starts[b] : self.ends[b]]
        ]


@dataclasses.dataclass
class Region:
    """A main loop of a kernel, or what does the same work outside of loops."""

    place: str  # "loop at 0x1a70", "straight line from 0x40"
    code: List[Instruction]
    inner_loops: int  # that run an unknown number of times in it
    rare: Sequence[Instruction] = ()
    """Of `code`, where it has products of tensor cores: the loops inside with
    multiply-adds and neither products nor exponentials. They are LePE's taps for
    values that are not finite, which products would spread."""


def find_main_regions(kernel: Kernel) -> List[Region]:
    """The smallest loops that hold both products and exponentials, a softmax with
    what feeds on it; and the rest of the kernel where that holds both too. Products
    are HMMA, or FFMA in a kernel without. Where nothing holds both: the innermost
    loops with products. Parts of a kernel of which a block executes one alone (those
    that were merged into a launch) are looked at one by one."""
    flow = Flow(kernel)
    product = "HMMA" if count(kernel.code)["HMMA"] else "FFMA/FMUL"
    regions = []
    for part in find_parts(flow, product):
        regions += _find_in_part(flow, part, product)
    return regions


def find_parts(flow: Flow, product: str) -> List[FrozenSet[int]]:
    """Splits the flow where it parts for good, with products on both sides."""

    def holds_product(blocks: FrozenSet[int]) -> bool:
        return bool(count(flow.instructions(blocks))[product])

    def split(root: int) -> List[FrozenSet[int]]:
        if holds_product(frozenset({root})):
            return []
        arms = {c: flow.dominated(c) for c in flow.children(root)}
        arms = {c: blocks for c, blocks in arms.items() if holds_product(blocks)}
        if len(arms) == 1:
            return split(next(iter(arms)))
        if not arms or any(flow.reach(c) & set(arms) - {c} for c in arms):
            return []
        return [part for c in arms for part in split(c) or [arms[c]]]

    whole = frozenset(flow.order)
    parts = split(0) if flow.order else []
    return sorted(parts, key=min) if len(parts) > 1 else [whole]


def _find_in_part(flow: Flow, part: FrozenSet[int], product: str) -> List[Region]:
    def holds(blocks: FrozenSet[int], *names: str) -> bool:
        counts = count(flow.instructions(blocks))
        return all(counts[name] for name in names)

    def find_smallest(candidates: List[FrozenSet[int]]) -> List[FrozenSet[int]]:
        return [x for x in candidates if not any(y < x for y in candidates)]

    loops = [loop for loop in flow.loops() if loop <= part]
    chosen = find_smallest([x for x in loops if holds(x, product, "EX2")])
    rest = part.difference(*chosen)
    regions = []
    if holds(rest, product, "EX2"):
        first = flow.instructions(rest)[0].address
        what = "outside of loops" if chosen else "straight line"
        regions.append((rest, f"{what} from 0x{first:x}"))
    if not chosen and not regions:
        chosen = find_smallest([x for x in loops if holds(x, product)])
    named = [
        (x, f"loop at 0x{flow.instructions(x)[0].address:x}")
        for x in sorted(chosen, key=min)
    ]

    def make_region(blocks: FrozenSet[int], place: str) -> Region:
        inner = [loop for loop in loops if loop < blocks]
        rare = [
            loop
            for loop in inner
            if holds(loop, "FFMA/FMUL")
            and not holds(loop, "EX2")
            and not holds(loop, "HMMA")
        ]
        return Region(
            place,
            flow.instructions(blocks),
            len(inner),
            flow.instructions(frozenset().union(*rare)) if product == "HMMA" else (),
        )

    return [make_region(blocks, place) for blocks, place in named + regions]
