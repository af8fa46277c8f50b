# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What only looks like ELFATT, one branch of it alone, and other attentions of vision
models; see ``elfatt_spellings``."""

from __future__ import annotations

import torch
from elfatt_spellings import (
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


class ShiftedWindows(Packed):
    """Swin's cyclic shift in the local branch: other windows than the op's."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        g = global_attention(*(t[..., :HALF] for t in (q, k, v)))
        ql, kl, vl = (
            torch.roll(t[..., HALF:].view(B, H, W, HALF), (-1, -1), (1, 2)).reshape(
                B, N, HALF
            )
            for t in (q, k, v)
        )
        local = window_attention(ql, kl, vl).view(B, H, W, HALF)
        return torch.cat(
            [g, torch.roll(local, (1, 1), (1, 2)).reshape(B, N, HALF)], dim=-1
        )


class RelativeBias(Packed):
    """Swin's bias in the local branch."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(HEADS // 2, WH * WW, WH * WW))

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        g = global_attention(*(t[..., :HALF] for t in (q, k, v)))
        ql, kl, vl = (split_heads(partition(t[..., HALF:])) for t in (q, k, v))
        local = F.scaled_dot_product_attention(ql, kl, vl, attn_mask=self.table)
        return torch.cat([g, reverse(merge_heads(local))], dim=-1)


class CSWin(Packed):
    """Horizontal and vertical stripes, LePE in both: two local branches."""

    def __init__(self) -> None:
        super().__init__()
        self.lepe = nn.ModuleList(
            nn.Conv2d(HALF, HALF, 3, 1, 1, groups=HALF) for _ in range(2)
        )

    def stripe(self, i: int, q: TENSOR, k: TENSOR, v: TENSOR, h: int, w: int) -> TENSOR:
        def cut(x: TENSOR) -> TENSOR:
            x = x.transpose(-2, -1).contiguous().view(B, HALF, H // h, h, W // w, w)
            return x.permute(0, 2, 4, 3, 5, 1).contiguous().reshape(-1, h * w, HALF)

        q, k, v = cut(q), cut(k), cut(v)
        image = v.transpose(-2, -1).contiguous().view(-1, HALF, h, w)
        lepe = self.lepe[i](image).reshape(-1, HEADS // 2, D, h * w).permute(0, 1, 3, 2)
        q, k, v = split_heads(q), split_heads(k), split_heads(v)
        attn = ((q * D**-0.5) @ k.transpose(-2, -1)).softmax(dim=-1)
        x = (attn @ v + lepe).transpose(1, 2).reshape(-1, h * w, HALF)
        x = x.view(B, H // h, W // w, h, w, HALF)
        return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(B, N, HALF)

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        x = self.stripe(0, *(t[..., :HALF] for t in (q, k, v)), 2, W)
        y = self.stripe(1, *(t[..., HALF:] for t in (q, k, v)), H, 2)
        return torch.cat([x, y], dim=2)


class SharedHeads(Packed):
    """Both branches look at the same heads."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        q, k, v = (t[..., :HALF] for t in (q, k, v))
        return torch.cat([global_attention(q, k, v), window_attention(q, k, v)], dim=-1)


class HalvesOfTheInput(nn.Module):
    """Each branch projects its own half of the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.gqkv = nn.Linear(HALF, 3 * HALF)
        self.lqkv = nn.Linear(HALF, 3 * HALF)

    def forward(self, x: TENSOR) -> TENSOR:
        a, b = x.chunk(2, dim=-1)
        g = global_attention(*self.gqkv(a).chunk(3, dim=-1))
        local = window_attention(*self.lqkv(b).chunk(3, dim=-1))
        return torch.cat([g, local], dim=-1)


class PooledKeys(Packed):
    """The global branch attends to pooled tokens."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        qg = split_heads(q[..., :HALF])
        kg, vg = (split_heads(t[..., :HALF][:, ::2]) for t in (k, v))
        g = merge_heads(linear_attention(qg, kg, vg))
        return torch.cat(
            [g, window_attention(*(t[..., HALF:] for t in (q, k, v)))], dim=-1
        )


