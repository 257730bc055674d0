"""A tensor that several modules hold counts once, and gets one mask everywhere."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_synflow import SNIP, GraSP, SynFlow, prune


class Tied(nn.Module):
    """A language model in small: the head is the embedding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(11, 6)
        self.body = nn.Linear(6, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(self.embed(tokens))))


@pytest.mark.parametrize("listed", ["head", "embed", "both"])
@pytest.mark.parametrize("method", [SynFlow, SNIP, GraSP, prune.L1Unstructured])
def test_tied_weights_count_once_and_get_one_mask(method: Any, listed: str) -> None:
    model = Tied()
    tokens = torch.arange(6).view(2, 3)
    names = ["head", "embed"] if listed == "both" else [listed]
    params = [(getattr(model, name), "weight") for name in names] + [(model.body, "weight")]
    report = prune.global_iterative_unstructured(
        params,
        method,
        0.5,
        model=model,
        example_inputs=tokens,
        data=(tokens, tokens),
        loss_fn=lambda out, target: F.cross_entropy(out.flatten(0, 1), target.flatten()),
    )
    assert report.total == 66 + 36
    assert report.kept == 51
    assert torch.equal(model.head.weight_mask, model.embed.weight_mask)
    assert model.head.weight_orig is model.embed.weight_orig
    out = model(tokens)
    assert torch.equal(model.head.weight, model.embed.weight)
    out.sum().backward()
    copy.deepcopy(
        Tied().load_state_dict({k.removesuffix("_orig"): v for k, v in model.state_dict().items() if "mask" not in k})
    )


def test_tied_weights_of_which_one_was_pruned_before() -> None:
    model = Tied()
    prune.l1_unstructured(model.head, "weight", 16)
    earlier = model.head.weight_mask.clone()
    report = prune.global_iterative_unstructured(
        [(model.embed, "weight")], SynFlow, 0.5, model=model, example_inputs=torch.arange(3).view(1, 3)
    )
    assert (report.kept, report.total) == (25, 66)
    assert torch.equal(model.head.weight_mask, model.embed.weight_mask)
    assert (model.embed.weight_mask <= earlier).all()
