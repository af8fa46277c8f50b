# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``elfatt-import``: the command.

The work is done in a child process. torch-mlir is a large native library, and an
abort in it must reach the user as one line and exit status 2, with no stack dump
and no half-written file. The parent owns the files and the exit status.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from typing import (
    Any,
    BinaryIO,
    Dict,
    List,
    NoReturn,
    Optional,
    Sequence,
    TextIO,
    Tuple,
)

from elfatt.errors import Error
from elfatt.importer import Imported, ImportOptions, front_end_of, import_source
from elfatt.importer.files import OutputFile

OK, BAD_INPUT = 0, 2
"""Exit status: done; bad usage or input."""

PROGRAM = "elfatt-import"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(BAD_INPUT, f"{PROGRAM}: error: {message}\n")


def _parse_dynamic(text: str) -> List[Tuple[int, int]]:
    result = []
    for item in text.split(","):
        match = re.fullmatch(r"\s*arg(\d+):(\d+)\s*", item)
        if match is None:
            raise argparse.ArgumentTypeError(
                f"expected argN:DIM[,argN:DIM...], got '{text}'"
            )
        result.append((int(match[1]), int(match[2])))
    return result


def _parse_sizes(text: str) -> Dict[str, int]:
    result = {}
    for item in text.split(","):
        name, _, size = item.rpartition("=")
        if not name.strip() or not size.strip().isdecimal():
            raise argparse.ArgumentTypeError(
                f"expected NAME=SIZE[,NAME=SIZE...], got '{text}'"
            )
        result[name.strip()] = int(size)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="Import a model as an MLIR module: one func.func @main on tensors "
        "in linalg, tensor, arith and math.",
        epilog="exit status: 0 done, 2 bad usage or input",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="FILE.onnx (its external data beside it); StableHLO in FILE.stablehlo, "
        "FILE.mlir or FILE.mlirbc, as text, MLIR bytecode or a portable artifact; or "
        "package.module:callable, where callable returns (torch.nn.Module, example "
        "inputs) or (a function that JAX can trace, example inputs); arguments may "
        "follow: elfatt.models:elfatt_stage(size=28). The current directory is "
        "importable",
    )
    parser.add_argument(
        "-o",
        dest="output",
        metavar="FILE",
        default="-",
        help="where the module goes: text, or bytecode when FILE ends in .mlirbc "
        "(default: text to standard output)",
    )
    parser.add_argument(
        "--inputs-out",
        metavar="FILE.npz",
        help="write the example inputs (arg0, arg1, ...; bf16 as uint16 bits)",
    )
    parser.add_argument(
        "--expect-out",
        metavar="FILE.npz",
        help="run the source model on them and write its outputs (out0, out1, ...)",
    )
    parser.add_argument(
        "--inputs",
        metavar="FILE.npz",
        help="ONNX and StableHLO: example inputs, by arg0, arg1, ... or by name; what is "
        "not in it is random, always the same",
    )
    parser.add_argument(
        "--dynamic",
        metavar="argN:DIM,...",
        type=_parse_dynamic,
        default=[],
        help="PyTorch: dimensions of inputs whose size stays open",
    )
    parser.add_argument(
        "--dim",
        metavar="NAME=SIZE,...",
        type=_parse_sizes,
        action="append",
        default=[],
        help="ONNX: sizes of dimensions that the file leaves open, by their name in it "
        "or as INPUT:DIM; the others stay open",
    )
    parser.add_argument(
        "--static",
        action="store_true",
        help="ONNX: refuse a model with an open dimension",
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="no progress on standard error"
    )
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="show warnings, native output and Python tracebacks",
    )
    return parser


def _say_error(error: Error, stream: TextIO) -> None:
    prefix = "" if error.location else f"{PROGRAM}: error: "
    print(f"{prefix}{error}", file=stream, flush=True)


# ----------------------------------------------------------------------------
# In the child
# ----------------------------------------------------------------------------


