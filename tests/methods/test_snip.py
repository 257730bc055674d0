"""SNIP against the gradient with respect to a mask, and by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from tests.scoring.closed_forms import close, data, mlp
from torch_synflow import prune


def test_snip_is_the_gradient_with_respect_to_a_mask() -> None:
    """Frankle et al. 2021, appendix B.1: s = |dL/dc| at c = 1, where c multiplies the weights."""
    model = mlp(5, 7, 3)
    inputs, targets = data()
    masks = {f"{i}.weight": torch.ones_like(model[i].weight, requires_grad=True) for i in (0, 2)}
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    masked = {name: weight * masks[name] if name in masks else weight for name, weight in weights.items()}
    F.cross_entropy(functional_call(model, masked, (inputs,)), targets).backward()
    reference = {(model[i], "weight"): masks[f"{i}.weight"].grad.abs() for i in (0, 2)}
    close(prune.snip_scores(model, (inputs, targets), F.cross_entropy), reference)


def test_snip_by_hand() -> None:
    model = nn.Linear(2, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -2.0], [0.5, 4.0]]))
    batch = (torch.tensor([[3.0, 1.0]], dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64))
    # outputs (1, 5.5); L = sum of squares; dL/dw = 2 * out_i * x_j = [[6, 2], [33, 11]]
    scores = prune.snip_scores(model, batch, lambda out, _: out.square().sum())
    assert scores[model, "weight"].tolist() == [[6.0, 4.0], [16.5, 44.0]]
