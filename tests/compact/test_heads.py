"""Whole heads of attention that libraries write themselves: fused or separate, rotary, with keys that queries share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from torch_synflow import prune

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def columns(layer: nn.Module, heads: int, *kept: int) -> None:
    """Mask the inputs of an output projection that come from other heads."""
    mask = torch.zeros_like(layer.weight).unflatten(1, (heads, -1))
    mask[:, list(kept)] = 1
    prune.custom_from_mask(layer, "weight", mask.flatten(1))


def timm() -> nn.Module:
    library = pytest.importorskip("timm")
    model = library.create_model(
        "vit_tiny_patch16_224", img_size=32, depth=2, embed_dim=24, num_heads=4, num_classes=3, pretrained=False
    )
    columns(model.blocks[0].attn.proj, 4, 0, 2, 3)
    return model


def bert() -> nn.Module:
    library = pytest.importorskip("transformers")
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 20}
    config = library.BertConfig(vocab_size=31, max_position_embeddings=12, **sizes)
    model = library.BertForSequenceClassification(config)
    columns(model.bert.encoder.layer[0].attention.output.dense, 4, 0, 2, 3)
    return model


def llama() -> nn.Module:
    """Two heads of keys and values for four of queries, no biases: what reads nothing is zero."""
    library = pytest.importorskip("transformers")
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 20}
    config = library.LlamaConfig(vocab_size=31, num_key_value_heads=2, use_cache=False, **sizes)
    model = library.LlamaForCausalLM(config)
    value = model.model.layers[1].self_attn.v_proj
    mask = torch.ones_like(value.weight)
    mask[:6] = 0
    prune.custom_from_mask(value, "weight", mask)
    return model


#: a name: the model, what it is called with, and the shapes of weights of the layer that lost heads
MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any], dict[str, tuple[int, int]]]] = {
    "timm": (
        timm, lambda: torch.rand(2, 3, 32, 32), {"blocks.0.attn.qkv": (54, 24), "blocks.0.attn.proj": (24, 18)},
    ),
    "bert": (
        bert, lambda: {"input_ids": torch.arange(12).view(2, 6)},
        {f"bert.encoder.layer.0.attention.self.{part}": (18, 24) for part in ("query", "key", "value")}
        | {"bert.encoder.layer.0.attention.output.dense": (24, 18)},
    ),
    "llama": (
        llama, lambda: {"input_ids": torch.arange(12).view(2, 6)},
        {"model.layers.1.self_attn.q_proj": (12, 24), "model.layers.1.self_attn.k_proj": (6, 24),
         "model.layers.1.self_attn.v_proj": (6, 24), "model.layers.1.self_attn.o_proj": (24, 12)},
    ),
}  # fmt: skip


def outputs(model: nn.Module, x: Any) -> Tensor:
    with torch.no_grad():
        return model(x) if isinstance(x, Tensor) else model(**x).logits


@pytest.mark.parametrize("name", MODELS)
def test_heads_go_whole(name: str) -> None:
    torch.manual_seed(0)
    build, inputs, shapes = MODELS[name]
    model, x = build(), inputs()
    small = prune.shrink(model, x)
    assert {name: tuple(small.get_submodule(name).weight.shape) for name in shapes} == shapes
    assert small.shrink_report.notes == ()
    model.double().eval()
    small.double().eval()
    x = x.double() if isinstance(x, Tensor) else x
    torch.testing.assert_close(outputs(small, x), outputs(model, x), rtol=1e-12, atol=1e-12)
