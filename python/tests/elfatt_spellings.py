# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ELFATT as different authors would write it.

Every class is one spelling: ``forward(x)`` on tokens [B,N,C]. ``SPELLINGS`` gives
for each the sites that must be found.

Shapes: B batch, N tokens on an H x W grid, C channels, h heads of D channels, of
them the first half global, windows of WH x WW tokens.
"""

from __future__ import annotations

import math
from typing import Callable, Dict, List, Tuple

import torch
from torch import nn
from torch.nn import functional as F

B, H, W, C, HEADS = 2, 4, 6, 16, 4
WH, WW = 2, 3
N, D, HALF = H * W, C // HEADS, C // 2
TENSOR = torch.Tensor


def split_heads(x: TENSOR) -> TENSOR:
    """[b,n,c] -> [b,h,n,D]"""
    b, n, c = x.shape
    return x.view(b, n, c // D, D).transpose(1, 2)


def merge_heads(x: TENSOR) -> TENSOR:
    """[b,h,n,D] -> [b,n,h*D]"""
    b, h, n, d = x.shape
    return x.transpose(1, 2).reshape(b, n, h * d)


def linear_attention(q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
    """[b,h,n,D] each."""
    return q.softmax(dim=-1) @ (k.softmax(dim=-2).transpose(-2, -1) @ v)


def partition(x: TENSOR) -> TENSOR:
    """[b,N,c] -> [b*windows, WH*WW, c], as Swin partitions."""
    b, _, c = x.shape
    x = x.view(b, H // WH, WH, W // WW, WW, c)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, WH * WW, c)


def reverse(x: TENSOR, b: int = B) -> TENSOR:
    """The inverse of ``partition``."""
    c = x.shape[-1]
    x = x.view(b, H // WH, W // WW, WH, WW, c)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(b, N, c)


def window_attention(q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
    """[b,N,c] each."""
    q, k, v = (split_heads(partition(t)) for t in (q, k, v))
    return reverse(merge_heads(F.scaled_dot_product_attention(q, k, v)))


def global_attention(q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
    """[b,N,c] each."""
    return merge_heads(linear_attention(*(split_heads(t) for t in (q, k, v))))


class Packed(nn.Module):
    """One qkv projection, heads by slices of the channels, an output projection."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(C, 3 * C)
        self.proj = nn.Linear(C, C)

    def forward(self, x: TENSOR) -> TENSOR:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.proj(self.attend(q, k, v))

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        g = global_attention(*(t[..., :HALF] for t in (q, k, v)))
        local = window_attention(*(t[..., HALF:] for t in (q, k, v)))
        return torch.cat([g, local], dim=-1)


class LocalFirst(Packed):
    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        local = window_attention(*(t[..., :HALF] for t in (q, k, v)))
        g = global_attention(*(t[..., HALF:] for t in (q, k, v)))
        return torch.cat([local, g], dim=-1)


class UnevenHeads(Packed):
    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        (qg, ql), (kg, kl), (vg, vl) = (t.split([D, 3 * D], dim=2) for t in (q, k, v))
        return torch.cat(
            [global_attention(qg, kg, vg), window_attention(ql, kl, vl)], dim=2
        )


