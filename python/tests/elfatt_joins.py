# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ELFATT whose windows and joins are moved by more than reshapes; see
``elfatt_spellings``."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from elfatt_spellings import (
    B,
    C,
    D,
    ELFATT,
    H,
    HALF,
    HEADS,
    N,
    TENSOR,
    W,
    WH,
    WW,
    Packed,
    Spellings,
    global_attention,
    linear_attention,
    merge_heads,
    partition,
    reverse,
    split_heads,
    window_attention,
)


class Fold(Packed):
    """Windows by ``F.unfold``, and back by ``F.fold``."""

    def windows(self, x: TENSOR) -> TENSOR:
        x = x.transpose(1, 2).reshape(B, HALF, H, W)
        x = F.unfold(x, (WH, WW), stride=(WH, WW))  # [B, c*WH*WW, windows]
        return x.view(B, HEADS // 2, D, WH * WW, -1).permute(0, 4, 1, 3, 2)

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        g = global_attention(*(t[..., :HALF] for t in (q, k, v)))
        local = F.scaled_dot_product_attention(
            *(self.windows(t[..., HALF:]) for t in (q, k, v))
        )
        local = local.permute(0, 2, 4, 3, 1).reshape(B, HALF * WH * WW, -1)
        local = F.fold(local, (H, W), (WH, WW), stride=(WH, WW))
        return torch.cat([g, local.flatten(2).transpose(1, 2)], dim=-1)


class IndexTable(Packed):
    """Windows by a table of positions, and back by its inverse."""

    def __init__(self) -> None:
        super().__init__()
        table = torch.arange(N).view(H // WH, WH, W // WW, WW)
        table = table.permute(0, 2, 1, 3).reshape(-1)
        self.register_buffer("to_windows", table)
        self.register_buffer("to_tokens", torch.argsort(table))

    def windows(self, x: TENSOR) -> TENSOR:
        return split_heads(
            x.index_select(1, self.to_windows).reshape(-1, WH * WW, HALF)
        )

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        g = global_attention(*(t[..., :HALF] for t in (q, k, v)))
        local = F.scaled_dot_product_attention(
            *(self.windows(t[..., HALF:]) for t in (q, k, v))
        )
        local = merge_heads(local).reshape(B, N, HALF).index_select(1, self.to_tokens)
        return torch.cat([g, local], dim=-1)


class NestedJoins(Packed):
    """Head by head within the global branch, which is then joined."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        first, second = (
            linear_attention(*(t[..., i : i + D] for t in (q, k, v))) for i in (0, D)
        )
        local = window_attention(*(t[..., HALF:] for t in (q, k, v)))
        return torch.cat([torch.cat([first, second], dim=-1), local], dim=-1)


class AssignedHeads(Packed):
    """One head a branch, assigned by its number."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        q, k, v = (t.view(B, N, 2, HALF) for t in (q, k, v))
        out = torch.empty_like(v)
        out[:, :, 0] = linear_attention(*(t[:, :, 0] for t in (q, k, v)))
        windows = (partition(t[:, :, 1]) for t in (q, k, v))
        out[:, :, 1] = reverse(F.scaled_dot_product_attention(*windows))
        return out.flatten(2)


class OtherOrder(Packed):
    """The first heads are local, and joined last."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        local = window_attention(*(t[..., :HALF] for t in (q, k, v)))
        g = global_attention(*(t[..., HALF:] for t in (q, k, v)))
        return torch.cat([g, local], dim=-1)


class HeadsInnermost(Packed):
    """The channels of a head are HEADS apart."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        q, k, v = (t.view(B, N, D, HEADS).permute(0, 3, 1, 2) for t in (q, k, v))
        half = HEADS // 2
        g = linear_attention(*(t[:, :half] for t in (q, k, v)))
        windows = (merge_heads(t[:, half:]) for t in (q, k, v))
        local = split_heads(window_attention(*windows))
        return torch.cat([g, local], dim=1).permute(0, 2, 3, 1).reshape(B, N, C)


SPELLINGS: Spellings = {
    "fold": (Fold, ELFATT),
    "index_table": (IndexTable, ELFATT),
    "nested_joins": (NestedJoins, ELFATT),
    "assigned_heads": (AssignedHeads, ELFATT),
    "other_order": (OtherOrder, ELFATT),
    "heads_innermost": (HeadsInnermost, ELFATT),
}
