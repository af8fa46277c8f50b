# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Decoder-only language models of `transformers`."""

from __future__ import annotations

import torch

from zoo import Call, Family, Sample, randomise, values
from zoo.hf import GROUPED, LEFT_PADDED, PADDED, decoder


def gpt_oss(implementation: str) -> Sample:
    """The attention of GPT-OSS; its mixture of experts branches on data, so it has no export."""
    from transformers import GptOssConfig
    from transformers.models.gpt_oss.modeling_gpt_oss import GptOssAttention

    config = GptOssConfig(
        **GROUPED, sliding_window=4, attn_implementation=implementation
    )
    mask = torch.full((10, 10), torch.finfo(torch.float32).min).triu(1)[None, None]
    return (
        Call(
            randomise(GptOssAttention(config, layer_idx=0)),
            lambda m, x, c, s: m(x, (c, s), attention_mask=mask)[0],
        ),
        (values(2, 10, 32), values(2, 10, 4), values(2, 10, 4)),
    )


FAMILIES = [
    decoder(
        "LLaMA",
        "LlamaModel",
        LEFT_PADDED,
        **GROUPED,
        note="grouped heads, causal, padded",
    ),
    decoder("LLaMA, no padding", "LlamaModel", **GROUPED),
    decoder("Mistral", "MistralModel", **GROUPED, sliding_window=4),
    decoder("Qwen2", "Qwen2Model", **GROUPED),
    decoder("Qwen3", "Qwen3Model", **GROUPED, note="normalised queries and keys"),
    decoder(
        "Gemma2",
        "Gemma2Model",
        **GROUPED,
        sliding_window=4,
        query_pre_attn_scalar=8,
        attn_logit_softcapping=5.0,
        note="softcap; one layer with a sliding window",
    ),
    decoder(
        "Gemma3",
        "Gemma3TextModel",
        **GROUPED,
        sliding_window=4,
        query_pre_attn_scalar=8,
    ),
    Family(
        "GPT-OSS, attention alone",
        gpt_oss,
        0,
        refused={"sum-of-other-values": 1},
        note="a learned sink joins each row's sum, which no op has",
    ),
    decoder(
        "GPT-2", "GPT2Model", PADDED, n_embd=32, n_layer=2, n_head=2, n_positions=32
    ),
    decoder("GPT-NeoX", "GPTNeoXModel", PADDED),
    decoder(
        "GPT-J",
        "GPTJModel",
        PADDED,
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=32,
        rotary_dim=8,
    ),
    decoder(
        "GPT-Neo",
        "GPTNeoModel",
        PADDED,
        num_layers=2,
        num_heads=2,
        window_size=4,
        attention_types=[[["global", "local"], 1]],
    ),
    decoder("OPT", "OPTModel", PADDED, ffn_dim=64, word_embed_proj_dim=32),
    decoder("Phi", "PhiModel"),
    decoder("Cohere", "CohereModel", **GROUPED),
    decoder("Granite", "GraniteModel", **GROUPED, attention_multiplier=0.3),
    decoder("BLOOM", "BloomModel", PADDED, n_layer=2, n_head=2, note="ALiBi"),
    decoder(
        "Falcon", "FalconModel", PADDED, alibi=True, note="ALiBi, one key head for all"
    ),
    decoder(
        "DeepSeek-V3",
        "DeepseekV3Model",
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=24,
        first_k_dense_replace=2,
        n_routed_experts=4,
        num_key_value_heads=2,
        note="latent attention; values wider than keys",
    ),
    decoder(
        "MPT",
        "MptModel",
        PADDED,
        d_model=32,
        n_heads=2,
        n_layers=2,
        max_seq_len=32,
        expansion_ratio=2,
        note="ALiBi",
    ),
    decoder("StarCoder2", "Starcoder2Model", **GROUPED),
    decoder("Phi-3", "Phi3Model", **GROUPED, pad_token_id=0),
    decoder("OLMo2", "Olmo2Model", **GROUPED),
    decoder("GLM4", "Glm4Model", **GROUPED, pad_token_id=0),
    decoder("Cohere2", "Cohere2Model", **GROUPED, sliding_window=4),
    decoder("StableLM", "StableLmModel", **GROUPED),
    decoder(
        "GPT-BigCode",
        "GPTBigCodeModel",
        PADDED,
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=32,
        n_inner=64,
        note="one key head",
    ),
    decoder(
        "XGLM", "XGLMModel", d_model=32, num_layers=2, attention_heads=2, ffn_dim=64
    ),
    decoder("Nemotron", "NemotronModel", **GROUPED),
    decoder("Persimmon", "PersimmonModel"),
    decoder("BioGPT", "BioGptModel"),
    decoder("LLaMA, dynamic sequence", "LlamaModel", **GROUPED, dynamic=[(0, 1)]),
]
