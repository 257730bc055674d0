"""The critical compression of methods by bisection."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.faults.fingerprint import fingerprint
from benchmarks.faults.fuse import Fuse
from benchmarks.faults.watch import moments
from torch_synflow import diagnostics, prune


def network(*, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    first, second, third = (nn.Linear(a, b, bias=bias) for a, b in ((6, 40), (40, 40), (40, 3)))
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)


def exact(model: nn.Module, scores: dict[object, torch.Tensor]) -> int:
    """The fewest entries that leave one in each layer, when all are ranked once by ``scores``."""
    ranked = torch.cat([score.flatten() for score in scores.values()]).sort(descending=True).values
    return max(int((ranked >= score.max()).sum()) for score in scores.values())


@pytest.mark.parametrize("tolerance", [0.0, 0.05])
def test_one_shot_methods_against_the_rank_of_the_last_layer(tolerance: float) -> None:
    model = network()
    params = prune.prunable_parameters(model)
    data = (torch.rand(30, 6), torch.arange(30) % 3)
    snip = prune.snip_scores(model, data, F.cross_entropy)
    magnitude = {pair: getattr(*pair).detach().abs() for pair in params}
    for scores, method in ((snip, prune.SNIP), (magnitude, prune.L1Unstructured)):
        before = fingerprint(model)
        found = diagnostics.critical_compression(
            model,
            lambda amount, method=method: prune.global_iterative_unstructured(
                params, method, amount, data=data, loss_fn=F.cross_entropy
            ),
            tolerance=tolerance,
        )
        assert fingerprint(model) == before
        critical = 1960 / exact(model, scores)
        if tolerance:
            assert found.ratio <= critical < found.collapse
            assert (
                math.log10(found.collapse / found.ratio) <= tolerance or 1960 / found.ratio - 1960 / found.collapse == 1
            )
        else:
            assert found.ratio == critical
            assert found.collapse == 1960 / (exact(model, scores) - 1)
        assert found.first_empty
        assert found.max_ratio == 1960 / 3


def test_synflow_reaches_max_compression_at_once() -> None:
    model = network(bias=False)
    params = prune.prunable_parameters(model, example_inputs=torch.rand(1, 6))
    found = diagnostics.critical_compression(
        model, lambda amount: prune.global_iterative_unstructured(params, prune.SynFlow, amount)
    )
    assert (found.ratio, found.collapse, found.trials, found.first_empty) == (1960 / 3, None, 1, ())
    assert "max compression" in str(found)


def test_biases_keep_synflow_from_max_compression() -> None:
    """Paths start at biases too, which are not pruned, so that the first layer is not needed."""
    model = network()
    params = prune.prunable_parameters(model, example_inputs=torch.rand(1, 6))
    found = diagnostics.critical_compression(
        model, lambda amount: prune.global_iterative_unstructured(params, prune.SynFlow, amount)
    )
    assert found.first_empty == ("0.weight",)
    assert found.ratio < found.max_ratio


def test_an_empty_layer_that_a_shortcut_bypasses_is_no_layer_collapse() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch = nn.Linear(6, 6, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.branch(x)

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6, bias=False), Block(), nn.Linear(6, 6, bias=False))
    nn.init.constant_(model[1].branch.weight, 1e-3)
    found = diagnostics.critical_compression(
        model, lambda amount: prune.global_iterative_unstructured(model, prune.L1Unstructured, amount)
    )
    assert found.first_empty == ("1.branch.weight",)
    assert "first empty at" in str(found)
    assert "collapse" not in str(found)


def test_random_pruning_draws_the_same_in_each_trial() -> None:
    model = network()
    before = fingerprint(model)
    results = [
        diagnostics.critical_compression(
            model, lambda amount: prune.global_iterative_unstructured(model, prune.RandomUnstructured, amount)
        )
        for _ in range(2)
    ]
    assert results[0] == results[1]
    assert fingerprint(model) == before
    assert results[0].ratio < results[0].max_ratio


def test_a_pruned_model_starts_from_its_masks() -> None:
    model = network()
    prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
    before = fingerprint(model)
    found = diagnostics.critical_compression(
        model, lambda amount: prune.global_iterative_unstructured(model, prune.L1Unstructured, amount)
    )
    assert fingerprint(model) == before
    assert 2 <= found.ratio < found.collapse
    assert str(found).count("\n") == 4  # the verdict, the heads and three rows


def test_one_layer_can_not_collapse() -> None:
    model = nn.Linear(3, 4)
    found = diagnostics.critical_compression(
        model, lambda amount: prune.global_iterative_unstructured(model, prune.L1Unstructured, amount)
    )
    assert (found.ratio, found.max_ratio, found.collapse) == (12.0, 12.0, None)


def test_errors_leave_the_model_as_it_was() -> None:
    model = network()
    before = fingerprint(model)

    def interrupted(amount: int) -> None:
        prune.global_iterative_unstructured(model, prune.L1Unstructured, amount)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diagnostics.critical_compression(model, interrupted)
    with pytest.raises(ValueError, match="prune: expected 3 weights kept after removing 1957, got 1960"):
        diagnostics.critical_compression(model, lambda amount: None)
    with pytest.raises(TypeError, match=r"prune: expected a function that prunes a given number of weights, got 0\.5"):
        diagnostics.critical_compression(model, 0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tolerance: expected a number of at least 0"):
        diagnostics.critical_compression(model, lambda amount: None, tolerance=-1)
    assert fingerprint(model) == before


def test_a_collapsed_model_has_no_critical_compression() -> None:
    model = network()
    prune.random_unstructured(model[2], "weight", amount=1.0)
    with pytest.raises(ValueError, match=r"2\.weight: expected a model without empty layers"):
        diagnostics.critical_compression(model, lambda amount: None)


def test_the_picture_of_a_critical_compression() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, ax = pyplot.subplots()
    diagnostics.CriticalCompression(10.0, 11.0, 100.0, ("a",), 5).draw(ax)
    assert ax.get_xlim() == (1, 200)
    pyplot.close(figure)


def test_an_interrupt_while_the_model_is_put_back_leaves_it_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))

    def search() -> None:
        diagnostics.critical_compression(
            model, lambda amount: prune.global_iterative_unstructured(model, prune.L1Unstructured, amount)
        )

    count = Fuse()
    with moments(count):
        search()
    before = fingerprint(model)
    places = [place for place in count.passed if isinstance(place, tuple) and place[3] in ("restore", "_refill")]
    assert len(places) > 5
    for place in places:
        with pytest.raises(KeyboardInterrupt), moments(Fuse(place, count.passed[place], KeyboardInterrupt)):
            search()
        assert fingerprint(model) == before
