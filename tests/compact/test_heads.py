"""Layers and attention that libraries write themselves: fused or separate, rotary, with keys that queries share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.compact.test_attention import Attending, emptied
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


def gpt2() -> nn.Module:
    """Linear layers whose weights have inputs as rows, and a power in the activation between them."""
    library = pytest.importorskip("transformers")
    sizes = {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 12}
    config = library.GPT2Config(vocab_size=31, use_cache=False, bos_token_id=0, eos_token_id=0, **sizes)
    model = library.GPT2LMHeadModel(config)
    mask = torch.ones_like(model.transformer.h[1].mlp.c_proj.weight)
    mask[7:] = 0
    prune.custom_from_mask(model.transformer.h[1].mlp.c_proj, "weight", mask)
    return model


def t5() -> nn.Module:
    """A trained bias of each pair of positions, for each head, in the mask of attention."""
    library = pytest.importorskip("transformers")
    sizes = {"d_model": 24, "d_kv": 6, "d_ff": 20, "num_layers": 2, "num_heads": 4}
    config = library.T5Config(vocab_size=31, use_cache=False, decoder_start_token_id=0, **sizes)
    model = library.T5ForConditionalGeneration(config)
    mask = torch.ones_like(model.encoder.block[0].layer[1].DenseReluDense.wo.weight)
    mask[:, 5:] = 0
    prune.custom_from_mask(model.encoder.block[0].layer[1].DenseReluDense.wo, "weight", mask)
    columns(model.encoder.block[1].layer[0].SelfAttention.o, 4, 2)
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
    "gpt2": (
        gpt2, lambda: {"input_ids": torch.arange(12).view(2, 6)},
        {"transformer.h.1.mlp.c_fc": (24, 7), "transformer.h.1.mlp.c_proj": (7, 24)},
    ),
    "t5": (
        t5, lambda: {"input_ids": torch.arange(12).view(2, 6), "decoder_input_ids": torch.arange(8).view(2, 4)},
        {"encoder.block.0.layer.1.DenseReluDense.wi": (5, 24),
         "encoder.block.0.layer.0.SelfAttention.relative_attention_bias": (32, 4),
         "encoder.block.1.layer.0.SelfAttention.o": (24, 24)},
    ),
}  # fmt: skip


def outputs(model: nn.Module, x: Any) -> Tensor:
    with torch.no_grad():
        return model(x) if isinstance(x, Tensor) else model(**x).logits


@pytest.mark.parametrize("name", MODELS)
def test_heads_and_neurons_go(name: str) -> None:
    torch.manual_seed(0)
    build, inputs, shapes = MODELS[name]
    model, x = build(), inputs()
    small = prune.shrink(model, x)
    assert {name: tuple(small.get_submodule(name).weight.shape) for name in shapes} == shapes
    assert small.shrink_report.notes == ()
    for one in (model, small):
        prune.detach(one.double().eval())  # T5 reads the type of a weight before it calls the layer
    x = x.double() if isinstance(x, Tensor) else x
    torch.testing.assert_close(outputs(small, x), outputs(model, x), rtol=1e-12, atol=1e-12)


class _Biased(Attending):
    """Each pair of positions has a trained bias."""

    def __init__(self) -> None:
        super().__init__("weights returned")
        self.bias = nn.Embedding(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(self.into(x))
        return self.head(self.attention(tokens, tokens, tokens, attn_mask=self.bias(torch.arange(5)))[0].mean(1))


def test_a_trained_mask_is_read() -> None:
    model, x = _Biased().double(), torch.randn(4, 5, 6, dtype=torch.float64)
    emptied(model.attention, [0, 1, 2, 5, 8, 9], [0, 2, 3, 4, 5, 9], [0, 1, 2, 8, 11])
    small = prune.shrink(model, x)
    assert small.bias.weight.shape == (5, 5)
    assert small.attention.num_heads == 2
