# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The sweep: thousands of cases, and a minimised reproducer of each kind of fault.

python -m spellings --count=2000 [--seed=N] [--near-misses] [--found=FOLDER]
python -m spellings --replay="{'guard': 'safe'}" [--near-misses]
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Callable, List

from .build import build
from .check import Judge, Outcome, run
from .choices import Choices, Record, draw, minimise, replay
from .draft import Case
from .judge import NearMissJudge, SpellingJudge
from .known import is_known
from .near_misses import build_near_miss

_BATCH = 100


def _kind(outcome: Outcome) -> str:
    """The fault without its numbers."""
    return (
        re.sub(r"[-\d.e+]*\d|nan|inf", "#", outcome.faults[0])[:120]
        if outcome.faults
        else ""
    )


class Sweep:
    def __init__(self, near_misses: bool) -> None:
        self.make: Callable[[Choices], Case] = build_near_miss if near_misses else build
        self.judge: Judge = NearMissJudge() if near_misses else SpellingJudge()

    def run(self, records: List[Record], seed: int) -> List[Outcome]:
        return run([self.make(replay(r)) for r in records], seed, self.judge)

    def shrink(self, record: Record, seed: int, kind: str) -> Record:
        return minimise(
            record, lambda rs: [_kind(o) == kind for o in self.run(rs, seed)]
        )


def _show(sweep: Sweep, record: Record, seed: int) -> int:
    case = sweep.make(replay(record))
    (outcome,) = run([case], seed, sweep.judge)
    print(case.named("f0"))
    for site in outcome.sites:
        print(f"// {site['message']}")
    print(outcome.raised)
    for fault in outcome.faults:
        print(f"// fault: {fault}")
    return 1 if outcome.faults else 0


def _write(folder: Path, sweep: Sweep, record: Record, fault: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = (
        "-".join(re.sub(r"\W+", "_", f"{k}_{v}") for k, v in record.items())[:100]
        or "plain"
    )
    case = sweep.make(replay(record))
    head = "".join(
        f"// {line}\n"
        for line in (
            *fault.splitlines(),
            f"choices: {record}",
            f"passes: {case.passes}",
        )
    )
    (folder / f"{name}.mlir").write_text(head + case.named("f0"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m spellings", description=__doc__)
    parser.add_argument(
        "--count", type=int, default=1000, help="how many cases are drawn"
    )
    parser.add_argument("--seed", type=int, default=0, help="where the draws start")
    parser.add_argument(
        "--near-misses", action="store_true", help="draw near misses instead"
    )
    parser.add_argument("--all", action="store_true", help="known refusals, too")
    parser.add_argument("--found", type=Path, help="folder for reproducers")
    parser.add_argument(
        "--replay", type=ast.literal_eval, metavar="RECORD", help="one case, shown"
    )
    parser.add_argument(
        "--minimised", type=int, default=12, help="how many kinds to minimise"
    )
    args = parser.parse_args()
    sweep = Sweep(args.near_misses)
    if args.replay is not None:
        return _show(sweep, args.replay, args.seed)

    kinds: Counter = Counter()
    raised: Counter = Counter()
    done, started = 0, time.monotonic()
    while done < args.count:
        seed = args.seed + done // _BATCH
        avoid = [] if args.near_misses or args.all else [is_known]
        drawn = draw(sweep.make, min(_BATCH, args.count - done), seed, *avoid)
        outcomes = run([case for _, case in drawn], seed, sweep.judge)
        for (record, _), outcome in zip(drawn, outcomes):
            raised[outcome.is_raised] += 1
            kind = _kind(outcome)
            if not kind:
                continue
            kinds[kind] += 1
            if kinds[kind] == 1 and len(kinds) <= args.minimised:
                small = sweep.shrink(record, seed, kind)
                (again,) = sweep.run([small], seed)
                fault = again.faults[0] if again.faults else outcome.faults[0]
                print(f"\nseed {seed}: {fault}\n  {small}", flush=True)
                if args.found:
                    _write(args.found, sweep, small, fault)
        done += len(drawn)
        pace = done / (time.monotonic() - started)
        print(
            f"{done} cases, {raised[True]} raised, {sum(kinds.values())} faults, {pace:.0f} a second",
            flush=True,
        )
    for kind, count in kinds.most_common():
        print(f"{count:6d} {kind}")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
