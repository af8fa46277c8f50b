# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is known of a case while it is written: sizes, types, arguments, meaning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .choices import Choices, Record
from .emitter import Dims, Emitter, Tensor

#: Labels of batch, key heads, queries per key head; of queries, keys, channels, values.
SCORE_LABELS = ("b", "g", "r", "i", "j")
EPSILON = {"f16": 2.0**-11, "bf16": 2.0**-8, "f32": 2.0**-24, "f64": 2.0**-53}
LARGEST = {
    "f16": 65504.0,
    "bf16": 3.39e38,
    "f32": 3.4028235e38,
    "f64": 1.7976931348623157e308,
}

Arrays = Sequence[np.ndarray]
Sizes = Mapping[str, int]


@dataclass
class Argument:
    """One argument of the function. ``kind`` says what values it is given."""

    tensor: Tensor
    kind: str
    value: float = 0.0

    @property
    def dims(self) -> Dims:
        return self.tensor.dims

    @property
    def element(self) -> str:
        return self.tensor.element


@dataclass
class Types:
    """Element types: of the arguments, of what is multiplied, of each stage."""

    argument: str
    operand: str
    scores: str
    softmax: str
    probabilities: str
    products: str
    result: str

    def coarsest(self) -> float:
        stages = (
            self.scores,
            self.softmax,
            self.probabilities,
            self.products,
            self.result,
        )
        return max(EPSILON[t] for t in stages)


#: A scalar function of one score: its new value from scores [b, g, r, i, j].
Meaning = Callable[[np.ndarray, Arrays], np.ndarray]
#: Q, K or V as [b, g, r, token, channel].
Operand = Callable[[Arrays], np.ndarray]


@dataclass
class Step:
    """One scalar function between the product and the softmax.

    ``body`` is given the score, the elements of ``inputs``, and a function from a
    label to its index.
    """

    inputs: List[Tensor]
    body: Callable[[str, List[str], Callable[[str], str]], str]
    meaning: Meaning
    #: "additive", "mask", "causal" or "function".
    kind: str
    needs_index: bool = False


@dataclass
class Draft:
    e: Emitter
    c: Choices
    types: Types
    batch: Tuple[str, ...]
    arguments: List[Argument] = field(default_factory=list)
    steps: List[Step] = field(default_factory=list)
    operands: Dict[str, Operand] = field(default_factory=dict)
    scale: float = 1.0
    #: What guards a row without a finite score: "none", "safe" or "nan-guard".
    guard: str = "none"
    #: Large or masked scores, or a NaN, may give other rows than the formula's.
    may_lose_range: bool = False

    @property
    def sizes(self) -> Dict[str, int]:
        return self.e.sizes

    def argument(
        self, kind: str, dims: Dims, element: str, value: float = 0.0
    ) -> Tensor:
        tensor = self.e.argument(dims, element)
        self.arguments.append(Argument(tensor, kind, value))
        return tensor

    def position(self, tensor: Tensor) -> int:
        """Which argument ``tensor`` is."""
        return [a.tensor.name for a in self.arguments].index(tensor.name)


def spread(
    array: np.ndarray, dims: Dims, sizes: Sizes, labels: Sequence[str]
) -> np.ndarray:
    """``array``, whose dims carry labels, with one axis per label of ``labels``, of
    extent 1 where it has none."""
    own = [label for dim in dims for label in dim]
    fine = array.reshape([sizes[label] for label in own])
    order = [own.index(label) for label in labels if label in own]
    rest = [i for i in range(len(own)) if i not in order]
    assert all(fine.shape[i] == 1 for i in rest), f"{own} has more labels than {labels}"
    fine = fine.transpose(order + rest)
    return fine.reshape([sizes[label] if label in own else 1 for label in labels])


@dataclass
class Case:
    """A function as text, and all that is needed to run and to judge it."""

    record: Record
    text: str
    arguments: List[Argument]
    results: List[Tensor]
    sizes: Dict[str, int]
    types: Types
    meaning: Optional["Attention"]
    may_lose_range: bool = False
    #: Passes that the function goes through before it is raised.
    passes: str = ""

    def named(self, name: str) -> str:
        return self.text.replace("@case(", f"@{name}(", 1)


@dataclass
class Attention:
    """softmax(steps(scale * Q K^T)) V in float64, and what a report says of it."""

    operands: Dict[str, Operand]
    scale: float
    steps: List[Step]
    guard: str
    softmax_element: str
