# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models of ONNX Runtime's own ops, and what ONNX Runtime makes of them.

    python python/tests/contrib_cases.py       writes data/contrib.npz

needs onnxruntime (1.32.0 wrote the file that is here); the tests do not.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx_cases import model_of

DATA = Path(__file__).parent / "data" / "contrib.npz"
B, N, M, C, H = 2, 5, 7, 12, 3
D = C // H


class Case(NamedTuple):
    """One node: inputs by shape, small integers by ``ints`` (name: array)."""

    name: str
    op: str
    inputs: List[str]
    shapes: Mapping[str, Tuple[int, ...]]
    outputs: List[str]
    attributes: Dict[str, Any]
    ints: Mapping[str, np.ndarray] = {}
    opset: int = 17

    def arrays(self) -> Dict[str, np.ndarray]:
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        drawn = {
            name: rng.standard_normal(shape, np.float32)
            for name, shape in self.shapes.items()
        }
        return {**drawn, **self.ints}

    def model(self, constants: bool = True) -> onnx.ModelProto:
        """Weights are constants, where there are any."""
        arrays = self.arrays()
        fixed = {n: arrays[n] for n in arrays if n.startswith("w") and constants}
        domain = "" if self.op == "SimplifiedLayerNormalization" else "com.microsoft"
        call = helper.make_node(
            *(self.op, self.inputs, self.outputs),
            domain=domain,
            name="/call",
            **self.attributes,
        )
        types = {n: TensorProto.INT32 for n in self.ints}
        return model_of(
            [call],
            {n: arrays[n].shape for n in arrays if n not in fixed},
            {n: [None] * ranks(self)[n] for n in self.outputs if n},
            fixed,
            opset=self.opset,
            types={**types, "lengths": TensorProto.INT32},
            imports=[helper.make_opsetid("com.microsoft", 1)],
        )

    def feeds(self) -> Dict[str, np.ndarray]:
        return {n: a for n, a in self.arrays().items() if not n.startswith("w")}


def ranks(case: Case) -> Dict[str, int]:
    """Of the outputs: that of the first operand, mostly."""
    first = case.arrays()[case.inputs[0]]
    if case.op == "MultiHeadAttention":
        return {"y": 3}
    if case.op == "EmbedLayerNormalization":
        return {"y": 3, "lengths": 1}
    return {n: first.ndim for n in case.outputs}


def attention(name: str, more: Mapping[str, Any] = {}, **attributes: Any) -> Case:
    """op Attention; ``more`` has its optional inputs."""
    names = ("mask", "", "added")
    given = [n if n in more else "" for n in names]
    while given and not given[-1]:
        given.pop()
    return Case(
        *(f"Attention, {name}", "Attention", ["x", "w", "wb", *given]),
        {
            **{"x": (B, N, C), "w": (C, 3 * C), "wb": (3 * C,)},
            **{n: v for n, v in more.items() if isinstance(v, tuple)},
        },
        *(["y"], {"num_heads": H, **attributes}),
        {n: v for n, v in more.items() if isinstance(v, np.ndarray)},
    )


def multi_head(
    name: str, inputs: str, shapes: Mapping[str, Any], **attributes: Any
) -> Case:
    return Case(
        *(f"MultiHeadAttention, {name}", "MultiHeadAttention"),
        [n.strip("_") for n in inputs.split()],
        {n: v for n, v in shapes.items() if isinstance(v, tuple)},
        *(["y"], {"num_heads": H, **attributes}),
        {n: v for n, v in shapes.items() if isinstance(v, np.ndarray)},
    )


def other(
    op: str, inputs: str, shapes: Dict[str, Any], outputs: str = "y", **more: Any
) -> Case:
    ints = {n: v for n, v in shapes.items() if isinstance(v, np.ndarray)}
    floats = {n: v for n, v in shapes.items() if isinstance(v, tuple)}
    name = ", ".join([op, inputs, *(f"{k} {v}" for k, v in more.items())])
    names = [n.strip("_") for n in outputs.split()]
    return Case(
        *(name, op, [n.strip("_") for n in inputs.split()], floats, names, more, ints)
    )


KEYS = np.array([[1] * 5, [1, 1, 1, 0, 0]], np.int32)
OTHER_KEYS = np.array([[1] * 7, [1, 1, 1, 1, 0, 0, 0]], np.int32)
ROWS = np.tril(np.ones((B, N, N), np.int32))
QKV = {"x": (B, N, C), "k": (B, M, C), "v": (B, M, C)}
IDS = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]], np.int32)
EMBEDDED = {
    **{"ids": IDS, "kinds": IDS % 2, "words": (10, C), "places": (8, C)},
    **{"segments": (2, C), "w1": (C,), "w2": (C,)},
}
IMAGE = {"x": (B, 4, 4, 8), "w1": (8,), "w2": (8,)}

