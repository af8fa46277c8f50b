# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Measures one case at a time in a process of its own, which a fault may end.

It reads one JSON request a line and answers with events, one a line: {"began": who},
{"checked": who, ...}, {"timed": who, "us": [...]}, {"failed": who, ...} and in the
end {"done": true, "lost": ...}.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import paths  # noqa: F401

import device as devices
import gpu_shapes
import peers


Runners = Dict[str, devices.Runner]


def explain(error: BaseException) -> str:
    lines = [x for x in str(error).splitlines() if x.strip()] or [""]
    return f"{type(error).__name__}: {lines[0]}"[:300]


class Worker:
    def __init__(self, kind: str, answers: Any) -> None:
        import torch

        self.torch, self.answers = torch, answers
        self.device: Any = {
            "cuda": devices.CudaDevice,
            "host": devices.HostDevice,
        }[kind](torch)

    def say(self, **event: Any) -> None:
        print(json.dumps(event), file=self.answers, flush=True)

    def measure(self, request: Dict[str, Any]) -> None:
        lost = self._measure(request)
        if lost is None:
            self.device.free_memory()
        self.say(done=True, lost=lost)

    def _measure(self, request: Dict[str, Any]) -> Optional[str]:
        """The contestants of `who`: each is made and checked, then all have a turn in
        each round. The one that has left the device unusable, or None."""
        self.torch._dynamo.reset()
        shape = gpu_shapes.from_json(request["shape"])
        case = peers.Case(self.torch, self.device, shape, request["element"])
        runners: Runners = {}
        for name in request["who"]:
            self.say(began=name)
            if why := self._try(lambda: self._check(case, name, request, runners)):
                self.say(failed=name, why=why)
                if self.device.is_lost():
                    return name
                self.device.free_memory()
        for _ in range(request["rounds"]):
            for name in list(runners):
                self.say(began=name)
                if why := self._try(lambda: self._time(name, request, runners)):
                    del runners[name]
                    self.say(failed=name, why=why)
                    if self.device.is_lost():
                        return name
        return None

    @staticmethod
    def _try(step: Callable[[], None]) -> Optional[str]:
        """Why it failed; a contestant that fails is a line of the table."""
        try:
            step()
            return None
        except Exception as error:
            return explain(error)

    def _check(
        self, case: peers.Case, name: str, request: Dict[str, Any], runners: Runners
    ) -> None:
        bundle: Optional[Path] = request["bundle"] and Path(request["bundle"])
        call = case.make(name, bundle, request["library"])
        error = case.check(call()) if case.is_same_formula(name) else None
        runners[name] = runner = self.device.prepare(call)
        self.say(checked=name, error=error, graph=runner.is_graph, note=runner.note)

    def _time(self, name: str, request: Dict[str, Any], runners: Runners) -> None:
        self.say(timed=name, us=self.device.time(runners[name], request["samples"]))


def main() -> None:
    # The answers alone go where the parent reads.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(sys.argv[1], answers)
    worker.say(device=worker.device.describe(), is_gpu_time=worker.device.is_gpu_time)
    for line in sys.stdin:
        with worker.torch.inference_mode():
            try:
                worker.measure(json.loads(line))
            except Exception as error:
                worker.say(failed=None, why=explain(error))
                worker.say(done=True, lost=None)


if __name__ == "__main__":
    main()
