# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""LePE of ELFATT as different authors would write it; see ``elfatt_spellings``."""

from __future__ import annotations

import torch
from elfatt_spellings import (
    ELFATT,
    HALF,
    HEADS,
    TENSOR,
    WH,
    WW,
    B,
    C,
    D,
    H,
    N,
    Packed,
    SixProjections,
    Spellings,
    W,
    global_attention,
    linear_attention,
    merge_heads,
    partition,
    reverse,
    split_heads,
    window_attention,
)
from torch import nn
from torch.nn import functional as F


class OneAxis(Packed):
    """Windows of six tokens of a sequence, LePE as a Conv1d."""

    def __init__(self) -> None:
        super().__init__()
        self.global_lepe = nn.Conv1d(HALF, HALF, 3, padding=1, groups=HALF)
        self.local_lepe = nn.Conv1d(HALF, HALF, 3, padding=1, groups=HALF, bias=False)

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        (qg, ql), (kg, kl), (vg, vl) = (t.chunk(2, dim=-1) for t in (q, k, v))
        g = global_attention(qg, kg, vg)
        g = g + self.global_lepe(vg.transpose(1, 2)).transpose(1, 2)
        ql, kl, vl = (t.reshape(-1, 6, HALF) for t in (ql, kl, vl))
        local = merge_heads(
            F.scaled_dot_product_attention(*(split_heads(t) for t in (ql, kl, vl)))
        )
        local = local + self.local_lepe(vl.transpose(1, 2)).transpose(1, 2)
        return torch.cat([g, local.reshape(B, N, HALF)], dim=-1)


class WithLepe(Packed):
    """A convolution a branch, on its own channels; subclasses differ in how."""

    bias, per_head = True, False

    def __init__(self) -> None:
        super().__init__()
        self.global_lepe = nn.Conv2d(
            HALF, HALF, 3, padding=1, groups=HALF, bias=self.bias
        )
        self.local_lepe = nn.Conv2d(
            HALF, HALF, 3, padding=1, groups=HALF, bias=self.bias
        )

    def global_position(self, v: TENSOR) -> TENSOR:
        image = v.transpose(1, 2).view(B, HALF, H, W)
        return self.global_lepe(image).flatten(2).transpose(1, 2)

    def local_position(self, v: TENSOR) -> TENSOR:
        """[windows, WH*WW, c]"""
        image = v.transpose(1, 2).view(-1, HALF, WH, WW)
        return self.local_lepe(image).flatten(2).transpose(1, 2)

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        (qg, ql), (kg, kl), (vg, vl) = (t.chunk(2, dim=-1) for t in (q, k, v))
        g = global_attention(qg, kg, vg) + self.global_position(vg)
        qw, kw, vw = (split_heads(partition(t)) for t in (ql, kl, vl))
        local = merge_heads(F.scaled_dot_product_attention(qw, kw, vw))
        local = reverse(local + self.local_position(partition(vl)))
        return torch.cat([g, local], dim=-1)


class LepeNoBias(WithLepe):
    bias = False