class TimmLike(nn.Module):
    """Heads first, then split along the head dim, joined along it."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(C, 3 * C, bias=False)
        self.scale = D**-0.5
        self.proj = nn.Linear(C, C)

    def windows(self, x: TENSOR) -> TENSOR:
        x = x.reshape(B, HEADS // 2, H // WH, WH, W // WW, WW, D)
        return x.permute(0, 2, 4, 1, 3, 5, 6).reshape(-1, HEADS // 2, WH * WW, D)

    def forward(self, x: TENSOR) -> TENSOR:
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, HEADS, c // HEADS).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        half = HEADS // 2
        qg, kg = q[:, :half].softmax(-1), k[:, :half].softmax(-2)
        xg = qg @ (kg.transpose(-2, -1) @ v[:, :half])
        ql, kl, vl = (self.windows(t[:, half:]) for t in (q, k, v))
        attn = (ql * self.scale) @ kl.transpose(-2, -1)
        xl = attn.softmax(dim=-1) @ vl
        xl = xl.reshape(b, H // WH, W // WW, half, WH, WW, c // HEADS)
        xl = xl.permute(0, 3, 1, 4, 2, 5, 6).reshape(b, half, n, c // HEADS)
        return self.proj(torch.cat((xg, xl), dim=1).transpose(1, 2).reshape(b, n, c))


class LucidrainsLike(nn.Module):
    """to_q and to_kv, einsum, the maximum subtracted by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(C, C, bias=False)
        self.to_kv = nn.Linear(C, 2 * C, bias=False)
        self.to_out = nn.Sequential(nn.Linear(C, C), nn.Dropout(0.1))

    def forward(self, x: TENSOR) -> TENSOR:
        q, (k, v) = self.to_q(x), self.to_kv(x).chunk(2, dim=-1)
        # b n (h d) -> b h n d
        q, k, v = (t.reshape(B, N, HEADS, D).permute(0, 2, 1, 3) for t in (q, k, v))
        (lq, gq), (lk, gk), (lv, gv) = (t.chunk(2, dim=1) for t in (q, k, v))
        # b h (y wy x wx) d -> (b y x) h (wy wx) d
        lq, lk, lv = (
            t.reshape(B, -1, H // WH, WH, W // WW, WW, D)
            .permute(0, 2, 4, 1, 3, 5, 6)
            .reshape(-1, HEADS // 2, WH * WW, D)
            for t in (lq, lk, lv)
        )
        sim = torch.einsum("b h i d, b h j d -> b h i j", lq, lk) * D**-0.5
        sim = sim - sim.amax(dim=-1, keepdim=True).detach()
        lout = torch.einsum("b h i j, b h j d -> b h i d", sim.softmax(dim=-1), lv)
        lout = (
            lout.reshape(B, H // WH, W // WW, -1, WH, WW, D)
            .permute(0, 1, 4, 2, 5, 3, 6)
            .reshape(B, N, HALF)
        )
        gq, gk = gq.softmax(dim=-1), gk.softmax(dim=-2)
        context = torch.einsum("b h n d, b h n e -> b h d e", gk, gv)
        gout = torch.einsum("b h d e, b h n d -> b h n e", context, gq)
        gout = gout.permute(0, 2, 1, 3).reshape(B, N, HALF)
        return self.to_out(torch.cat((lout, gout), dim=-1))


class SixProjections(nn.Module):
    """Three Linears a branch."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        names = ("gq", "gk", "gv", "lq", "lk", "lv")
        self.projections = nn.ModuleDict(
            {n: nn.Linear(C, HALF, bias=bias) for n in names}
        )

    def forward(self, x: TENSOR) -> TENSOR:
        g = global_attention(*(self.projections[n](x) for n in ("gq", "gk", "gv")))
        local = window_attention(*(self.projections[n](x) for n in ("lq", "lk", "lv")))
        return torch.cat([g, local], dim=-1)


class ThreeProjections(nn.Module):
    """q, k and v of their own, heads by chunk; local branch first."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(C, C) for _ in range(3))

    def forward(self, x: TENSOR) -> TENSOR:
        (ql, qg), (kl, kg), (vl, vg) = (
            p(x).chunk(2, dim=-1) for p in (self.q, self.k, self.v)
        )
        return torch.cat(
            [window_attention(ql, kl, vl), global_attention(qg, kg, vg)], dim=-1
        )


class PackedPerBranch(nn.Module):
    """Each branch has a qkv projection; the windows are cut before the local one."""

    def __init__(self) -> None:
        super().__init__()
        self.gqkv = nn.Linear(C, 3 * HALF)
        self.lqkv = nn.Linear(C, 3 * HALF)

    def forward(self, x: TENSOR) -> TENSOR:
        g = global_attention(*self.gqkv(x).chunk(3, dim=-1))
        w = partition(x)
        qkv = self.lqkv(w).reshape(-1, WH * WW, 3, HEADS // 2, D).permute(2, 0, 3, 1, 4)
        local = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        return torch.cat([g, reverse(merge_heads(local))], dim=-1)


class ImageConv(nn.Module):
    """[B,C,H,W]: 1x1 convolutions, windows on the image, channels joined."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(C, 3 * C, 1)
        self.proj = nn.Conv2d(C, C, 1)

    def windows(self, x: TENSOR) -> TENSOR:
        x = x.reshape(B, HEADS // 2, D, H // WH, WH, W // WW, WW)
        return x.permute(0, 3, 5, 1, 4, 6, 2).reshape(-1, HEADS // 2, WH * WW, D)

    def forward(self, x: TENSOR) -> TENSOR:
        x = x.transpose(1, 2).reshape(B, C, H, W)
        q, k, v = self.qkv(x).chunk(3, dim=1)
        qg, kg, vg = (t[:, :HALF].reshape(B, HEADS // 2, D, N) for t in (q, k, v))
        context = kg.softmax(dim=-1) @ vg.transpose(-2, -1)
        g = (context.transpose(-2, -1) @ qg.softmax(dim=2)).reshape(B, HALF, H, W)
        ql, kl, vl = (self.windows(t[:, HALF:]) for t in (q, k, v))
        local = F.scaled_dot_product_attention(ql, kl, vl)
        local = local.reshape(B, H // WH, W // WW, HEADS // 2, WH, WW, D)
        local = local.permute(0, 3, 6, 1, 4, 2, 5).reshape(B, HALF, H, W)
        return self.proj(torch.cat([g, local], dim=1))


class ImageLast(Packed):
    """The result as [B,H,W,C], as Swin keeps it."""

    def forward(self, x: TENSOR) -> TENSOR:
        qkv = self.qkv(x.view(B, H, W, C))
        q, k, v = qkv[..., :C], qkv[..., C : 2 * C], qkv[..., 2 * C :]
        g = global_attention(*(t[..., :HALF].reshape(B, N, HALF) for t in (q, k, v)))
        local = window_attention(
            *(t[..., HALF:].reshape(B, N, HALF) for t in (q, k, v))
        )
        return self.proj(
            torch.cat([g.view(B, H, W, HALF), local.view(B, H, W, HALF)], dim=-1)
        )


class UnfoldWindows(Packed):
    """Windows by Tensor.unfold."""

    def windows(self, x: TENSOR) -> TENSOR:
        x = x.reshape(B, H, W, HALF).unfold(1, WH, WH).unfold(2, WW, WW)
        # [B, H/WH, W/WW, c, WH, WW]
        x = x.reshape(-1, HEADS // 2, D, WH * WW)
        return x.transpose(-2, -1)

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        g = global_attention(*(t[..., :HALF] for t in (q, k, v)))
        ql, kl, vl = (self.windows(t[..., HALF:]) for t in (q, k, v))
        local = F.scaled_dot_product_attention(ql, kl, vl)
        return torch.cat([g, reverse(merge_heads(local))], dim=-1)


class FunctionalUnfold(Packed):
    """Windows by F.unfold and F.fold's inverse by a view."""

    def windows(self, x: TENSOR) -> TENSOR:
        x = x.transpose(1, 2).reshape(B, HALF, H, W)
        x = F.unfold(x, (WH, WW), stride=(WH, WW))  # [B, c*WH*WW, windows]
        x = x.view(B, HEADS // 2, D, WH * WW, -1)
        return x.permute(0, 4, 1, 3, 2).reshape(-1, HEADS // 2, WH * WW, D)

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        g = global_attention(*(t[..., :HALF] for t in (q, k, v)))
        ql, kl, vl = (self.windows(t[..., HALF:]) for t in (q, k, v))
        local = F.scaled_dot_product_attention(ql, kl, vl)
        return torch.cat([g, reverse(merge_heads(local))], dim=-1)


class OneAxisNoLepe(Packed):
    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        (qg, ql), (kg, kl), (vg, vl) = (t.chunk(2, dim=-1) for t in (q, k, v))
        ql, kl, vl = (
            t.reshape(B, 3, 8, HEADS // 2, D).transpose(2, 3) for t in (ql, kl, vl)
        )
        local = (ql @ kl.transpose(-2, -1) / math.sqrt(D)).softmax(dim=-1) @ vl
        local = local.transpose(2, 3).reshape(B, N, HALF)
        return torch.cat([global_attention(qg, kg, vg), local], dim=-1)


class Stacked(Packed):
    """Two heads, joined by torch.stack."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        q, k, v = (t.view(B, N, 2, HALF) for t in (q, k, v))
        (qg, ql), (kg, kl), (vg, vl) = (t.unbind(2) for t in (q, k, v))
        g = linear_attention(qg, kg, vg)
        qw, kw, vw = (partition(t) for t in (ql, kl, vl))
        local = reverse(((qw @ kw.transpose(1, 2)) * HALF**-0.5).softmax(-1) @ vw)
        return torch.stack([g, local], dim=2).flatten(2)


class Assigned(Packed):
    """The branches written into slices of one tensor."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        out = torch.zeros_like(v)
        out[..., :HALF] = global_attention(*(t[..., :HALF] for t in (q, k, v)))
        out[..., HALF:] = window_attention(*(t[..., HALF:] for t in (q, k, v)))
        return out


class KeysEarly(Packed):
    """Keys transposed before their softmax; the scale on the keys."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        qg, vg = split_heads(q[..., :HALF]), split_heads(v[..., :HALF])
        kg = k[..., :HALF].view(B, N, HEADS // 2, D).permute(0, 2, 3, 1)
        g = merge_heads(qg.softmax(-1) @ (kg.softmax(-1) @ vg))
        ql, vl = (split_heads(partition(t[..., HALF:])) for t in (q, v))
        kl = (
            partition(k[..., HALF:])
            .view(-1, WH * WW, HEADS // 2, D)
            .permute(0, 2, 3, 1)
        )
        local = (ql @ (kl * D**-0.5)).softmax(-1) @ vl
        return torch.cat([g, reverse(merge_heads(local))], dim=-1)


class EinsumOnImages(Packed):
    """One einsum a product, tokens as (y, x), windows as dims of the einsum."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        q, k, v = (t.view(B, N, HEADS, D) for t in (q, k, v))
        h = HEADS // 2
        kg = k[:, :, :h].softmax(dim=1)
        context = torch.einsum("bnhd,bnhe->bhde", kg, v[:, :, :h])
        g = torch.einsum("bnhd,bhde->bnhe", q[:, :, :h].softmax(dim=-1), context)
        q, k, v = (
            t[:, :, h:].reshape(B, H // WH, WH, W // WW, WW, h, D) for t in (q, k, v)
        )
        s = torch.einsum("byixjhd,bykxlhd->byxhijkl", q * D**-0.25, k * D**-0.25)
        p = s.flatten(-2).softmax(dim=-1).view_as(s)
        local = torch.einsum("byxhijkl,bykxlhd->byixjhd", p, v)
        return torch.cat([g, local.reshape(B, N, h, D)], dim=2).flatten(2)


class ChannelsOfOneHead(Packed):
    """One head a branch, of all the branch's channels; chunk along channels."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        (qg, ql), (kg, kl), (vg, vl) = (t.chunk(2, dim=-1) for t in (q, k, v))
        g = linear_attention(qg, kg, vg)
        local = F.scaled_dot_product_attention(*(partition(t) for t in (ql, kl, vl)))
        return torch.cat([g, reverse(local)], dim=-1)


class HeadByHead(Packed):
    """A Python loop over heads, joined in the end."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        heads: List[TENSOR] = []
        for i, (qi, ki, vi) in enumerate(zip(*(t.split(D, dim=-1) for t in (q, k, v)))):
            if i < HEADS // 2:
                heads.append(linear_attention(qi, ki, vi))
            else:
                windows = (partition(t) for t in (qi, ki, vi))
                heads.append(reverse(F.scaled_dot_product_attention(*windows)))
        return torch.cat(heads, dim=-1)


class WholeGridWindow(Packed):
    """The window is the grid: exact attention in half of the heads."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        g = global_attention(*(t[..., :HALF] for t in (q, k, v)))
        local = F.scaled_dot_product_attention(
            *(split_heads(t[..., HALF:]) for t in (q, k, v))
        )
        return torch.cat([g, merge_heads(local)], dim=-1)


class RowWindows(Packed):
    """Windows are whole rows of the grid."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        g = global_attention(*(t[..., :HALF] for t in (q, k, v)))
        local = F.scaled_dot_product_attention(
            *(split_heads(t[..., HALF:].reshape(B * H, W, HALF)) for t in (q, k, v))
        )
        return torch.cat([g, merge_heads(local).reshape(B, N, HALF)], dim=-1)


class WideSoftmax(Packed):
    """Softmaxes by dtype=, at least in float32."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        (qg, ql), (kg, kl), (vg, vl) = (t.chunk(2, dim=-1) for t in (q, k, v))
        qg, kg, vg = (split_heads(t) for t in (qg, kg, vg))
        dtype = torch.promote_types(qg.dtype, torch.float32)
        qg, kg = F.softmax(qg, dim=-1, dtype=dtype), F.softmax(kg, dim=-2, dtype=dtype)
        g = merge_heads(torch.matmul(qg, torch.matmul(kg.mT, vg)))
        return torch.cat([g, window_attention(ql, kl, vl)], dim=-1)


ELFATT = {"elfatt": 1}

Spellings = Dict[str, Tuple[Callable[[], nn.Module], Dict[str, int]]]
SPELLINGS: Spellings = {
    "packed": (Packed, ELFATT),
    "local_first": (LocalFirst, ELFATT),
    "uneven_heads": (UnevenHeads, ELFATT),
    "timm_like": (TimmLike, ELFATT),
    "lucidrains_like": (LucidrainsLike, ELFATT),
    "six_projections": (SixProjections, ELFATT),
    "six_projections_no_bias": (lambda: SixProjections(bias=False), ELFATT),
    "three_projections": (ThreeProjections, ELFATT),
    "packed_per_branch": (PackedPerBranch, ELFATT),
    "image_conv": (ImageConv, ELFATT),
    "image_last": (ImageLast, ELFATT),
    "unfold_windows": (UnfoldWindows, ELFATT),
    "functional_unfold": (FunctionalUnfold, ELFATT),
    "one_axis_no_lepe": (OneAxisNoLepe, ELFATT),
    "stacked": (Stacked, ELFATT),
    "assigned": (Assigned, ELFATT),
    "keys_early": (KeysEarly, ELFATT),
    "einsum_on_images": (EinsumOnImages, ELFATT),
    "channels_of_one_head": (ChannelsOfOneHead, ELFATT),
    "head_by_head": (HeadByHead, ELFATT),
    "whole_grid_window": (WholeGridWindow, ELFATT),
    "row_windows": (RowWindows, ELFATT),
    "wide_softmax": (WideSoftmax, ELFATT),
}
