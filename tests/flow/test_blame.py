"""An operation that spoils the scores is named, with its module."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.flow.flows import Of, X
from tests.flow.networks import Doubled
from torch_synflow import prune


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (lambda x: Doubled.apply(x), "Doubled"),
        (lambda x: torch.cos(x) * 0.0, "cos"),
        (lambda x: torch.sin(100 * x) - 5 * torch.lgamma(0 * x), "sin"),
        (lambda x: x.detach(), "detach"),
    ],
)
def test_an_unknown_operation_that_spoils_the_scores_is_named(operation: Callable[[Tensor], Tensor], name: str) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.Sequential(nn.ReLU(), Of(operation)), nn.Linear(8, 3))
    message = rf"SynFlow scores, got .*'{name}' in module '1\.1 \(Of\)'.*torch_synflow\.flow\.register"
    with pytest.raises(ValueError, match=message):
        prune.synflow_scores(model, X)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_layer_at_which_no_flow_arrives_is_named() -> None:
    class ReadsZeros(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.query, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            tokens = torch.cat([torch.zeros_like(x[:1]), x])
            rows = (self.query(tokens[:1]) @ tokens.T).softmax(-1)
            return self.last(rows @ tokens)  # type: ignore[no-any-return]

    model = ReadsZeros()
    nn.init.zeros_(model.query.bias)
    message = r"query\.weight: expected positive and finite .* got all zeros; no flow arrives at module 'query "
    with pytest.raises(ValueError, match=message + r".*exclude="):
        prune.synflow_scores(model, X)
    params = prune.prunable_parameters(model, exclude="query")
    assert all(float(score.sum()) > 0 for score in prune.synflow_scores(model, X, params).values())
