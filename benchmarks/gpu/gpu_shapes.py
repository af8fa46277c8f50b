# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which shapes are measured on GPUs; what a shape is stands in ../cpu/shapes.py.

Batches are those of inference on a GPU: 32 images and more, 1 or 2 for dense
prediction and diffusion.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import paths  # noqa: F401
from shapes import Elfatt, Exact

WIDTHS = {"f16": 2, "bf16": 2, "f32": 4}

MEMORY_BOUND = [
    Elfatt(56, 64, 2, 7, 32),
    Elfatt(56, 64, 2, 7, 512),
    Elfatt(56, 64, 2, 14, 32),
    Elfatt(28, 128, 4, 7, 512),
    Elfatt(112, 64, 2, 7, 32),
    Elfatt(64, 320, 8, 8, 2),
]
"""2-D shapes whose limit is memory on every chip (windows up to 14 x 14)."""

OTHER_ELFATT = [
    Elfatt(56, 64, 2, 28, 32),
    Elfatt(256, 64, 2, 32, 1),
    Elfatt(64, 320, 8, 32, 2),
    Elfatt(28, 128, 4, 7, 32),
    Elfatt(14, 256, 8, 7, 32),
    Elfatt(7, 512, 16, 7, 32),
    Elfatt(96, 64, 2, 12, 32),
    Elfatt(48, 128, 4, 12, 32),
    Elfatt(24, 256, 8, 12, 32),
    Elfatt(12, 512, 16, 12, 32),
    Elfatt(32, 640, 8, 8, 2),
    Elfatt(16, 1280, 8, 8, 2),
    Elfatt(14, 384, 6, 7, 32, prefix=1),
]
"""Large windows; Swin and CSWin at 224 and 384 px; Stable Diffusion; ViT."""

EXACT = [
    Exact("56x56 stage", 32, 2, 3136, 3136, 32),
    Exact("28x28 stage", 32, 4, 784, 784, 32),
    Exact("ViT-small", 32, 6, 197, 197, 64),
    Exact("windows of 7x7", 2048, 2, 49, 49, 32),
    Exact("windows of 14x14", 512, 2, 196, 196, 32),
    Exact("Stable Diffusion 64x64", 2, 8, 4096, 4096, 40),
    Exact("Stable Diffusion 32x32", 2, 8, 1024, 1024, 80),
    Exact("Stable Diffusion, text", 2, 8, 4096, 77, 40),
    Exact("decoder", 2, 16, 1024, 1024, 64, causal=True),
]

ALL: Sequence[Any] = [*MEMORY_BOUND, *OTHER_ELFATT, *EXACT]

QUICK: Sequence[Any] = [MEMORY_BOUND[0], MEMORY_BOUND[2], EXACT[2]]


def choose(shapes: Sequence[Any], only: Sequence[str]) -> List[Any]:
    """Those whose names contain one of the texts."""
    return [s for s in shapes if not only or any(text in s.name for text in only)]


def slug(shape: Any, element: str) -> str:
    """A name for files: elfatt-56x56-c64-h2-w7-b32-bf16."""
    if isinstance(shape, Elfatt):
        prefix = f"-p{shape.prefix}" if shape.prefix else ""
        size = f"{shape.size}x{shape.size}-c{shape.channels}-h{shape.heads}"
        name = f"elfatt-{size}-w{shape.window}{prefix}-b{shape.batch}"
    else:
        causal = "-causal" if shape.causal else ""
        tokens = f"n{shape.queries}-m{shape.keys}-d{shape.channels}"
        name = f"sdpa-{tokens}-h{shape.heads}-b{shape.batch}{causal}"
    return f"{name}-{element}"


def head_dim(shape: Any) -> int:
    if isinstance(shape, Elfatt):
        return shape.channels // shape.heads
    return shape.channels


def to_json(shape: Any) -> Dict[str, Any]:
    return {"kind": type(shape).__name__, "fields": vars(shape)}


def from_json(record: Dict[str, Any]) -> Any:
    return {"Elfatt": Elfatt, "Exact": Exact}[record["kind"]](**record["fields"])
