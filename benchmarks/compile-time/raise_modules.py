# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Modules of any number of attention layers, for raise.py.

One layer is imported from PyTorch and its text repeated: what each layer has of its
own, weights too, is there as often as there are layers; what a model's layers share
(a mask, rotary tables) is there once and used by all.
"""

from __future__ import annotations

import math
import re
import subprocess
from typing import Callable, Dict, List, Tuple

import torch
from elfatt import import_torch, models
from elfatt.tools import find_opt
from torch import nn
from torch.nn import functional as F

# Sizes do not matter to a compiler; small ones keep the weights out of the way.
BATCH, TOKENS, CHANNELS, HEADS, KV_HEADS = 2, 10, 32, 4, 2
HEAD = CHANNELS // HEADS


class Layer(nn.Module):
    """A pre-norm transformer layer: [B,N,C] -> [B,N,C]."""

    def __init__(self, kv_heads: int = HEADS) -> None:
        super().__init__()
        self.kv_heads = kv_heads
        self.norms = nn.ModuleList(nn.LayerNorm(CHANNELS) for _ in range(2))
        self.q = nn.Linear(CHANNELS, CHANNELS)
        self.k = nn.Linear(CHANNELS, kv_heads * HEAD)
        self.v = nn.Linear(CHANNELS, kv_heads * HEAD)
        self.out = nn.Linear(CHANNELS, CHANNELS)
        self.mlp = nn.Sequential(
            nn.Linear(CHANNELS, 2 * CHANNELS),
            nn.GELU(),
            nn.Linear(2 * CHANNELS, CHANNELS),
        )

    def split(self, x: torch.Tensor, heads: int) -> torch.Tensor:
        return x.view(BATCH, TOKENS, heads, HEAD).transpose(1, 2)

    def attend(self, x: torch.Tensor, *shared: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, x: torch.Tensor, *shared: torch.Tensor) -> torch.Tensor:
        heads = self.attend(self.norms[0](x), *shared)
        x = x + self.out(heads.transpose(1, 2).reshape(BATCH, TOKENS, CHANNELS))
        return x + self.mlp(self.norms[1](x))


class Sdpa(Layer):
    """F.scaled_dot_product_attention, which torch-mlir decomposes."""

    def attend(self, x: torch.Tensor, *shared: torch.Tensor) -> torch.Tensor:
        q, k, v = (self.split(f(x), HEADS) for f in (self.q, self.k, self.v))
        return F.scaled_dot_product_attention(q, k, v)


class Eager(Layer):
    """The softmax spelled out, as in ViT."""

    def attend(self, x: torch.Tensor, *shared: torch.Tensor) -> torch.Tensor:
        q, k, v = (self.split(f(x), HEADS) for f in (self.q, self.k, self.v))
        scores = q @ k.transpose(-1, -2) / math.sqrt(HEAD)
        return torch.softmax(scores, dim=-1) @ v


class Grouped(Layer):
    """Rotary grouped heads under a causal mask, as in LLaMA; mask and rotary tables
    are shared."""

    def __init__(self) -> None:
        super().__init__(KV_HEADS)

    def attend(self, x: torch.Tensor, *shared: torch.Tensor) -> torch.Tensor:
        mask, cosine, sine = shared

        def rotate(t: torch.Tensor) -> torch.Tensor:
            first, second = t.chunk(2, dim=-1)
            return t * cosine + torch.cat((-second, first), dim=-1) * sine

        def repeat(t: torch.Tensor) -> torch.Tensor:
            groups = HEADS // KV_HEADS
            shape = (BATCH, KV_HEADS, groups, TOKENS, HEAD)
            return t[:, :, None].expand(shape).reshape(BATCH, HEADS, TOKENS, HEAD)

        q = rotate(self.split(self.q(x), HEADS))
        k = repeat(rotate(self.split(self.k(x), KV_HEADS)))
        v = repeat(self.split(self.v(x), KV_HEADS))
        scores = q @ k.transpose(-1, -2) / math.sqrt(HEAD) + mask
        return torch.softmax(scores, dim=-1) @ v


class Shared(nn.Module):
    """A causal mask and rotary tables from positions [N]."""

    def forward(self, positions: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        order = torch.arange(TOKENS)
        visible = order[None, :] <= order[:, None]
        mask = torch.where(visible, 0.0, torch.finfo(torch.float32).min)
        angles = positions[:, None] * 0.1 * torch.arange(1, HEAD + 1)
        return mask, torch.cos(angles), torch.sin(angles)


class _Parts:
    """A module's text in parts: aliases, the body of @main, its resources."""

    def __init__(self, text: str) -> None:
        head, main = text.split("  func.func @main(", 1)
        signature, body = main.split("{\n", 1)
        self.aliases = head.split("module {")[0]
        self.types = re.findall(r"%arg\d+: (tensor<[^>]*>)", signature)
        body, tail = body.split("\n    return ", 1)
        self.body = body
        self.results = re.findall(r"%[\w#]+", tail.split(" : ")[0])
        self.result_types = re.findall(r"tensor<[^>]*>", tail.split("\n")[0])
        found = re.search(r"\{-#.*?#-\}", tail, re.DOTALL)
        self.resources = found[0] if found else ""

    def instance(self, number: str, arguments: List[str]) -> Tuple[str, List[str]]:
        """The body under new names, and the names of its results."""

        def rename(match: "re.Match[str]") -> str:
            argument = re.fullmatch(r"%arg(\d+)", match[0])
            if argument and int(argument[1]) < len(arguments):
                return arguments[int(argument[1])]
            name, _, part = match[0].partition("#")
            # A name starts with a letter, or is a number and nothing else.
            return f"%l{number}_{name[1:]}" + (f"#{part}" if part else "")

        def renamed(text: str) -> str:
            return re.sub(r"%\w+(?:#\d+)?", rename, text)

        return renamed(self.body), [renamed(result) for result in self.results]


