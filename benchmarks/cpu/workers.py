# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The other compilers, each in a process of its own.

A worker reads one JSON request a line from stdin and answers each with one line
on stdout; what libraries print goes to stderr. The requests are the methods of
``TorchWorker`` and ``IreeWorker``, with their arguments by name.

    python benchmarks/cpu/workers.py torch|iree --threads=2 --cache=FOLDER
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

ROOT = Path(__file__).resolve().parent.parent.parent
for folder in ("benchmarks", "python", "python/tests"):
    sys.path.insert(0, str(ROOT / folder))

import common  # noqa: E402
import numpy as np  # noqa: E402
import shapes  # noqa: E402

SLOW_MS = 700
"""A call that takes longer is made once a round, not three times."""


def parse_shape(kind: str, fields: Dict[str, Any]) -> Any:
    return (shapes.Elfatt if kind == "Elfatt" else shapes.Exact)(**fields)


def time_calls(call: Callable[[], Any], seconds: float) -> List[float]:
    first = common.time_calls(call, 0, least=1)
    return first if first[0] > SLOW_MS else common.time_calls(call, seconds)


class TorchWorker:
    """PyTorch eager, torch.compile and max-autotune; inputs and references for all."""

    def __init__(self, threads: int, cache: Path) -> None:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / "inductor"))
        # The compiler that torch.compile calls; g++ where there is one.
        if not shutil.which("g++"):
            os.environ.setdefault("CXX", "clang++-22")
        import torch

        torch.set_num_threads(threads)
        self.torch = torch
        self.calls: Dict[str, Callable[[], Any]] = {}

    def open(
        self, kind: str, fields: Dict[str, Any], element: str, inputs: str, module: bool
    ) -> Dict[str, Any]:
        """Makes inputs, writes them to the .npz file ``inputs`` and sets up contestants."""
        torch = self.torch
        torch._dynamo.reset()
        self.shape = shape = parse_shape(kind, fields)
        dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[element]
        torch.manual_seed(shapes.SEED + 1)
        if kind == "Exact":
            B, h, D = shape.batch, shape.heads, shape.channels
            tokens = (shape.queries, shape.keys, shape.keys)
            arrays = [torch.randn(B, h, n, D).to(dtype) for n in tokens]
            self.calls = {"exact": lambda: self.attend(*arrays)}
        else:
            core = shapes.make_module(shape).to(dtype)
            qkv = torch.randn(shape.batch, shape.tokens, 3 * shape.channels).to(dtype)
            arrays = [qkv, *shapes.get_lepe(core, shape)]
            self.calls = {"exact": lambda: self.attend_packed(qkv)}
            if module:
                compiled = torch.compile(core)
                tuned = torch.compile(core, mode="max-autotune")
                self.calls["eager"] = lambda: core(qkv)
                self.calls["compile"] = lambda: compiled(qkv)
                self.calls["autotune"] = lambda: tuned(qkv)
        # float32 holds bf16 exactly; elfatt-run and IREE round it back.
        np.savez(inputs, **{f"arg{i}": x.float().numpy() for i, x in enumerate(arrays)})
        self.expected, self.scale = shapes.reference(
            shape, [x.double().numpy() for x in arrays]
        )
        return {}

    def attend(self, q: Any, k: Any, v: Any) -> Any:
        return self.torch.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=getattr(self.shape, "causal", False)
        )

    def attend_packed(self, qkv: Any) -> Any:
        """Exact attention of all tokens, which is what ELFATT stands in for."""
        B, N, C = qkv.shape
        h = self.shape.heads
        q, k, v = qkv.view(B, N, 3, h, C // 3 // h).permute(2, 0, 3, 1, 4)
        return self.attend(q, k, v).transpose(1, 2).reshape(B, N, C // 3)

    def check(self, path: str) -> Dict[str, Any]:
        """The error of a result in an .npy or .npz file (out0; bf16 as its bits)."""
        result = np.load(path)
        return {
            "error": self.error(result["out0"] if path.endswith(".npz") else result)
        }

    def error(self, result: Any) -> float:
        """Against float64, relative to max |V|."""
        got = shapes.compared(self.shape, result)
        if got.dtype == np.uint16:
            got = (got.astype(np.uint32) << 16).view(np.float32)
        return float(np.abs(got - self.expected).max() / self.scale)

    def measure(self, who: str, seconds: float, check: bool) -> Dict[str, Any]:
        """Times of calls in ms, after one that warms up; with ``check`` the error."""
        call = self.calls[who]
        with self.torch.inference_mode():
            result = call()
            answer: Dict[str, Any] = {"error": None}
            # Exact attention is not what ELFATT computes.
            if check and not (who == "exact" and isinstance(self.shape, shapes.Elfatt)):
                answer["error"] = self.error(result.float().numpy())
            answer["times"] = time_calls(call, seconds)
        return answer

    def model(self, name: str) -> Dict[str, Any]:
        """Sets up a whole model of elfatt.models."""
        from elfatt import models

        self.torch._dynamo.reset()
        module, inputs = getattr(models, name)()
        compiled = self.torch.compile(module)
        self.calls = {
            "eager": lambda: module(*inputs),
            "compile": lambda: compiled(*inputs),
        }
        return {}


class IreeWorker:
    """IREE's CPU back end, on plain linalg."""

    FLAGS = (
        "--iree-llvmcpu-target-cpu=host",
        "--iree-opt-level=O3",
        "--iree-input-demote-f64-to-f32=false",
    )

    def __init__(self, threads: int, cache: Path) -> None:
        from iree import compiler, runtime

        runtime.flags.parse_flags(f"--task_topology_max_group_count={threads}")
        self.compiler, self.runtime, self.cache = compiler, runtime, cache / "iree"
        self.cache.mkdir(parents=True, exist_ok=True)

    def open(self, mlir: str, element: str, inputs: str) -> Dict[str, Any]:
        """Compiles the file ``mlir`` for @main; its result is kept for later runs."""
        runtime = self.runtime
        text = Path(mlir).read_bytes()
        digest = hashlib.sha256(repr(self.FLAGS).encode() + text).hexdigest()[:24]
        path = self.cache / f"{digest}.vmfb"
        if not path.exists():
            code = self.compiler.compile_str(
                text, target_backends=["llvm-cpu"], extra_args=list(self.FLAGS)
            )
            path.write_bytes(code)
        context = runtime.SystemContext(config=runtime.Config("local-task"))
        context.add_vm_module(runtime.VmModule.mmap(context.instance, str(path)))
        self.context, self.main = context, context.modules.module["main"]
        with np.load(inputs) as arrays:
            values = [arrays[f"arg{i}"] for i in range(len(arrays.files))]
        self.inputs = [self.to_device(x, element) for x in values]
        return {}

    def to_device(self, array: Any, element: str) -> Any:
        runtime = self.runtime
        device = self.context.config.device
        if element == "f32" or array.dtype != np.float32:
            return runtime.asdevicearray(device, np.ascontiguousarray(array))
        import ml_dtypes

        bits = array.astype(ml_dtypes.bfloat16).view(np.uint16)
        view = device.allocator.allocate_buffer_copy(
            memory_type=runtime.MemoryType.DEVICE_LOCAL,
            allowed_usage=runtime.BufferUsage.DEFAULT | runtime.BufferUsage.MAPPING,
            device=device,
            buffer=np.ascontiguousarray(bits),
            element_type=runtime.HalElementType.BFLOAT_16,
        )
        return runtime.DeviceArray(device, view)

    def measure(self, seconds: float, save: Optional[str]) -> Dict[str, Any]:
        result = self.main(*self.inputs)
        if save:
            first = result[0] if isinstance(result, (list, tuple)) else result
            np.save(save, np.asarray(first.to_host()).astype(np.float32))
        return {"times": time_calls(lambda: self.main(*self.inputs), seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["torch", "iree"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, required=True)
    arguments = parser.parse_args()
    # The answers alone go where the parent reads.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = {"torch": TorchWorker, "iree": IreeWorker}[arguments.kind](
        arguments.threads, arguments.cache
    )
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # A contestant that fails is a line of the table.
            lines = f"{type(error).__name__}: {error}".splitlines()
            why = next((w for w in lines if "error: " in w), lines[0])
            answer = {"failed": why[:300]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