class TransposedWindows(Packed):
    """The windows come back mirrored: no token stands where it was."""

    def attend(self, q: TENSOR, k: TENSOR, v: TENSOR) -> TENSOR:
        g = global_attention(*(t[..., :HALF] for t in (q, k, v)))
        ql, kl, vl = (split_heads(partition(t[..., HALF:])) for t in (q, k, v))
        local = merge_heads(F.scaled_dot_product_attention(ql, kl, vl))
        local = local.view(B, H // WH, W // WW, WW, WH, HALF).permute(0, 1, 4, 2, 3, 5)
        return torch.cat([g, local.reshape(B, N, HALF)], dim=-1)


class EfficientAttention(nn.Module):
    """As its authors write it: [B,C,H,W], a loop over heads."""

    def __init__(self) -> None:
        super().__init__()
        self.keys, self.queries, self.values = (nn.Conv2d(C, C, 1) for _ in range(3))
        self.reprojection = nn.Conv2d(C, C, 1)

    def forward(self, x: TENSOR) -> TENSOR:
        x = x.transpose(1, 2).reshape(B, C, H, W)
        keys = self.keys(x).reshape((B, C, H * W))
        queries = self.queries(x).reshape(B, C, H * W)
        values = self.values(x).reshape((B, C, H * W))
        attended = []
        for i in range(2):
            key = F.softmax(keys[:, i * HALF : (i + 1) * HALF, :], dim=2)
            query = F.softmax(queries[:, i * HALF : (i + 1) * HALF, :], dim=1)
            value = values[:, i * HALF : (i + 1) * HALF, :]
            context = key @ value.transpose(1, 2)
            attended.append((context.transpose(1, 2) @ query).reshape(B, HALF, H, W))
        return self.reprojection(torch.cat(attended, dim=1)) + x


class LinearAttentionUNet(nn.Module):
    """The linear attention of diffusion U-Nets: a scale on q, 1x1 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.to_qkv = nn.Conv2d(C, 3 * C, 1, bias=False)
        self.to_out = nn.Conv2d(C, C, 1)

    def forward(self, x: TENSOR) -> TENSOR:
        x = x.transpose(1, 2).reshape(B, C, H, W)
        qkv = self.to_qkv(x).chunk(3, dim=1)
        q, k, v = (t.reshape(B, HEADS, D, H * W) for t in qkv)
        q = q.softmax(dim=-2) * D**-0.5
        k = k.softmax(dim=-1)
        context = torch.einsum("b h d n, b h e n -> b h d e", k, v)
        out = torch.einsum("b h d e, b h d n -> b h e n", context, q)
        return self.to_out(out.reshape(B, C, H, W))


class XCiT(nn.Module):
    """Attention over the channels of a head, of normalised queries and keys."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(C, 3 * C)
        self.temperature = nn.Parameter(torch.ones(HEADS, 1, 1))

    def forward(self, x: TENSOR) -> TENSOR:
        qkv = self.qkv(x).reshape(B, N, 3, HEADS, D).permute(2, 0, 3, 4, 1)
        q, k, v = qkv.unbind(0)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        attn = ((q @ k.transpose(-2, -1)) * 1.5).softmax(dim=-1)
        return (attn @ v).permute(0, 3, 1, 2).reshape(B, N, C)


class DaViTChannels(nn.Module):
    """The channel group attention of DaViT."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(C, 3 * C)
        self.proj = nn.Linear(C, C)

    def forward(self, x: TENSOR) -> TENSOR:
        qkv = self.qkv(x).reshape(B, N, 3, HEADS, D).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        attention = (k * N**-0.5).transpose(-1, -2) @ v
        x = attention.softmax(dim=-1) @ q.transpose(-1, -2)
        return self.proj(x.transpose(-1, -2).transpose(1, 2).reshape(B, N, C))


class EfficientViT(nn.Module):
    """ReLU linear attention, its divisor as a column of ones beside V."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(C, 3 * C, 1, bias=False)

    def forward(self, x: TENSOR) -> TENSOR:
        qkv = self.qkv(x.transpose(1, 2).reshape(B, C, H, W)).reshape(B, -1, 3 * D, N)
        qkv = qkv.transpose(-1, -2)
        q, k, v = qkv[..., :D], qkv[..., D : 2 * D], qkv[..., 2 * D :]
        q, k = F.relu(q), F.relu(k)
        v = F.pad(v, (0, 1), mode="constant", value=1.0)
        out = q @ (k.transpose(-1, -2) @ v)
        out = out[..., :-1] / (out[..., -1:] + 1e-15)
        return out.transpose(-1, -2).reshape(B, C, H, W)


class TalkingHeads(nn.Module):
    """CaiT: Linears over the heads on both sides of the softmax."""

    before, after = True, True

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(C, 3 * C)
        self.proj_l, self.proj_w = nn.Linear(HEADS, HEADS), nn.Linear(HEADS, HEADS)

    def forward(self, x: TENSOR) -> TENSOR:
        q, k, v = (
            self.qkv(x).reshape(B, N, 3, HEADS, D).permute(2, 0, 3, 1, 4).unbind(0)
        )
        attn = (q * D**-0.5) @ k.transpose(-2, -1)
        if self.before:
            attn = self.proj_l(attn.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        attn = attn.softmax(dim=-1)
        if self.after:
            attn = self.proj_w(attn.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return (attn @ v).transpose(1, 2).reshape(B, N, C)


class TalkingHeadsBefore(TalkingHeads):
    after = False


class TalkingHeadsAfter(TalkingHeads):
    before = False


class TalkingHeadsEinsum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(C, 3 * C)
        self.mix = nn.Parameter(torch.randn(HEADS, HEADS))

    def forward(self, x: TENSOR) -> TENSOR:
        q, k, v = (split_heads(t) for t in self.qkv(x).chunk(3, dim=-1))
        dots = torch.einsum("b h i d, b h j d -> b h i j", q, k) * D**-0.5
        dots = torch.einsum("b h i j, h g -> b g i j", dots, self.mix)
        return merge_heads(
            torch.einsum("b h i j, b h j d -> b h i d", dots.softmax(-1), v)
        )


APART = {"linear": 1, "sdpa": 1}
SPELLINGS: Spellings = {
    "shifted_windows": (ShiftedWindows, APART),
    "relative_bias": (RelativeBias, APART),
    "cswin": (CSWin, {"sdpa": 2}),
    "shared_heads": (SharedHeads, APART),
    "halves_of_the_input": (HalvesOfTheInput, APART),
    "pooled_keys": (PooledKeys, APART),
    "transposed_windows": (TransposedWindows, APART),
    "efficient_attention": (EfficientAttention, {"linear": 2}),
    "linear_attention_unet": (LinearAttentionUNet, {"linear": 1}),
    "xcit": (XCiT, {"sdpa": 1}),
    "davit_channels": (DaViTChannels, {"sdpa": 1}),
    "efficient_vit": (EfficientViT, {"relu-linear-attention": 1}),
    "talking_heads": (TalkingHeads, {"talking-heads": 1}),
    "talking_heads_before": (TalkingHeadsBefore, {"talking-heads": 1}),
    "talking_heads_after": (TalkingHeadsAfter, {"talking-heads": 1}),
    "talking_heads_einsum": (TalkingHeadsEinsum, {"talking-heads": 1}),
}
