# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Sums JUnit files; the last line is "N passed, N failed".

A file that is missing, broken or empty is one failure: its runner died.
"""

import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def count(path: pathlib.Path) -> tuple[int, int, int]:
    """(passed, failed, skipped) of one file."""
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        print(f"{path.stem}: error: the runner left no result: {error}")
        return 0, 1, 0
    failed = sum(
        1 for c in cases if c.find("failure") is not None or c.find("error") is not None
    )
    skipped = sum(1 for c in cases if c.find("skipped") is not None)
    if not cases:
        print(f"{path.stem}: error: no tests found")
        return 0, 1, 0
    return len(cases) - failed - skipped, failed, skipped


def main(paths: list[str]) -> int:
    totals = [0, 0, 0]
    for path in map(pathlib.Path, paths):
        counts = count(path)
        print("{}: {} passed, {} failed, {} skipped".format(path.stem, *counts))
        totals = [total + one for total, one in zip(totals, counts)]
    print(f"{totals[0]} passed, {totals[1]} failed")
    return 1 if totals[1] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
