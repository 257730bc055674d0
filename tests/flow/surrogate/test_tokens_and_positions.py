"""Tokens and positions, which stand for the input: told by how a model uses them, whatever they are called."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.flow.flows import without_biases
from torch_synflow import prune

IMAGE = torch.ones(1, 3, 32, 32)


class Tokens(nn.Module):
    """Joins a token to what a layer makes of the input; ``use`` makes of both what the last layer reads."""

    def __init__(
        self, use: Callable[[Any, Tensor, Tensor], Tensor], name: str = "cls_token", value: float = 3.0
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.use, self.name = use, name
        self.first, self.last = nn.Linear(4, 6, bias=False), nn.Linear(6, 2, bias=False)
        self.query, self.key = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
        self.register_parameter(name, nn.Parameter(torch.full((1, 1, 6), value)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(self.use(self, getattr(self, self.name).expand(len(x), -1, -1), x))  # type: ignore[no-any-return]

    def attend(self, x: Tensor) -> Tensor:
        """What class attention makes of the first row of ``x``."""
        rows: Tensor = (self.query(x[:, :1]) @ self.key(x).transpose(1, 2)).softmax(-1)
        return rows @ x


def joined(net: Tokens, token: Tensor, x: Tensor) -> Tensor:
    tokens = torch.cat([token, x], 1)
    return tokens + tokens.mean(1, keepdim=True)


def attended(net: Tokens, token: Tensor, x: Tensor) -> Tensor:
    return net.attend(torch.cat([token, x], 1))


def attended_and_added(net: Tokens, token: Tensor, x: Tensor) -> Tensor:
    return token + net.attend(torch.cat([token, x], 1))


def totals(model: nn.Module, x: Tensor) -> dict[str, float]:
    names = {module: name for name, module in model.named_modules()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a token that is zero is not said to count as ones
        scores = prune.synflow_scores(model, x)
    return {names[module]: float(score.sum()) for (module, _), score in scores.items()}


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("name", ["cls_token", "memory", "registers"])
def test_a_token_that_is_joined_to_a_flow_adds_nothing_to_it(name: str, value: float) -> None:
    model = Tokens(joined, name, value)
    del model.query, model.key
    found = totals(model, torch.ones(1, 5, 4))
    assert found["first"] == pytest.approx(found["last"], rel=1e-12)


@pytest.mark.parametrize("use", [attended, attended_and_added])
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_layer_that_reads_a_token_alone_has_all_flow_of_the_attention_that_it_makes(
    use: Callable[..., Tensor], value: float
) -> None:
    found = totals(Tokens(use, value=value), torch.ones(1, 5, 4))
    for name in ("first", "query", "key"):
        assert found[name] == pytest.approx(found["last"], rel=1e-9), name


def test_zeros_that_a_flow_is_joined_to_stay_zero() -> None:
    model = Tokens(lambda net, token, x: torch.cat([torch.zeros_like(token), x], 1)[:, :1])
    del model.query, model.key
    with pytest.raises(ValueError, match="got all zeros"):
        prune.synflow_scores(model, torch.ones(1, 5, 4))


class Added(nn.Module):
    """A layer, an offset, another layer."""

    def __init__(self, offset: Tensor, form: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 6, bias=False), nn.Linear(6, 2, bias=False)
        self.offset, self.form = nn.Parameter(offset), form

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.form(self, self.first(x)))  # type: ignore[no-any-return]


FORMS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "after": lambda net, x: x + net.offset,
    "before": lambda net, x: net.offset + x,
    "a part": lambda net, x: x + net.offset[:, :5],
    "in place": lambda net, x: x.add_(net.offset),
    "more positions": lambda net, x: x[:, :1] + net.offset,
    "many orders of magnitude later": lambda net, x: (x * 1e-200 * 1e-200) + net.offset,
}


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("form", FORMS)
def test_positions_start_no_flow(form: str, value: float) -> None:
    found = totals(Added(torch.full((1, 5, 6), value), FORMS[form]), torch.ones(1, 5, 4))
    assert found["first"] == pytest.approx(found["last"], rel=1e-12)


@pytest.mark.parametrize(
    ("shape", "form"),
    [
        ((6,), lambda net, x: x + net.offset),
        ((1, 1, 6), lambda net, x: x + net.offset.expand(1, 5, 6)),
        ((5, 6), lambda net, x: (x[0].unsqueeze(1) @ torch.eye(6).expand(5, 6, 6).to(x)).squeeze(1) + net.offset),
    ],
    ids=["a vector", "a vector for all positions", "of several matrices"],
)
def test_biases_start_flow(shape: tuple[int, ...], form: Callable[[Any, Tensor], Tensor]) -> None:
    model = Added(torch.full(shape, 3.0), form)
    found = totals(model, torch.ones(1, 5, 4))
    of_biases = 3 * 5 * float(model.last.weight.detach().abs().sum())
    assert found["last"] == pytest.approx(found["first"] + of_biases, rel=1e-6)


def class_attention(family: str) -> nn.Module:
    timm: Any = pytest.importorskip("timm").models
    torch.manual_seed(0)
    size: dict[str, Any] = {"img_size": 32, "patch_size": 8, "num_classes": 5}
    if family == "coat":
        depths = {"serial_depths": (1, 1, 1, 1), "parallel_depth": 1, "mlp_ratios": (2, 2, 2, 2)}
        return timm.coat.CoaT(**{**size, "patch_size": 4}, **depths, embed_dims=(16, 16, 16, 16), num_heads=8)  # type: ignore[no-any-return]
    if family == "volo":
        stages = {
            "layers": (1, 1),
            "num_heads": (2, 2),
            "downsamples": (True, False),
            "outlook_attention": (True, False),
        }
        return timm.volo.VOLO(**size, **stages, embed_dims=(16, 16), post_layers=("ca", "ca"), stem_hidden_dim=8)  # type: ignore[no-any-return]
    size |= {"embed_dim": 16, "depth": 1, "num_heads": 2}
    if family == "xcit":
        return timm.xcit.Xcit(**size, cls_attn_layers=2)  # type: ignore[no-any-return]
    if family == "cait":
        return timm.cait.Cait(**size)  # type: ignore[no-any-return]
    return timm.vision_transformer.VisionTransformer(**size)  # type: ignore[no-any-return]


@pytest.mark.parametrize("family", ["cait", "volo", "a transformer of one block"])
def test_class_attention_is_scored_and_pruned(family: str) -> None:
    model = class_attention(family).eval()
    assert min(totals(model, IMAGE).values()) > 0
    report = prune.global_iterative_unstructured(model, prune.BalancedSynFlow, 0.9, example_inputs=IMAGE, iterations=3)
    assert report.empty_layers == ()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["xcit", "coat"])
def test_class_attention_of_many_layers_is_scored(family: str) -> None:
    found = totals(without_biases(class_attention(family).eval()), IMAGE)
    assert min(found.values()) > 0
    first = ("patch_embed.proj.0.0", "pos_embed.token_projection") if family == "xcit" else ("patch_embed1.proj",)
    assert sum(found[name] for name in first) == pytest.approx(found["head"], rel=1e-3)


@pytest.mark.slow
def test_queries_that_weight_values_twice_are_gates_both_times() -> None:
    """CoaT multiplies by its queries again for relative positions, so its class token would lose its queries."""
    model = class_attention("coat").eval()
    report = prune.global_iterative_unstructured(model, prune.BalancedSynFlow, 0.8, example_inputs=IMAGE, iterations=5)
    x = torch.randn_like(IMAGE, requires_grad=True)
    model(x).sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().max()) > 0
    assert all("conv_list" in name for name in report.empty_layers)
