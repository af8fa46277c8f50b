# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Audio families of `transformers`."""

from __future__ import annotations

from zoo import ids, values
from zoo.hf import BART, NO_CACHE, TINY, family

WAVE = {"input_values": values(1, 400)}
CONVOLVED = dict(
    TINY,
    conv_dim=[16, 16],
    conv_stride=[5, 4],
    conv_kernel=[10, 8],
    num_feat_extract_layers=2,
    num_conv_pos_embeddings=4,
    num_conv_pos_embedding_groups=2,
)

FAMILIES = [
    family(
        "Whisper",
        "WhisperModel",
        {"input_features": values(1, 16, 24), "decoder_input_ids": ids(1, 7)},
        3,
        dict(
            BART,
            num_mel_bins=16,
            max_source_positions=12,
            max_target_positions=16,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
            begin_suppress_tokens=None,
        ),
        fixed=NO_CACHE,
        note="encoder, decoder and cross attention",
    ),
    family("Wav2Vec2", "Wav2Vec2Model", WAVE, 2, CONVOLVED),
    family("HuBERT", "HubertModel", WAVE, 2, CONVOLVED),
    family(
        "WavLM", "WavLMModel", WAVE, 2, CONVOLVED, note="gated relative position bias"
    ),
    family(
        "Conformer",
        "Wav2Vec2ConformerModel",
        WAVE,
        2,
        dict(
            CONVOLVED, conv_depthwise_kernel_size=3, position_embeddings_type="relative"
        ),
        note="relative shift of a product with positions",
    ),
    family(
        "Audio spectrogram transformer",
        "ASTModel",
        {"input_values": values(1, 24, 16)},
        2,
        dict(
            TINY,
            patch_size=8,
            frequency_stride=8,
            time_stride=8,
            max_length=24,
            num_mel_bins=16,
        ),
    ),
]
