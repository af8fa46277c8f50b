# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Feeds elfatt-opt damaged IR and odd options; it must answer with 0 or 2.

    python scripts/fuzz_opt.py --runs=2000 --seed=7 [--keep=FOLDER] [--passes=REGEX]

The corpus is the IR of the test suite. Each run cuts, swaps, repeats or
replaces a few tokens of one file and runs it through one to three passes. A run
fails on any other exit status, on a crash in a pass of ours, and on a time-out.
Crashes elsewhere, which elfatt-opt turns into an error and status 2, are listed
as caught: MLIR 22's own parsers have some. The same seed gives the same runs.

With --mode=raise the changes are those of fuzz_raise.py, which mostly still parse, and
the passes those around elfatt-raise; give it imported models with --corpus, as
`elfatt-import elfatt.models:vit_tiny_test -o FOLDER/vit.mlir` writes them.
"""

import argparse
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import fuzz_raise

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOKEN = re.compile(
    r"%[\w#]+|@\w+|#\w+|\^\w+|[A-Za-z_][\w.]*|-?\d+(?:\.\d+)?|\s+|.", re.DOTALL
)
NUMBERS = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "49",
    "4096",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999",
    "1.0",
    "0x7FC00000",
    "?",
]
TYPES = [
    "f32",
    "f16",
    "bf16",
    "f64",
    "i1",
    "i8",
    "i64",
    "index",
    "none",
    "f8E4M3FN",
    "tensor<f32>",
    "tensor<*xf32>",
    "tensor<?x0xf32>",
    "memref<4xf32>",
    "vector<4xf32>",
]
CAUGHT = "caught: "
UPSTREAM = ["canonicalize", "cse", "symbol-dce", "inline"]


def tokens_of(text):
    return TOKEN.findall(text)


def mutate(rng, tokens, others):
    """One small change, most often inside of a line that holds an op of ours."""

    def place():
        return rng.randrange(len(tokens)) if tokens else 0

    def near(predicate):
        found = [i for i, t in enumerate(tokens) if predicate(t)]
        return rng.choice(found) if found else None

    kind = rng.randrange(9)
    if kind == 0:  # cut
        begin = place()
        del tokens[begin : begin + rng.choice([1, 1, 2, 5, 20])]
    elif kind == 1:  # repeat
        begin = place()
        tokens[begin:begin] = tokens[begin : begin + rng.choice([1, 3, 10])]
    elif kind == 2:  # swap
        i, j = place(), place()
        if tokens:
            tokens[i], tokens[j] = tokens[j], tokens[i]
    elif kind in (3, 4):  # another number
        i = near(lambda t: re.fullmatch(r"-?\d+(\.\d+)?", t))
        if i is not None:
            tokens[i] = rng.choice(NUMBERS)
    elif kind == 5:  # another type
        i = near(lambda t: re.fullmatch(r"x?(b?f\d+|i\d+|index)", t))
        if i is not None:
            tokens[i] = rng.choice(TYPES)
    elif kind == 6:  # another extent: 2x49x3xf32 is one word to the tokenizer
        i = near(lambda t: re.fullmatch(r"x[\dx]+\w*", t))
        if i is not None:
            parts = tokens[i].split("x")
            parts[rng.randrange(len(parts))] = rng.choice(NUMBERS)
            tokens[i] = "x".join(parts)
    elif kind == 7:  # another value of the file
        i = near(lambda t: t.startswith("%"))
        j = near(lambda t: t.startswith("%"))
        if i is not None:
            tokens[i] = tokens[j]
    else:  # words of another file
        begin = rng.randrange(len(others))
        tokens[place() : place()] = others[begin : begin + rng.choice([1, 5, 30])]
    return tokens


def our_passes(opt):
    listed = subprocess.run(
        [opt, "--list-passes"], capture_output=True, text=True, check=True
    )
    return re.findall(r"^\s*(?:--)?(elfatt-[\w-]+)", listed.stdout, re.MULTILINE)


def normalized(opt, text):
    """As elfatt-opt prints it, or None where it does not parse."""
    command = [opt, "-", "--allow-unregistered-dialect"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def run_one(opt, text, passes, seconds, folder):
    """(None, status) or (what went wrong, status)."""
    (folder / "input.mlir").write_bytes(text.encode("utf-8", "surrogateescape"))
    try:
        result = subprocess.run(
            [opt, "input.mlir", "-o", "output.mlir", *("--" + p for p in passes)],
            capture_output=True,
            cwd=folder,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return f"took more than {seconds} s", None
    errors = result.stderr.decode("utf-8", "replace")
    status = result.returncode
    (folder / "output.mlir").unlink(missing_ok=True)
    if status not in (0, 2):
        return f"exit status {status}", status
    crash = re.search(r"error: ((?:crashed|fatal error|killed).*)", errors)
    if crash:
        ours = "in pass 'elfatt-" in crash[1]
        return ("" if ours else CAUGHT) + crash[1], status
    if status == 2 and "error" not in errors:
        return "exit status 2 without an error", status
    left = [p.name for p in folder.iterdir() if p.name != "input.mlir"]
    return (f"left {left}", status) if left else (None, status)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--opt", default=str(ROOT / "build/bin/elfatt-opt"))
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20, help="limit of one run")
    parser.add_argument(
        "--passes", default="", help="regular expression: only these of our passes"
    )
    parser.add_argument(
        "--keep", type=pathlib.Path, help="where inputs that fail are written"
    )
    parser.add_argument("--mode", choices=["text", "raise"], default="text")
    parser.add_argument(
        "--corpus", type=pathlib.Path, help="folder of .mlir files, instead of test/"
    )
    arguments = parser.parse_args()

    rng = random.Random(arguments.seed)
    folder = ROOT / ("test/Raise" if arguments.mode == "raise" else "test")
    corpus = [
        p.read_text()
        for p in sorted((arguments.corpus or folder).rglob("*.mlir"))
        if p.stat().st_size < 500_000
        and (arguments.corpus or p.stat().st_size < 50_000)
    ]
    # The comments hold what the tests expect, not IR; a file of several inputs
    # gives each of them.
    corpus = [
        part
        for text in corpus
        for part in re.sub(r"//(?! -----).*", "", text).split("// -----")
        if part.strip()
    ]
    if not corpus:
        parser.error("no .mlir file in the corpus")
    if arguments.mode == "raise":
        # As it is printed: one value a line, types at their ends.
        corpus = [t for t in (normalized(arguments.opt, t) for t in corpus) if t]
    passes = [p for p in our_passes(arguments.opt) if re.search(arguments.passes, p)]
    if not passes:
        parser.error(f"no pass matches '{arguments.passes}'")

    failures, caught, statuses = 0, 0, {0: 0, 2: 0}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for number in range(arguments.runs):
            if arguments.mode == "raise":
                text = fuzz_raise.mutate(rng, rng.choice(corpus))
                chosen = [
                    *rng.choice(fuzz_raise.PIPELINES),
                    "allow-unregistered-dialect",
                ]
            else:
                tokens = tokens_of(rng.choice(corpus))
                others = tokens_of(rng.choice(corpus))
                for _ in range(rng.choice([0, 1, 1, 1, 2, 4])):
                    tokens = mutate(rng, tokens, others)
                text = "".join(tokens)
                chosen = [
                    rng.choice(passes if rng.random() < 0.7 else UPSTREAM)
                    for _ in range(rng.choice([1, 1, 2, 3]))
                ]
            wrong, status = run_one(
                arguments.opt, text, chosen, arguments.seconds, folder
            )
            for path in folder.iterdir():
                path.unlink()
            if not wrong:
                statuses[status] += 1
                continue
            if wrong.startswith(CAUGHT):
                caught += 1
            else:
                failures += 1
            print(
                f"run {number}: {wrong}: " + " ".join("--" + p for p in chosen),
                flush=True,
            )
            if arguments.keep:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                head = (
                    "// RUN: elfatt-opt %s " + " ".join("--" + p for p in chosen) + "\n"
                )
                (arguments.keep / f"{arguments.seed}-{number}.mlir").write_text(
                    head + text
                )
    print(
        f"{arguments.runs} runs: {statuses[0]} done, {statuses[2]} refused, "
        f"{caught} caught, {failures} failed"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
