# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Image families of `timm`: transformers. `timm_hybrids` has the others."""

from __future__ import annotations

from typing import Any, Callable

import timm.models
import torch
from torch import nn

from zoo import Call, Family, Sample, image, randomise


def family(
    name: str,
    make: Callable[[], nn.Module],
    attentions: int,
    inputs: Any = None,
    call: Any = None,
    **rest: Any,
) -> Family:
    """A family; `eager` and `sdpa` set timm's own switch, `fused_attn`."""

    def build(implementation: str) -> Sample:
        torch.manual_seed(0)
        made = make()
        for module in made.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = implementation == "sdpa"
        return Call(randomise(made), call or (lambda m, x: m(x))), inputs or (
            image(32),
        )

    rest.setdefault("implementations", ("eager", "sdpa"))
    return Family(name, build, attentions, **rest)


def network(
    module: str, cls: str, name: str, attentions: int, size: int = 32, **options: Any
) -> Family:
    """A whole network: its class by name, with small sizes."""
    rest = {
        k: options.pop(k)
        for k in ("refused", "note", "implementations")
        if k in options
    }

    def make() -> nn.Module:
        return getattr(getattr(timm.models, module), cls)(num_classes=7, **options)

    return family(name, make, attentions, (image(size),), **rest)


EAGER = ("eager",)
VIT = dict(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2)
SWIN = dict(
    img_size=32,
    patch_size=4,
    embed_dim=16,
    depths=(2, 2),
    num_heads=(2, 4),
    window_size=4,
)

FAMILIES = [
    network("vision_transformer", "VisionTransformer", "ViT", 2, **VIT),
    network(
        "vision_transformer",
        "VisionTransformer",
        "ViT, normalised keys, pooling head",
        3,
        **VIT,
        qk_norm=True,
        global_pool="map",
        class_token=False,
        note="2 layers, and a learned query that pools",
    ),
    network("deit", "VisionTransformerDistilled", "DeiT, distilled", 2, **VIT),
    network("beit", "Beit", "BEiT", 2, **VIT, use_rel_pos_bias=True),
    network("eva", "Eva", "EVA-02", 2, **VIT, use_rot_pos_emb=True),
    network("swin_transformer", "SwinTransformer", "Swin", 4, **SWIN),
    network(
        "swin_transformer_v2",
        "SwinTransformerV2",
        "Swinv2",
        4,
        **SWIN,
        implementations=EAGER,
        note="cosine attention with a learned scale",
    ),
    network(
        "swin_transformer_v2_cr",
        "SwinTransformerV2Cr",
        "Swinv2-CR",
        4,
        **SWIN,
        implementations=EAGER,
    ),
    network(
        "davit",
        "DaVit",
        "DaViT",
        4,
        depths=(1, 1),
        embed_dims=(16, 32),
        num_heads=(2, 4),
        window_size=4,
        note="windowed attention, and attention over channels",
    ),
    network(
        "xcit",
        "Xcit",
        "XCiT",
        2,
        **dict(VIT, depth=1),
        cls_attn_layers=1,
        eta=1.0,
        note="one layer over channels, one of the class token",
    ),
    network(
        "edgenext",
        "EdgeNeXt",
        "EdgeNeXt",
        1,
        dims=(8, 8, 8, 16),
        depths=(1, 1, 1, 1),
        heads=(2,) * 4,
        global_block_counts=(0, 0, 0, 1),
        kernel_sizes=(3,) * 4,
        d2_scales=(2,) * 4,
        use_pos_emb=(False, False, False, True),
        note="attention over channels",
    ),
    network(
        "twins",
        "Twins",
        "Twins",
        4,
        patch_size=4,
        img_size=32,
        embed_dims=(16, 32),
        num_heads=(2, 4),
        mlp_ratios=(2, 2),
        depths=(2, 2),
        sr_ratios=(4, 2),
        wss=(4, 4),
        note="windows, and pooled keys, in turn",
    ),
    network(
        "pvt_v2",
        "PyramidVisionTransformerV2",
        "PVTv2",
        2,
        depths=(1, 1),
        embed_dims=(16, 32),
        num_heads=(2, 4),
        sr_ratios=(4, 2),
        mlp_ratios=(2, 2),
    ),
    network(
        "nest",
        "Nest",
        "NesT",
        3,
        img_size=32,
        patch_size=4,
        num_levels=3,
        embed_dims=(16, 24, 32),
        num_heads=(2, 2, 4),
        depths=(1, 1, 1),
    ),
    network(
        "gcvit",
        "GlobalContextVit",
        "GC-ViT",
        4,
        img_size=32,
        embed_dim=16,
        depths=(2, 2),
        num_heads=(2, 4),
        window_ratio=(8, 8),
        implementations=EAGER,
        note="queries of the window's own and queries shared by all windows",
    ),
    network(
        "levit",
        "Levit",
        "LeViT",
        5,
        size=64,
        img_size=64,
        embed_dim=(16, 24, 32),
        key_dim=8,
        depth=(1, 1, 1),
        num_heads=(2, 3, 4),
        implementations=EAGER,
    ),
    network(
        "tiny_vit",
        "TinyVit",
        "TinyViT",
        3,
        size=64,
        embed_dims=(16, 16, 24, 32),
        depths=(1, 1, 1, 1),
        num_heads=(2, 2, 3, 4),
        window_sizes=(2, 2, 4, 2),
    ),
    network(
        "hiera",
        "Hiera",
        "Hiera",
        4,
        img_size=(64, 64),
        size=64,
        embed_dim=16,
        num_heads=1,
        stages=(1, 1, 1, 1),
        mask_unit_size=(8, 8),
    ),
    network(
        "visformer",
        "Visformer",
        "Visformer",
        2,
        size=64,
        img_size=64,
        init_channels=8,
        embed_dim=32,
        depth=(1, 1, 1),
        num_heads=2,
        attn_stage="011",
        spatial_conv="100",
        group=4,
    ),
    network(
        "pit",
        "PoolingVisionTransformer",
        "PiT",
        2,
        img_size=32,
        patch_size=8,
        stride=4,
        base_dims=(8, 8),
        depth=(1, 1),
        heads=(2, 4),
    ),
    network(
        "tnt",
        "TNT",
        "TNT",
        2,
        img_size=32,
        patch_size=8,
        embed_dim=32,
        depth=1,
        num_heads_outer=2,
        inner_dim=8,
        num_heads_inner=2,
        implementations=EAGER,
        note="attention inside of a patch and between patches",
    ),
]
