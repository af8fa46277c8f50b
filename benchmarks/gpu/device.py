# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where contestants run, and how they are timed.

cuda: on a GPU, by CUDA events around one replay of a CUDA graph, the L2 flushed
before. host: on this machine's CPU, through the same code, to test it. simulator:
nothing is timed. Only cuda gives times of a GPU, and says so: `is_gpu_time`.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional, Tuple

Call = Callable[[], Any]
WARM_UPS = 3
LEAST_FLUSH_BYTES = 256 << 20


class Runner:
    """A call that is ready to be timed."""

    def __init__(self, run: Call, is_graph: bool, note: Optional[str] = None) -> None:
        self.run, self.is_graph, self.note = run, is_graph, note


class CudaDevice:
    kind = "cuda"
    is_gpu_time = True
    target = "cuda"

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.name = "cuda"
        self.properties = torch.cuda.get_device_properties(0)
        l2 = getattr(self.properties, "L2_cache_size", 0) or 0
        size = max(LEAST_FLUSH_BYTES, 2 * l2)
        # Written before each timed call: what was in the L2 is gone, and while the
        # GPU is at it the host gets ahead, so that no launch is waited for.
        self.flush = torch.empty(size, dtype=torch.uint8, device="cuda")
        # Products of f32 in f32, for all.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False

    def describe(self) -> Dict[str, Any]:
        p = self.properties
        return {
            "kind": self.kind,
            "name": p.name,
            "capability": f"{p.major}.{p.minor}",
            "sms": p.multi_processor_count,
            "l2_bytes": getattr(p, "L2_cache_size", None),
            "cuda": self.torch.version.cuda,
            "torch": self.torch.__version__,
        }

    def stream(self) -> int:
        """The stream that a call has to work on: the capture's while there is one."""
        return self.torch.cuda.current_stream().cuda_stream

    def prepare(self, call: Call) -> Runner:
        """Captures `call` into a CUDA graph; where it cannot be, it is timed as it
        is, launches included."""
        torch = self.torch
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                call()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                call()
        except RuntimeError as error:
            torch.cuda.synchronize()
            return Runner(call, False, str(error).splitlines()[0][:200])
        graph.replay()
        torch.cuda.synchronize()
        return Runner(graph.replay, True)

    def time(self, runner: Runner, samples: int) -> List[float]:
        """Microseconds of each sample."""
        torch = self.torch
        events = []
        for _ in range(samples):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            self.flush.zero_()
            begin.record()
            runner.run()
            end.record()
            events.append((begin, end))
        torch.cuda.synchronize()
        return [begin.elapsed_time(end) * 1e3 for begin, end in events]

    def free_memory(self) -> None:
        """Gives back what no tensor holds any more."""
        self.torch.cuda.empty_cache()

    def is_lost(self) -> bool:
        """Whether an earlier kernel has left the context unusable."""
        try:
            self.torch.cuda.synchronize()
            return False
        except RuntimeError:
            return True


class HostDevice:
    """The CPU, through the same calls: its times are not those of any GPU."""

    kind = "host"
    is_gpu_time = False
    name = "cpu"
    target: Optional[str] = None

    def __init__(self, torch: Any) -> None:
        self.torch = torch

    def describe(self) -> Dict[str, Any]:
        return {"kind": self.kind, "name": "host CPU", "torch": self.torch.__version__}

    def stream(self) -> int:
        return 0

    def prepare(self, call: Call) -> Runner:
        call()
        return Runner(call, False)

    def time(self, runner: Runner, samples: int) -> List[float]:
        times = []
        for _ in range(samples):
            begin = time.perf_counter()
            runner.run()
            times.append((time.perf_counter() - begin) * 1e6)
        return times

    def free_memory(self) -> None:
        pass

    def is_lost(self) -> bool:
        return False


def find_gpu() -> Tuple[bool, str]:
    """Whether there is a GPU, and the reason where there is none."""
    try:
        import torch
    except ImportError:
        return False, "PyTorch is not installed"
    if torch.version.cuda is None:
        return False, f"PyTorch {torch.__version__} is built without CUDA"
    if not torch.cuda.is_available():
        return False, "PyTorch finds no CUDA device"
    return True, ""
