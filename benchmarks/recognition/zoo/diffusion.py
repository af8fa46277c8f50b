# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Image and video generators of `diffusers`."""

from __future__ import annotations

from typing import Any, Callable

import diffusers
import torch
from diffusers.models import attention_processor
from torch import nn

from zoo import Call, Family, Sample, ids, randomise, values

diffusers.utils.logging.set_verbosity_error()
TEXT = values(2, 5, 32)
STEP = torch.tensor([3.0, 7.0])
# The implementations of models that still have attention processors.
PROCESSORS = {
    "eager": attention_processor.AttnProcessor,
    "sdpa": attention_processor.AttnProcessor2_0,
}


def model(
    name: str,
    make: Callable[[], nn.Module],
    call: Any,
    inputs: Any,
    attentions: int,
    **rest: Any,
) -> Family:
    """A family; one with `eager` among its implementations has attention processors."""
    implementations = rest.pop("implementations", ("sdpa",))

    def build(implementation: str) -> Sample:
        torch.manual_seed(0)
        made = make()
        if len(implementations) > 1:
            made.set_attn_processor(PROCESSORS[implementation]())
        return Call(randomise(made), call), inputs

    return Family(name, build, attentions, implementations, **rest)


def unet(**options: Any) -> Callable[[], nn.Module]:
    return lambda: diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        cross_attention_dim=32,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        attention_head_dim=8,
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=8,
        **options,
    )


def conditioned(m: nn.Module, x: Any, t: Any, y: Any) -> Any:
    return m(x, t, y, return_dict=False)[0]


BOTH = ("eager", "sdpa")
LATENT = values(2, 4, 8, 8)
FLUX_IDS = torch.cat(
    [torch.zeros(16, 1), torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))], 1
)

FAMILIES = [
    model(
        "Stable Diffusion UNet",
        unet(),
        conditioned,
        (LATENT, STEP, TEXT),
        8,
        implementations=BOTH,
        note="4 transformer blocks, each with self and cross attention",
    ),
    model(
        "Stable Diffusion UNet, text mask",
        unet(),
        lambda m, x, t, y, k: m(x, t, y, encoder_attention_mask=k, return_dict=False)[
            0
        ],
        (LATENT, STEP, TEXT, torch.arange(5)[None] < torch.tensor([[5], [3]])),
        8,
        implementations=BOTH,
    ),
    model(
        "Stable Diffusion VAE",
        lambda: diffusers.AutoencoderKL(
            block_out_channels=(16, 32),
            norm_num_groups=8,
            latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        ),
        lambda m, x: m(x, return_dict=False)[0],
        (values(1, 3, 16, 16),),
        2,
        implementations=BOTH,
        note="one head over all pixels in encoder and decoder",
    ),
    model(
        "SD3",
        lambda: diffusers.SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            caption_projection_dim=16,
            pooled_projection_dim=8,
            pos_embed_max_size=4,
        ),
        lambda m, x, y, p, t: m(x, y, p, t, return_dict=False)[0],
        (LATENT, TEXT, values(2, 8), STEP),
        2,
        note="joint attention of image and text",
    ),
    model(
        "SD3.5, dual attention and normalised keys",
        lambda: diffusers.SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            qk_norm="rms_norm",
            caption_projection_dim=16,
            pooled_projection_dim=8,
            pos_embed_max_size=4,
            dual_attention_layers=(0,),
        ),
        lambda m, x, y, p, t: m(x, y, p, t, return_dict=False)[0],
        (LATENT, TEXT, values(2, 8), STEP),
        3,
        note="2 joint, 1 over the image alone",
    ),
    model(
        "Flux",
        lambda: diffusers.FluxTransformer2DModel(
            patch_size=1,
            in_channels=8,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=8,
            axes_dims_rope=(4, 6, 6),
        ),
        lambda m, x, y, p, t: m(
            x, y, p, t, img_ids=FLUX_IDS, txt_ids=torch.zeros(5, 3), return_dict=False
        )[0],
        (values(2, 16, 8), TEXT, values(2, 8), STEP),
        2,
        note="a joint and a single block, rotary positions",
    ),
    model(
        "DiT",
        lambda: diffusers.DiTTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=8,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            sample_size=8,
            patch_size=2,
            norm_num_groups=4,
        ),
        lambda m, x, t, c: m(x, t, c, return_dict=False)[0],
        (LATENT, STEP.long(), ids(2, 1)[:, 0]),
        2,
    ),
    model(
        "PixArt",
        lambda: diffusers.PixArtTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=8,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            sample_size=8,
            patch_size=2,
            norm_num_groups=4,
            cross_attention_dim=16,
            caption_channels=32,
            use_additional_conditions=False,
        ),
        lambda m, x, t, y: m(x, y, t, return_dict=False)[0],
        (LATENT, STEP, TEXT),
        4,
        implementations=BOTH,
        note="2 blocks, each with self and cross attention",
    ),
    model(
        "Sana",
        lambda: diffusers.SanaTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=1,
            num_cross_attention_heads=2,
            cross_attention_head_dim=8,
            cross_attention_dim=16,
            caption_channels=32,
            sample_size=8,
            patch_size=1,
        ),
        lambda m, x, t, y: m(x, y, t, return_dict=False)[0],
        (LATENT, STEP, TEXT),
        1,
        refused={"relu-linear-attention": 1},
        note="cross attention; its self attention is ReLU, linear",
    ),
    model(
        "AuraFlow",
        lambda: diffusers.AuraFlowTransformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            num_mmdit_layers=1,
            num_single_dit_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_projection_dim=16,
            joint_attention_dim=32,
            pos_embed_max_size=16,
        ),
        lambda m, x, t, y: m(x, y, t, return_dict=False)[0],
        (LATENT, STEP, TEXT),
        2,
    ),
    model(
        "Wan video",
        lambda: diffusers.WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=4,
            out_channels=4,
            text_dim=32,
            freq_dim=16,
            ffn_dim=32,
            num_layers=1,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            rope_max_seq_len=16,
        ),
        lambda m, x, t, y: m(x, t, y, return_dict=False)[0],
        (values(2, 4, 2, 4, 4), STEP, TEXT),
        2,
        note="self and cross attention",
    ),
]