CASES = [
    attention("plain"),
    attention("scale", scale=0.3),
    attention("causal", unidirectional=1),
    attention("keys masked", {"mask": KEYS}),
    attention("keys masked lowest", {"mask": KEYS}, mask_filter_value=-3.4e38),
    attention("numbers of keys", {"mask": np.array([5, 3], np.int32)}),
    attention("rows masked", {"mask": ROWS}),
    attention("bias", {"added": (1, H, N, N)}),
    multi_head("self", "x k v", QKV),
    multi_head("biases", "x k v wb", {**QKV, "wb": (3 * C,)}),
    multi_head("wide values", "x k v", {**QKV, "v": (B, M, 2 * C)}),
    multi_head("mask", "x k v _ mask", {**QKV, "mask": OTHER_KEYS}, scale=0.2),
    multi_head("bias", "x k v _ _ added", {**QKV, "added": (1, 1, N, M)}),
    multi_head("packed", "x", {"x": (B, N, H, 3, D)}),
    multi_head("packed keys", "x k", {"x": (B, N, C), "k": (B, M, H, 2, D)}),
    multi_head("causal", "x k v", {n: (B, N, C) for n in "xkv"}, unidirectional=1),
    multi_head(
        "keys of heads", "x k v", {**QKV, "k": (B, H, M, D), "v": (B, H, M, D)}
    ),
    other("SkipLayerNormalization", "x s w1 w2", {**QKV, "s": (B, N, C), "w1": (C,), "w2": (C,)}),
    other(
        *("SkipLayerNormalization", "x s w1 w2 w3"),
        {"x": (B, N, C), "s": (1, N, C), "w1": (C,), "w2": (C,), "w3": (C,)},
        *("y _ _ t",),
        epsilon=1e-3,
    ),
    other("SkipSimplifiedLayerNormalization", "x s w1", {"x": (B, N, C), "s": (B, N, C), "w1": (C,)}, "y _ _ t"),
    other("SimplifiedLayerNormalization", "x w1", {"x": (B, N, C), "w1": (C,)}, axis=-1, epsilon=1e-6),
    other("EmbedLayerNormalization", "ids kinds words places segments w1 w2", EMBEDDED, "y lengths"),
    other(
        *("EmbedLayerNormalization", "ids kinds words places segments w1 w2 mask"),
        {**EMBEDDED, "mask": KEYS},
        *("y lengths",),
    ),
    other("BiasGelu", "x w", {"x": (B, N, C), "w": (C,)}),
    other("Gelu", "x", {"x": (B, N, C)}),
    other("FastGelu", "x w", {"x": (B, N, C), "w": (C,)}),
    other("QuickGelu", "x", {"x": (B, N, C)}, alpha=1.5),
    other("BiasSplitGelu", "x w", {"x": (B, N, 2560), "w": (2560,)}),
    other("BiasAdd", "x w s", {"x": (B, N, 320), "w": (320,), "s": (B, N, 320)}),
    other("FusedMatMul", "a b", {"a": (B, C, N), "b": (B, M, C)}, transA=1, transB=1, alpha=0.5),
    other("FusedMatMul", "rows b", {"rows": (N, B, C), "b": (B, C, M)}, transBatchA=1),
    other("FusedMatMul", "a rows", {"a": (B, H, N, C), "rows": (M, B, H, C)}, transB=1, transBatchB=1),
    other("FusedGemm", "a w wb", {"a": (N, C), "w": (C, M), "wb": (M,)}, activation="Relu"),
    other("FusedConv", "x w wb", {"x": (B, 3, 6, 6), "w": (4, 3, 3, 3), "wb": (4,)}, pads=[1, 1, 1, 1], activation="Relu"),
    other("GroupNorm", "x w1 w2", IMAGE, groups=4, activation=1, epsilon=1e-4),
    other("SkipGroupNorm", "x w1 w2 s w3", {**IMAGE, "s": (B, 8), "w3": (8,)}, "y t", groups=2, activation=0),
    other("NhwcConv", "x w wb", {"x": (B, 6, 6, 3), "w": (4, 3, 3, 3), "wb": (4,)}, strides=[2, 2]),
]  # fmt: skip


def write() -> int:
    import onnxruntime

    results: Dict[str, np.ndarray] = {}
    for case in CASES:
        try:
            session = onnxruntime.InferenceSession(
                case.model().SerializeToString(), providers=["CPUExecutionProvider"]
            )
            outputs = session.run(None, case.feeds())
        except Exception as error:
            print(f"{case.name}: {error}", file=sys.stderr)
            continue
        results.update((f"{case.name}:{i}", a) for i, a in enumerate(outputs))
    np.savez_compressed(DATA, **results)
    print(f"{len(results)} outputs of {len(CASES)} cases: {DATA.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(write())