class _Output:
    """Counts and writes bytes; any failure names the file."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file, self.name, self.size = file, name, 0

    def write(self, data: bytes) -> None:
        try:
            self.file.write(data)
        except OSError as error:
            raise _cannot_write(self.name, error) from None
        self.size += len(data)


def _cannot_write(name: str, error: OSError) -> Error:
    return Error(f"cannot write '{name}': {error.strerror or error}")


def _write_text(imported: Imported, path: str, name: str) -> int:
    try:
        with open(path, "wb") as file:
            output = _Output(file, name)
            imported.write(output)
            file.flush()
    except OSError as error:
        raise _cannot_write(name, error) from None
    return output.size


def _write_bytecode(imported: Imported, path: str, name: str) -> int:
    # Bytecode of torch-mlir's own MLIR, which is newer, cannot be read by ours;
    # its text can.
    from elfatt.tools import find_opt

    opt = find_opt()
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
        text = os.path.join(folder, "module.mlir")
        _write_text(imported, text, name)
        made = subprocess.run(
            [opt, "--emit-bytecode", text, "-o", path],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    if made.returncode:
        lines = made.stderr.strip().splitlines() or [f"exit status {made.returncode}"]
        raise Error(f"cannot write '{name}': {os.path.basename(opt)}: {lines[0]}")
    return os.path.getsize(path)


def _write_arrays(arrays: Any, path: str, name: str) -> None:
    import numpy

    try:
        with open(path, "wb") as file:
            numpy.savez(file, **arrays)
    except OSError as error:
        raise _cannot_write(name, error) from None


def _read_arrays(name: str) -> Dict[str, Any]:
    import numpy

    try:
        with numpy.load(name, allow_pickle=False) as file:
            return dict(file)
    except OSError as error:
        raise Error(f"cannot read '{name}': {error.strerror or error}") from None
    except Exception as error:  # noqa: BLE001 - zipfile and numpy raise many kinds
        raise Error(f"'{name}' is no .npz of arrays: {error}") from None


def _import(
    arguments: argparse.Namespace, paths: Dict[str, str], stderr: TextIO, stdout: int
) -> None:
    begin = time.monotonic()

    def progress(step: str) -> None:
        if not arguments.quiet:
            seconds = time.monotonic() - begin
            print(f"{PROGRAM}: [{seconds:5.1f} s] {step}", file=stderr, flush=True)

    options = ImportOptions(
        dynamic=arguments.dynamic,
        sizes={name: size for given in arguments.dim for name, size in given.items()},
        static=arguments.static,
        inputs=_read_arrays(arguments.inputs) if arguments.inputs else {},
        want_inputs=arguments.inputs_out is not None,
        want_outputs=arguments.expect_out is not None,
        progress=progress,
    )
    imported = import_source(arguments.source, options)
    if arguments.inputs_out:
        _write_arrays(imported.inputs, paths["inputs_out"], arguments.inputs_out)
    if arguments.expect_out:
        _write_arrays(imported.outputs, paths["expect_out"], arguments.expect_out)
    progress(f"writing {arguments.output}")
    if arguments.output == "-":
        size = _write_text(imported, f"/dev/fd/{stdout}", "standard output")
    elif arguments.output.endswith(".mlirbc"):
        size = _write_bytecode(imported, paths["output"], arguments.output)
    else:
        size = _write_text(imported, paths["output"], arguments.output)
    progress(f"wrote {size / 1e6:.1f} MB")


def _child(
    arguments: argparse.Namespace, paths: Dict[str, str], native: BinaryIO
) -> int:
    """Does the import. What native code prints goes to ``native``, and what the
    model's own code prints goes to standard error, never into the module."""
    stdout, stderr_copy = os.dup(1), os.dup(2)
    stderr = os.fdopen(stderr_copy, "w")
    os.dup2(2, 1)
    if not arguments.verbose:
        os.dup2(native.fileno(), 2)
        import warnings

        warnings.simplefilter("ignore")
    sys.stdout = sys.stderr = stderr
    try:
        _import(arguments, paths, stderr, stdout)
        return OK
    except Error as error:
        if arguments.verbose:
            traceback.print_exc(file=stderr)
        _say_error(error, stderr)
    except MemoryError:
        _say_error(Error("out of memory"), stderr)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 - the last line of defence
        if arguments.verbose:
            traceback.print_exc(file=stderr)
        text = f"internal error: {type(error).__name__}: {error} (--verbose says more)"
        _say_error(Error(text), stderr)
    except SystemExit:
        # The model's code ended the process; only the traceback knows where.
        _say_error(Error("the source's own code called sys.exit"), stderr)
    return BAD_INPUT


# ----------------------------------------------------------------------------
# In the parent
# ----------------------------------------------------------------------------


def _open_outputs(arguments: argparse.Namespace) -> Dict[str, OutputFile]:
    opened: Dict[str, OutputFile] = {}
    try:
        for name in ("output", "inputs_out", "expect_out"):
            target: Optional[str] = getattr(arguments, name)
            if target is not None and target != "-":
                opened[name] = OutputFile(target)
    except Error:
        for file in opened.values():
            file.discard()
        raise
    return opened


def _run(arguments: argparse.Namespace) -> int:
    front_end_of(arguments.source)
    if arguments.inputs and not (arguments.inputs_out or arguments.expect_out):
        raise Error(
            "--inputs is for --inputs-out and --expect-out, and neither is given"
        )
    files = _open_outputs(arguments)
    paths = {name: file.path for name, file in files.items()}
    child = 0
    try:
        with tempfile.TemporaryFile() as native:
            sys.stdout.flush()
            sys.stderr.flush()
            child = os.fork()
            if child == 0:
                # Destructors of native libraries run in no particular order at
                # exit, and must not change the status: leave without them.
                status = BAD_INPUT
                try:
                    status = _child(arguments, paths, native)
                    sys.stderr.flush()
                finally:
                    os._exit(status)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            child = 0
            if status < 0:
                native.seek(0)
                raise Error(_why_it_died(-status, native.read()))
        if status == OK:
            for file in files.values():
                file.commit()
        return status
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for file in files.values():
            file.discard()


def _why_it_died(number: int, native: bytes) -> str:
    text = native.decode(errors="replace")
    for line in text.splitlines():
        if "ssert" in line or "error:" in line or "LLVM ERROR" in line:
            return f"the import crashed in native code: {line.strip()[:500]}"
    if number == signal.SIGKILL:
        return "the import was killed (out of memory?)"
    name = signal.Signals(number).name
    return f"the import crashed in native code ({name}; --verbose says more)"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the command; returns its exit status (0 done, 2 bad usage or input)."""
    # A terminated import removes its temporary files like an interrupted one.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except Error as error:
        _say_error(error, sys.stderr)
        return BAD_INPUT
    except OSError as error:
        _say_error(Error(f"{error.strerror or error}"), sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
