# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the tables of `transformers` families share."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import torch
import transformers

from zoo import Call, Family, Sample, ids, image, padding, randomise

transformers.logging.set_verbosity_error()

TINY = dict(
    hidden_size=32, num_attention_heads=2, num_hidden_layers=2, intermediate_size=64
)


def first(output: Any) -> torch.Tensor:
    """The tensor that a model's output begins with."""
    return output[0]


def pooled(output: Any) -> Any:
    return output.last_hidden_state, output.pooler_output


def family(
    name: str,
    model: str,
    inputs: dict[str, torch.Tensor],
    attentions: int,
    config: Any,
    pick: Callable[[Any], Any] = first,
    fixed: dict[str, Any] | None = None,
    **rest: Any,
) -> Family:
    """A family by the name of its model class.

    Args:
        inputs: the model's keyword arguments, which become arg0, arg1, ... in order.
        config: keyword arguments of its config class.
        pick: what of the model's output is compared.
        fixed: keyword arguments that are no tensors.
    """
    cls = getattr(transformers, model)

    def build(implementation: str) -> Sample:
        torch.manual_seed(0)
        # A convolutional backbone inside has none to choose.
        attention = {"": implementation, "backbone_config": "eager"}
        made = cls(cls.config_class(**config, attn_implementation=attention))
        function = lambda m, *a: pick(m(**dict(zip(inputs, a)), **(fixed or {})))  # noqa: E731
        return Call(randomise(made), function), tuple(inputs.values())

    implementations: Sequence[str] = (
        ("eager", "sdpa") if cls._supports_sdpa else ("eager",)
    )
    return Family(name, build, attentions, implementations, **rest)


def vision(
    name: str, model: str, attentions: int, size: int = 32, **config: Any
) -> Family:
    """A family that takes one image as ``pixel_values``."""
    rest = {
        k: config.pop(k) for k in ("pick", "refused", "note", "fixed") if k in config
    }
    return family(
        name, model, {"pixel_values": image(size)}, attentions, config, **rest
    )


VOCABULARY = dict(vocab_size=64, max_position_embeddings=32)
PADDED = {"input_ids": ids(), "attention_mask": padding()}
LEFT_PADDED = {"input_ids": ids(), "attention_mask": padding(left=True)}
IDS = {"input_ids": ids()}
NO_CACHE = {"use_cache": False}
GROUPED = dict(TINY, num_attention_heads=4, num_key_value_heads=2, head_dim=8)


def encoder(
    name: str, model: str, attentions: int = 2, inputs: Any = PADDED, **config: Any
) -> Family:
    rest = {
        k: config.pop(k) for k in ("note", "refused", "dynamic", "pick") if k in config
    }
    return family(
        name, model, inputs, attentions, dict(VOCABULARY, **TINY, **config), **rest
    )


def decoder(
    name: str, model: str, inputs: Any = IDS, attentions: int = 2, **config: Any
) -> Family:
    rest = {k: config.pop(k) for k in ("note", "refused", "dynamic") if k in config}
    merged = {**VOCABULARY, **TINY, **config}
    return family(name, model, inputs, attentions, merged, fixed=NO_CACHE, **rest)


T5 = dict(vocab_size=64, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
BART = dict(
    vocab_size=64,
    d_model=32,
    encoder_layers=1,
    decoder_layers=1,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=64,
    decoder_ffn_dim=64,
)
PAIR = {
    "input_ids": ids(2, 10),
    "attention_mask": padding(),
    "decoder_input_ids": ids(2, 7),
}
