"""The positive network: tokens and positions, tensors that are zero, layers that no path uses."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from tests.flow.flows import IMAGE, X, totals, without_biases
from torch_synflow import prune


class Patches(nn.Module):
    """A transformer of patches with learned tokens and positions."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.cls_token = nn.Parameter(torch.randn(1, 1, 8))
        self.pos_embed = nn.Parameter(100 * torch.randn(1, 5, 8))
        self.pos_scale = nn.Parameter(torch.rand(8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], 1) + self.pos_embed
        out: torch.Tensor = self.head(self.block(tokens * self.pos_scale)[:, 0])
        return out


def test_learned_tokens_and_positions_start_no_flow() -> None:
    model = without_biases(Patches())
    found = totals(model, IMAGE)
    assert found["patch"] == pytest.approx(found["head"], rel=1e-9)
    scores = prune.synflow_scores(model, IMAGE)
    with torch.no_grad():
        model.pos_embed.zero_()
        model.cls_token.zero_()
    for pair, score in prune.synflow_scores(model, IMAGE).items():
        torch.testing.assert_close(score, scores[pair], rtol=0, atol=0)


def test_positions_that_are_scored_are_read_as_they_are() -> None:
    model = without_biases(Patches())
    score = prune.synflow_scores(model, IMAGE, [(model, "pos_embed")])[model, "pos_embed"]
    assert (score[0, 1:] > 0).all()


def test_tensors_that_are_zero_throughout_are_read_as_ones_and_named_once() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[3].weight)
    with pytest.warns(UserWarning, match=r"all zero, so treated as ones: 1\.weight, 3\.weight") as caught:
        report = prune.global_iterative_unstructured(model, prune.SynFlow, 0.9, example_inputs=X)
    assert len(caught) == 1
    assert report.empty_layers == ()


def with_an_offset(name: str, value: float) -> nn.Module:
    """Two linear layers, and between them an offset that is held under a name."""

    class Offset(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + getattr(self, name)

    model = nn.Sequential(Offset(6, 8, bias=False), nn.Linear(8, 3, bias=False))
    model[0].register_parameter(name, nn.Parameter(torch.full((8,), value)))
    return model


@pytest.mark.parametrize("name", ["bias", "bias1", "in_bias", "relative_position_bias_table", "cls_token"])
def test_an_offset_that_is_zero_stays_zero(name: str) -> None:
    found = totals(with_an_offset(name, 0.0))
    assert found["0"] == pytest.approx(found["1"], rel=1e-9)


@pytest.mark.parametrize("name", ["pos_scale", "cls_token"])
def test_an_offset_that_is_the_same_at_all_positions_keeps_its_value(name: str) -> None:
    model = with_an_offset(name, 1.0)
    found = totals(model)
    assert found["1"] == pytest.approx(found["0"] + float(model[1].weight.detach().abs().sum()), rel=1e-6)


def test_a_tensor_whose_mask_is_empty_stays_zero() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.zeros_(model[2].weight)
    prune.custom_from_mask(model[2], "weight", torch.zeros(3, 8))
    assert not any(score.any() for score in prune.synflow_scores(model, X).values())


def test_layers_that_no_path_uses_are_named_and_pruned_first() -> None:
    class Aux(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head, self.aux = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.body(x))
            aux = self.aux(x)
            return self.head(x) + aux if self.training else self.head(x)

    model = Aux()
    with pytest.warns(UserWarning, match="aux") as caught:
        report = prune.global_iterative_unstructured(model, prune.SynFlow, 24, example_inputs=X, iterations=3)
    unused, emptied = (str(warning.message) for warning in caught)
    assert re.search(r"no path from input to output in evaluation mode.*: aux\.weight$", unused)
    assert "nothing is left of 1 of 3 layers: aux.weight" in emptied
    assert report.empty_layers == ("aux.weight",)
    assert bool(model.body.weight_mask.all())
