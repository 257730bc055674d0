"""Families of transformers, tiny ones made from their configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.survey.network import SurveyedNetwork, images

_TEXT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 50}
_SMALL = {**_TEXT, "max_position_embeddings": 64, "pad_token_id": 0}
_GROUPED = {**_SMALL, "num_key_value_heads": 2}
_IMAGE = {"image_size": 32, "patch_size": 8, "num_labels": 5, **{k: v for k, v in _TEXT.items() if k != "vocab_size"}}

_TO_TEXT = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "vocab_size": 50,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
}  # fmt: skip
_PYRAMID = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "num_labels": 5}
_WINDOWS = {"image_size": 32, "patch_size": 2, "embed_dim": 16, "window_size": 4, "num_labels": 5, "depths": [1, 1]}
_GPT = {"n_layer": 2, "n_head": 4, "vocab_size": 50}
_CLASSIFIES, _WRITES, _SEES = "ForSequenceClassification", "ForCausalLM", "ForImageClassification"
_OF_IMAGES = (_SEES, "ForSemanticSegmentation")

#: family: what the names of its classes begin with, and the model's ends with, and the configuration's arguments
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("Bert", _CLASSIFIES, _SMALL),
    "roberta": ("Roberta", _CLASSIFIES, {**_SMALL, "pad_token_id": 1}),
    "distilbert": (
        "DistilBert", _CLASSIFIES, {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": 50}
    ),
    "albert": ("Albert", _CLASSIFIES, {**_SMALL, "embedding_size": 16}),
    "electra": ("Electra", _CLASSIFIES, {**_SMALL, "embedding_size": 16}),
    "deberta-v2": ("DebertaV2", _CLASSIFIES, _SMALL),
    "mpnet": ("MPNet", _CLASSIFIES, {**_SMALL, "pad_token_id": 1}),
    "modernbert": ("ModernBert", _CLASSIFIES, _SMALL),
    "gpt2": ("GPT2", "LMHeadModel", {"n_embd": 32, "n_positions": 64, **_GPT}),
    "gpt-neox": ("GPTNeoX", _WRITES, _SMALL),
    "opt": ("OPT", _WRITES, {**_SMALL, "ffn_dim": 64, "word_embed_proj_dim": 32}),
    "bloom": ("Bloom", _WRITES, {"hidden_size": 32, **_GPT}),
    "llama": ("Llama", _WRITES, _GROUPED),
    "mistral": ("Mistral", _WRITES, _GROUPED),
    "qwen2": ("Qwen2", _WRITES, _GROUPED),
    "qwen3": ("Qwen3", _WRITES, {**_GROUPED, "head_dim": 8}),
    "gemma": ("Gemma", _WRITES, {**_GROUPED, "head_dim": 8}),
    "phi": ("Phi", _WRITES, _GROUPED),
    "mixtral": ("Mixtral", _WRITES, {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2-moe": (
        "Qwen2Moe", _WRITES,
        {**_GROUPED, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
         "shared_expert_intermediate_size": 32},
    ),
    "mamba": ("Mamba", _WRITES, {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 50, "state_size": 4}),
    "t5": (
        "T5", "ForConditionalGeneration",
        {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 50},
    ),
    "bart": ("Bart", "ForConditionalGeneration", {**_TO_TEXT, "max_position_embeddings": 64}),
    "vit": ("ViT", _SEES, _IMAGE),
    "deit": ("DeiT", _SEES, _IMAGE),
    "beit": ("Beit", _SEES, _IMAGE),
    "dinov2": ("Dinov2", _SEES, _IMAGE),
    "convnextv2": ("ConvNextV2", _SEES, _PYRAMID),
    "resnet": ("ResNet", _SEES, {**_PYRAMID, "embedding_size": 8}),
    "mobilenet-v2": ("MobileNetV2", _SEES, {"num_labels": 5, "depth_multiplier": 0.35}),
    "swin": ("Swin", _SEES, {**_WINDOWS, "num_heads": [2, 2]}),
    "swin-v2": ("Swinv2", _SEES, {**_WINDOWS, "num_heads": [2, 2]}),
    "segformer": (
        "Segformer", "ForSemanticSegmentation",
        {**_PYRAMID, "decoder_hidden_size": 16, "num_attention_heads": [1, 2, 2, 4]},
    ),
    "clip": (
        "CLIP", "Model",
        {"text_config": {**_SMALL, "eos_token_id": 49, "bos_token_id": 48}, "projection_dim": 16,
         "vision_config": {k: v for k, v in _IMAGE.items() if k != "num_labels"}},
    ),
    "wav2vec2": (
        "Wav2Vec2", "ForCTC",
        {**_TEXT, "conv_dim": [16, 16], "conv_kernel": [10, 3], "conv_stride": [5, 2], "num_feat_extract_layers": 2,
         "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2},
    ),
    "whisper": (
        "Whisper", "ForConditionalGeneration",
        {**_TO_TEXT, "num_mel_bins": 8, "max_source_positions": 16, "max_target_positions": 16, "pad_token_id": 0,
         "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
    ),
}  # fmt: skip


def _tokens(count: int) -> Tensor:
    return torch.randint(3, 47, (count, 12), generator=torch.Generator().manual_seed(2))


def _inputs(family: str) -> Callable[[int], dict[str, Tensor]]:
    def make(count: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(1)
        tokens = _tokens(count)
        if family == "wav2vec2":
            return {"input_values": torch.rand(count, 400, generator=generator)}
        if family == "whisper":
            return {
                "input_features": torch.rand(count, 8, 32, generator=generator),
                "decoder_input_ids": tokens[:, :6],
            }
        text = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
        if family == "clip":
            return {**text, "pixel_values": images(32)(count)}
        if family in ("t5", "bart"):
            return {**text, "decoder_input_ids": tokens[:, :6]}
        return {"pixel_values": images(32)(count)} if FAMILIES[family][1] in _OF_IMAGES else text

    return make


def subjects() -> Iterator[SurveyedNetwork]:
    """A network of each family."""
    import transformers

    quiet: Any = transformers.logging.set_verbosity_error
    quiet()
    for family, (first, last, arguments) in FAMILIES.items():

        def build(first: str = first, last: str = last, arguments: dict[str, Any] = arguments) -> nn.Module:
            config = getattr(transformers, f"{first}Config")(**arguments)
            built: nn.Module = getattr(transformers, first + last)(config)
            return built

        counts = "logits_per_image" if family == "clip" else "logits"
        yield SurveyedNetwork("transformers", family, first + last, build, _inputs(family), outputs=counts)
