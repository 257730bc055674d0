"""The warning about emptied layers names what the method does not do yet."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from torch_synflow import prune


class KeepingLayers(prune.BalancedSynFlow):
    keep_layers = True


@pytest.mark.parametrize(
    ("method", "advice"),
    [
        (prune.L1Unstructured, "a smaller amount, more iterations or layer_densities=prune.erk"),
        (prune.SynFlow, "prune.BalancedSynFlow (on a network with branches), a smaller amount, more iterations, "
         "keep_layers = True in a subclass or layer_densities=prune.erk"),
        (prune.BalancedSynFlow, "a smaller amount, more iterations, keep_layers = True in a subclass or "
         "layer_densities=prune.erk"),
        (KeepingLayers, "a smaller amount or more iterations"),
    ],
)  # fmt: skip
def test_the_advice_is_what_the_method_does_not_do_yet(method: type[prune.BasePruningMethod], advice: str) -> None:
    model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False))
    with pytest.warns(prune.EmptiedLayersWarning) as caught:
        prune.global_iterative_unstructured(model, method, 54, model=model, example_inputs=torch.ones(1, 4))
    (warning,) = caught
    assert str(warning.message).endswith(f"; consider {advice}")
