# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Image families of `timm`: hybrids of convolution and attention, single blocks, and what looks
like attention and is something else."""

from __future__ import annotations

from typing import Callable

from timm.layers import bottleneck_attn, halo_attn
from timm.models import efficientformer, maxxvit, mvitv2, nextvit
from torch import nn

from zoo import values
from zoo.timm_models import EAGER, VIT, family, network

PIXELS = values(1, 16, 4, 4)


def maxxvit_(block: str) -> Callable[[], nn.Module]:
    config = maxxvit.MaxxVitCfg(
        embed_dim=(16, 32),
        depths=(1, 2),
        block_type=("C", block),
        stem_width=8,
        transformer_cfg=maxxvit.MaxxVitTransformerCfg(
            dim_head=8, window_size=(2, 2), grid_size=(2, 2)
        ),
    )
    return lambda: maxxvit.MaxxVit(config, img_size=32, num_classes=7)


FAMILIES = [
    family(
        "EfficientFormer, a block",
        lambda: efficientformer.MetaBlock1d(32),
        1,
        (values(1, 49, 32),),
        implementations=EAGER,
        note="keys and values of different widths",
    ),
    family(
        "Next-ViT, a block",
        lambda: nextvit.NextTransformerBlock(
            16, 128, drop_path=0.0, head_dim=8, sr_ratio=2
        ),
        1,
        (values(1, 16, 8, 8),),
        implementations=EAGER,
    ),
    network(
        "fastvit",
        "FastVit",
        "FastViT",
        1,
        layers=(1, 1),
        token_mixers=("repmixer", "attention"),
        embed_dims=(16, 32),
        mlp_ratios=(2, 2),
        downsamples=(False, True),
        se_downsamples=(False, False),
        pos_embs=(None, None),
    ),
    network(
        "volo",
        "VOLO",
        "VOLO, stages of attention",
        3,
        size=64,
        img_size=64,
        patch_size=8,
        layers=[1, 1],
        embed_dims=[16, 32],
        num_heads=[2, 2],
        downsamples=(True, False),
        outlook_attention=(False, False),
        post_layers=("ca",),
        stem_hidden_dim=8,
        use_aux_head=False,
        mlp_ratio=2.0,
        implementations=EAGER,
        note="2 layers and the class token; outlook stages, which have no keys, do not import",
    ),
    network(
        "efficientvit_msra",
        "EfficientVitMsra",
        "EfficientViT (MSRA)",
        6,
        size=64,
        img_size=64,
        embed_dim=(16, 24, 32),
        key_dim=(8, 8, 8),
        depth=(1, 1, 1),
        num_heads=(2, 2, 2),
        window_size=(4, 4, 4),
        implementations=EAGER,
        note="heads in a cascade, one attention each",
    ),
    network(
        "shvit",
        "SHViT",
        "SHViT",
        2,
        size=64,
        embed_dim=(16, 24, 32),
        partial_dim=(8, 8, 8),
        qk_dim=(8, 8, 8),
        depth=(1, 1, 1),
        types=("i", "s", "s"),
        implementations=EAGER,
        note="a single head",
    ),
    family(
        "MViTv2",
        lambda: mvitv2.MultiScaleVit(
            mvitv2.MultiScaleVitCfg(
                depths=(1, 1),
                embed_dim=(16, 32),
                num_heads=(1, 2),
                stride_q=((1, 1), (2, 2)),
            ),
            img_size=(32, 32),
            num_classes=7,
        ),
        2,
        implementations=EAGER,
        note="decomposed relative positions",
    ),
    family("CoAtNet", maxxvit_("T"), 2, note="relative position bias"),
    family("MaxViT", maxxvit_("M"), 4, note="2 blocks, each with windows and a grid"),
    family(
        "BoTNet's attention",
        lambda: bottleneck_attn.BottleneckAttn(16, feat_size=(4, 4), num_heads=2),
        1,
        (PIXELS,),
        implementations=EAGER,
    ),
    family(
        "HaloNet's attention",
        lambda: halo_attn.HaloAttn(16, num_heads=2, block_size=2, halo_size=1),
        1,
        (PIXELS,),
        implementations=EAGER,
        note="windows of keys that overlap",
    ),
    # These look like attention and are something else.
    network(
        "efficientvit_mit",
        "EfficientVit",
        "EfficientViT (MIT)",
        0,
        size=64,
        widths=(8, 8, 8, 16, 16),
        depths=(1, 1, 1, 1, 1),
        head_dim=8,
        head_widths=(16, 16),
        implementations=EAGER,
        refused={"relu-linear-attention": 2},
        note="ReLU in place of the softmax",
    ),
    network(
        "cait",
        "Cait",
        "CaiT",
        1,
        **dict(VIT, depth=1),
        depth_token_only=1,
        refused={"talking-heads": 1},
        note="talking heads; the class token's attention is plain",
    ),
    network(
        "efficientformer_v2",
        "EfficientFormerV2",
        "EfficientFormerV2",
        1,
        size=128,
        img_size=128,
        depths=(1, 1, 1, 1),
        embed_dims=(8, 8, 16, 32),
        num_vit=1,
        implementations=EAGER,
        refused={"talking-heads": 2},
        note="talking heads, and one plain attention that shrinks",
    ),
    network(
        "convit",
        "ConVit",
        "ConViT",
        1,
        **VIT,
        local_up_to_layer=1,
        implementations=EAGER,
        refused={"mask-after-softmax": 1},
        note="one gated layer: two softmaxes are mixed",
    ),
    network(
        "coat",
        "CoaT",
        "CoaT",
        4,
        size=32,
        img_size=32,
        patch_size=4,
        embed_dims=(16, 16, 16, 16),
        serial_depths=(1, 1, 1, 1),
        num_heads=2,
        mlp_ratios=(2, 2, 2, 2),
        crpe_window={3: 2},
        implementations=EAGER,
        refused={"no-softmax": 4},
        note="softmax of projected keys: its queries are the weights; Q's product has none",
    ),
]
