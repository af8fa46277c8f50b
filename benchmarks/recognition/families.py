# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which attentions of real model families are raised, and whether they stay right.

    python benchmarks/recognition/families.py [--library=TEXT] [--family=TEXT]
        [--frontend=torch|onnx|stablehlo] [--jobs=1] [--write] [--keep=DIR]

Each family is built small from its library's own code with random weights, imported,
raised, decomposed again, run by another compiler (torch-mlir's JIT) and compared with
the source model. `--write` makes docs/Families.md from a full run.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import signal
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterable, List, Sequence, Tuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "python" / "tests")]
import common  # noqa: E402 - puts the package on the path
import measure  # noqa: E402
import page  # noqa: E402

LIBRARIES = {
    "torch.nn": "torch_nn",
    "transformers, vision": "vision",
    "transformers, encoders": "encoders",
    "transformers, decoders": "decoders",
    "transformers, audio": "audio",
    "diffusers": "diffusion",
    "timm, transformers": "timm_models",
    "timm, hybrids and look-alikes": "timm_hybrids",
    "jax": "jax_models",
}
TIMEOUT = 600


def load(library: str) -> Sequence[Any]:
    """The table of a library; empty, with a line that says so, when it is not installed."""
    import importlib

    try:
        return importlib.import_module(f"zoo.{LIBRARIES[library]}").FAMILIES
    except ModuleNotFoundError as error:
        print(f"skipping {library}: no module named '{error.name}'", flush=True)
        return ()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--library", default="", help="only libraries whose name has this"
    )
    parser.add_argument(
        "--family", default="", help="only families whose name has this"
    )
    parser.add_argument("--frontend", default="", choices=["", *measure.FRONTENDS])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write docs/Families.md")
    parser.add_argument(
        "--missing", action="store_true", help="only rows not yet measured"
    )
    parser.add_argument("--keep", type=Path, help="folder for the imported modules")
    arguments = parser.parse_args()

    cases: List[Tuple[str, Any, str, str]] = [
        (library, family, implementation, frontend)
        for library in LIBRARIES
        if arguments.library.lower() in library.lower()
        for family in load(library)
        if arguments.family.lower() in family.name.lower()
        for implementation in family.implementations
        for frontend in family.frontends
        if arguments.frontend in ("", frontend)
    ]
    if arguments.missing:
        have = {key(row) for row in known_rows()}
        cases = [
            case for case in cases if (case[0], case[1].name, *case[2:]) not in have
        ]
    records: List[Dict[str, Any]] = []
    try:
        for record in run_all(cases, arguments.jobs, arguments.keep):
            records.append(record)
    finally:
        # An interrupted run keeps the rows that it has.
        print(page.summary(records))
        if arguments.write:
            page.write(update(records), HERE.parents[1] / "docs" / "Families.md")
    return 0 if all(map(page.is_complete, records)) else 1


def known_rows() -> List[Dict[str, Any]]:
    path = common.RESULTS / "families.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def key(row: Dict[str, Any]) -> Tuple[str, ...]:
    return tuple(row[name] for name in ("library", "family", "spelling", "frontend"))


def update(records: Sequence[Dict[str, Any]]) -> Sequence[Dict[str, Any]]:
    """Puts the records into the results of earlier runs, which may have been of other rows."""
    for record in records:
        record["revision"] = common.revision()
    new = {key(record) for record in records}
    rows = [*(row for row in known_rows() if key(row) not in new), *records]
    names = {
        library: [family.name for family in load(library)] for library in LIBRARIES
    }
    # A row that its table no longer has falls out; one whose library is missing here stays.
    rows = [
        row
        for row in rows
        if row["family"] in (names.get(row["library"], ["none"]) or [row["family"]])
    ]
    libraries = list(LIBRARIES)
    rows.sort(
        key=lambda row: (
            libraries.index(row["library"]),
            names[row["library"]].index(row["family"]) if names[row["library"]] else 0,
        )
    )
    common.write_results("families", {"rows": rows}, sys.argv)
    return rows


def run_all(cases: Sequence[Any], jobs: int, keep: Any) -> Iterable[Dict[str, Any]]:
    """Each case in a process of its own: a crash in native code is that case's result."""
    # Forked, so that the libraries are loaded once.
    context = multiprocessing.get_context("fork")

    def run(case: Tuple[str, Any, str, str]) -> Dict[str, Any]:
        library, family, implementation, frontend = case
        receive, send = context.Pipe(duplex=False)

        def work() -> None:
            # The parent is who is interrupted; the row at work is finished.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            send.send(measure.measure(family, implementation, frontend, keep))

        process = context.Process(target=work)
        begin = time.monotonic()
        process.start()
        send.close()
        result: Dict[str, Any] = {"failure": f"no result in {TIMEOUT} s"}
        try:
            if receive.poll(TIMEOUT):
                result = receive.recv()
        except EOFError:
            process.join()
            result = {"failure": f"ended with status {process.exitcode}"}
        process.kill()
        process.join()
        record = page.judge(case, result)
        print(page.line(record, time.monotonic() - begin), flush=True)
        return record

    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    try:
        yield from pool.map(run, cases)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


if __name__ == "__main__":
    sys.exit(main())
