"""Average scores of layers: numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import nn

from torch_synflow import diagnostics, prune


def test_average_scores_are_over_what_is_not_pruned() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    torch_prune.custom_from_mask(model[0], "weight", torch.tensor([[1, 0], [1, 1]]))
    scores = {(model[0], "weight"): torch.tensor([[1.0, 9.0], [2.0, 3.0]]), (model[1], "weight"): torch.zeros(1, 2)}
    found = diagnostics.layer_scores(model, scores)
    assert [(layer.name, layer.size, layer.total, layer.average) for layer in found.layers] == [
        ("0.weight", 3, 6.0, 2.0),
        ("1.weight", 2, 0.0, 0.0),
    ]
    with pytest.raises(ValueError, match=r"scores: expected shape \(2, 2\) for 0\.weight, got \(3,\)"):
        diagnostics.layer_scores(model, {(model[0], "weight"): torch.ones(3)})
    with pytest.raises(ValueError, match="parameters: expected at least one"):
        diagnostics.layer_scores(model, {})


def test_synflows_average_is_inverse_to_the_size_of_the_layer() -> None:
    """Tanaka et al. 2020, figure 4: exact for a saliency that is conserved."""
    layers = [nn.Linear(a, b, bias=False) for a, b in ((5, 30), (30, 20), (20, 4))]
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    found = diagnostics.layer_scores(model, prune.synflow_scores(model, torch.ones(1, 5)))
    products = [layer.average * layer.size for layer in found.layers]
    assert max(products) == pytest.approx(min(products), rel=1e-12)


@pytest.mark.parametrize("values", [{"a": 1.0}, {"a": 0.0}])
def test_scores_draw(values: dict[str, float]) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, ax = pyplot.subplots()
    layers = tuple(diagnostics.LayerScore(name, 10, value) for name, value in values.items())
    assert diagnostics.LayerScores(layers).draw(ax) is ax
    figure.canvas.draw()
    pyplot.close(figure)