def _import(module: nn.Module, *inputs: torch.Tensor) -> _Parts:
    torch.manual_seed(0)
    text = str(import_torch(module.eval(), *inputs))
    # Printed again without locations, which have aliases of their own.
    command = [find_opt(), "-"]
    done = subprocess.run(
        command, input=text, text=True, capture_output=True, check=True
    )
    return _Parts(done.stdout)


def _chain(layer: nn.Module, shared: nn.Module = None) -> Callable[[int], str]:
    """`layer` after `layer`; all of them see what `shared` makes."""
    x, positions = torch.randn(BATCH, TOKENS, CHANNELS), torch.arange(float(TOKENS))
    tables = shared(positions) if shared else ()
    before = _import(shared, positions) if shared else None
    parts = _import(layer, x, *tables)
    # The same alias must not mean two maps.
    if before:
        before.body = re.sub(r"#map(\d*)", r"#before\1", before.body)
        before.aliases = re.sub(r"#map(\d*)", r"#before\1", before.aliases)

    def build(layers: int) -> str:
        lines, values = [], []
        arguments = f"%x: {parts.types[0]}"
        if before:
            arguments += f", %positions: {before.types[0]}"
            body, values = before.instance("shared", ["%positions"])
            lines.append(body)
        value = "%x"
        for number in range(layers):
            body, (value,) = parts.instance(str(number), [value, *values])
            lines.append(body)
        aliases = parts.aliases + (before.aliases if before else "")
        return (
            f"{aliases}module {{\n  func.func @main({arguments}) -> {parts.types[0]} {{\n"
            + "\n".join(lines)
            + f"\n    return {value} : {parts.types[0]}\n  }}\n}}\n{parts.resources}\n"
        )

    return build


def _functions(
    module: nn.Module, inputs: Tuple[torch.Tensor, ...]
) -> Callable[[int], str]:
    """A whole import, two layers, as one function after the other."""
    parts = _import(module, *inputs)

    def build(layers: int) -> str:
        functions = []
        for number in range(max(1, layers // 2)):
            names = [f"%x{i}" for i in range(len(parts.types))]
            body, results = parts.instance(str(number), names)
            arguments = ", ".join(f"{n}: {t}" for n, t in zip(names, parts.types))
            types = ", ".join(parts.result_types)
            functions.append(
                f"  func.func @main{number}({arguments}) -> ({types}) {{\n{body}\n"
                f"    return {', '.join(results)} : {types}\n  }}\n"
            )
        return f"{parts.aliases}module {{\n{''.join(functions)}}}\n{parts.resources}\n"

    return build


def generators() -> Dict[str, Callable[[int], str]]:
    """By name, what makes a module of so many layers."""
    return {
        "eager": _chain(Eager()),
        "sdpa": _chain(Sdpa()),
        "gqa, shared causal mask": _chain(Grouped(), Shared()),
        "ViT, imported whole": _functions(*models.vit_tiny_test()),
    }
