# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where a near miss departs from attention; a spelling has none of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

from .emitter import Tensor

#: From the draft and a tensor of the case to what takes its place.
Replace = Callable[..., Tensor]


@dataclass(frozen=True)
class Twist:
    name: str = ""
    #: The label that the softmax, or its maximum alone, runs over.
    axis: Optional[str] = None
    max_axis: Optional[str] = None
    max_start: Optional[float] = None
    sum_start: Optional[float] = None
    #: Another base than e.
    power: Optional[float] = None
    #: Of (draft, scores): what the maximum is taken of.
    max_of: Optional[Replace] = None
    #: Of (draft, exponentials): what takes their place, below and above the line.
    exponentials: Optional[Replace] = None
    #: Of (draft, exponentials, shifted scores): what is summed.
    summed: Optional[Replace] = None
    #: Of (draft, scores): all of the softmax.
    softmax: Optional[Replace] = None
    #: Of (draft, probabilities): what multiplies V.
    probabilities: Optional[Replace] = None
    #: Of (draft, operand's name, tensor): Q, K and V as they are multiplied.
    operand: Optional[Replace] = None

    #: Of (draft, queries, keys): the scores, from another product.
    product: Optional[Replace] = None

    def __str__(self) -> str:
        return self.name

    def any(self) -> bool:
        return bool(self.name)
