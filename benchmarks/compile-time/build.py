# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Time of a full build, and of rebuilding after a change to one file.

    python benchmarks/compile-time/build.py [--jobs=2]

Builds in a folder of its own, from nothing, with the release preset's settings.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import List, NamedTuple, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import common  # noqa: E402

# One file of each size: a verifier, the slowest kind, and the one with all of
# upstream's headers.
ONE_FILE = (
    "lib/Dialect/Attention/IR/AttentionVerifiers.cpp",
    "lib/Tile/TileToForall.cpp",
    "lib/InitAll.cpp",
)


class Seconds(NamedTuple):
    """Wall time, and processor time, which other work on the machine leaves as
    it is."""

    wall: float
    processor: float


def timed(*words: str) -> Seconds:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    common.run(*words, cwd=common.ROOT)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return Seconds(wall, user + system)


def slowest(folder: Path, count: int) -> List[Tuple[float, str]]:
    """The objects that took longest, from ninja's own log."""
    entries = []
    for line in (folder / ".ninja_log").read_text().splitlines()[1:]:
        begin, end, _, output, _ = line.split("\t")
        if output.endswith((".o", ".pch")):
            entries.append(((int(end) - int(begin)) / 1e3, output.split("/")[-1]))
    return sorted(set(entries), reverse=True)[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        configure = timed("cmake", "--preset", "release", "-B", str(folder))
        build = ("cmake", "--build", str(folder), "--parallel", str(arguments.jobs))
        full = timed(*build, "--target", "all", "elfatt-unit-tests")
        objects = slowest(folder, 5)
        rebuilds = {}
        for name in ONE_FILE:
            (common.ROOT / name).touch()
            rebuilds[name] = timed(*build, "--target", "elfatt-opt")
    figures = {"configure": configure, "full build, with unit tests": full}
    figures |= {f"elfatt-opt after a change to {n}": t for n, t in rebuilds.items()}
    lines = [[f"{arguments.jobs} jobs", "seconds", "processor seconds"]]
    lines += [[n, f"{t.wall:.1f}", f"{t.processor:.1f}"] for n, t in figures.items()]
    lines += [[f"slowest: {name}", f"{seconds:.1f}", ""] for seconds, name in objects]
    common.print_table(lines)
    common.write_results(
        "build",
        {
            "jobs": arguments.jobs,
            "seconds": {name: t._asdict() for name, t in figures.items()},
            "slowest_s": {name: seconds for seconds, name in objects},
        },
        sys.argv,
    )


if __name__ == "__main__":
    main()