class LepeBeforeReverse(WithLepe):
    """LePE on [b*windows, heads, D, WH, WW], added to the heads."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        (qg, ql), (kg, kl), (vg, vl) = (t.chunk(2, dim=-1) for t in (q, k, v))
        g = global_attention(qg, kg, vg) + self.global_position(vg)
        qw, kw, vw = (split_heads(partition(t)) for t in (ql, kl, vl))
        image = vw.transpose(-2, -1).reshape(-1, HALF, WH, WW)
        lepe = (
            self.local_lepe(image).reshape(-1, HEADS // 2, D, WH * WW).transpose(-2, -1)
        )
        local = F.scaled_dot_product_attention(qw, kw, vw) + lepe
        return torch.cat([g, reverse(merge_heads(local))], dim=-1)


class LepePerHead(Packed):
    """One filter a channel of a head, the same for all heads."""

    def __init__(self) -> None:
        super().__init__()
        self.lepe = nn.Conv2d(D, D, 3, padding=1, groups=D)

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        (qg, ql), (kg, kl), (vg, vl) = (t.chunk(2, dim=-1) for t in (q, k, v))
        image = split_heads(vg).transpose(-2, -1).reshape(-1, D, H, W)
        lepe = self.lepe(image).reshape(B, HEADS // 2, D, N).transpose(-2, -1)
        g = merge_heads(
            linear_attention(*(split_heads(t) for t in (qg, kg, vg))) + lepe
        )
        return torch.cat([g, window_attention(ql, kl, vl)], dim=-1)


class LepeOfAllChannels(Packed):
    """One convolution of V over the grid, for both branches: added to their join."""

    def __init__(self) -> None:
        super().__init__()
        self.lepe = nn.Conv2d(C, C, 3, padding=1, groups=C)

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        lepe = (
            self.lepe(v.transpose(1, 2).reshape(B, C, H, W)).flatten(2).transpose(1, 2)
        )
        return super().attend(q, k, v) + lepe


class LepeOnTheGridForBoth(Packed):
    """The same, cut into windows before it is added to the local branch."""

    def __init__(self) -> None:
        super().__init__()
        self.lepe = nn.Conv2d(C, C, 3, padding=1, groups=C)

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        (qg, ql), (kg, kl), (vg, vl) = (t.chunk(2, dim=-1) for t in (q, k, v))
        lepe = (
            self.lepe(v.transpose(1, 2).reshape(B, C, H, W)).flatten(2).transpose(1, 2)
        )
        g = global_attention(qg, kg, vg) + lepe[..., :HALF]
        qw, kw, vw = (split_heads(partition(t)) for t in (ql, kl, vl))
        local = merge_heads(F.scaled_dot_product_attention(qw, kw, vw))
        return torch.cat([g, reverse(local + partition(lepe[..., HALF:]))], dim=-1)


class LepeOnlyGlobal(WithLepe):
    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        (qg, ql), (kg, kl), (vg, vl) = (t.chunk(2, dim=-1) for t in (q, k, v))
        g = global_attention(qg, kg, vg) + self.global_position(vg)
        return torch.cat([g, window_attention(ql, kl, vl)], dim=-1)


class LepeOnlyLocal(WithLepe):
    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        (qg, ql), (kg, kl), (vg, vl) = (t.chunk(2, dim=-1) for t in (q, k, v))
        qw, kw, vw = (split_heads(partition(t)) for t in (ql, kl, vl))
        local = merge_heads(F.scaled_dot_product_attention(qw, kw, vw))
        local = reverse(local + self.local_position(partition(vl)))
        return torch.cat([global_attention(qg, kg, vg), local], dim=-1)


class LepeOfSixProjections(SixProjections):
    def __init__(self) -> None:
        super().__init__()
        self.global_lepe = nn.Conv2d(HALF, HALF, 3, padding=1, groups=HALF)
        self.local_lepe = nn.Conv2d(HALF, HALF, 3, padding=1, groups=HALF)

    def forward(self, x: TENSOR) -> TENSOR:
        qg, kg, vg, ql, kl, vl = (
            self.projections[n](x) for n in ("gq", "gk", "gv", "lq", "lk", "lv")
        )
        image = vg.transpose(1, 2).view(B, HALF, H, W)
        g = global_attention(qg, kg, vg) + self.global_lepe(image).flatten(2).transpose(
            1, 2
        )
        qw, kw, vw = (split_heads(partition(t)) for t in (ql, kl, vl))
        local = merge_heads(F.scaled_dot_product_attention(qw, kw, vw))
        image = partition(vl).transpose(1, 2).view(-1, HALF, WH, WW)
        local = reverse(local + self.local_lepe(image).flatten(2).transpose(1, 2))
        return torch.cat([g, local], dim=-1)


SPELLINGS: Spellings = {
    "one_axis": (OneAxis, ELFATT),
    "with_lepe": (WithLepe, ELFATT),
    "lepe_no_bias": (LepeNoBias, ELFATT),
    "lepe_before_reverse": (LepeBeforeReverse, ELFATT),
    "lepe_per_head": (LepePerHead, ELFATT),
    "lepe_of_all_channels": (LepeOfAllChannels, ELFATT),
    "lepe_on_the_grid_for_both": (LepeOnTheGridForBoth, ELFATT),
    "lepe_only_global": (LepeOnlyGlobal, ELFATT),
    "lepe_only_local": (LepeOnlyLocal, ELFATT),
    "lepe_of_six_projections": (LepeOfSixProjections, ELFATT),
}
