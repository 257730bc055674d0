"""What the figures of cost, weights left, replications and iterations compute of records."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
from matplotlib.figure import Figure

from benchmarks.figures import FIGURES, cost, iterations, remaining, replications
from benchmarks.sweep.choice import Choice
from benchmarks.sweep.methods import METHODS
from benchmarks.training.networks import NETWORKS, pruned_parameters
from torch_synflow import prune

PAIR = "digits/vgg_small"


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return NETWORKS["vgg_small"](10, 1, 8)


@pytest.mark.parametrize(("name", "most"), [("snip", 1.02), ("grasp", 1.02), ("damage", 1.02), ("synflow", 1.35)])
def test_scoring_takes_the_flops_that_are_said_or_a_little_less(name: str, most: float) -> None:
    """As torch counts them. The first layer needs no gradient of its input, which the count says it has.

    SynFlow passes forward once more, to record what it then replays.
    """
    trial = Choice(examples=1, iterations=2).trial("accuracy", PAIR, replications.CIFAR_RESNET18, 0, name, density=0.5)
    method = METHODS[name].pruning_method
    assert issubclass(method, prune.SaliencyUnstructured)
    model = network()
    batch = (torch.rand(10, 1, 8, 8), torch.arange(10))
    given: dict[str, Any] = {"data": batch, "loss_fn": F.cross_entropy} if METHODS[name].examples else {}
    if not given:
        given = {"example_inputs": torch.ones(1, 1, 8, 8)}
    with FlopCounterMode(display=False) as counter:
        method.scores(model, pruned_parameters("vgg_small", model), **given)
    layers, other = cost.forward_flops(PAIR)
    said = cost.scoring_flops(trial, sum(layers.values()) + other) / trial.iterations
    assert 0.4 * said < counter.get_total_flops() <= most * said


def test_a_trial_costs_its_mask_and_the_training_of_what_is_kept() -> None:
    layers, other = cost.forward_flops(PAIR)
    whole = sum(layers.values()) + other
    recipe = replications.CIFAR_RESNET18.scaled(1 / 16)  # ten epochs
    kept = {"result": {"layers": [[name, 1, 4] for name in layers]}}
    trial = Choice().trial("accuracy", PAIR, recipe, 0, "random", density=0.25)
    sparse = other + sum(layers.values()) / 4
    assert cost.flops(trial, kept) == pytest.approx(10 * 1437 * 3 * sparse)
    later = Choice().trial("accuracy", PAIR, recipe, 0, "magnitude", density=0.25, prune_epoch=10.0)
    assert cost.flops(later, kept) == pytest.approx(10 * 1437 * 3 * (sparse + whole))
    snip = Choice().trial("accuracy", PAIR, recipe, 0, "snip", density=0.25)
    assert cost.flops(snip, kept) - cost.flops(trial, kept) == pytest.approx(100 * 3 * whole)
    seconds = {"origin": {"seconds": {"pruning": 1.0, "training": 2.5, "all": 9.0}}}
    assert cost.seconds(seconds) == 3.5


def test_the_table_of_cost_names_the_least_that_comes_near() -> None:
    choice = Choice(pair=(PAIR,), seeds=1, methods=("random",), densities=(0.5, 0.25))
    panels = FIGURES["cost"].chosen(choice)
    layers, _ = cost.forward_flops(PAIR)
    records: dict[str, Any] = {}
    for trial in FIGURES["cost"].trials(choice):
        accuracy = {1.0: 90.0, 0.5: 89.5, 0.25: 85.5}[trial.density]
        share = [[name, round(100 * trial.density), 100] for name in layers]
        spent = {"pruning": 1.0, "training": 99.0 if trial.density == 1 else 49.0}
        records[trial.name] = {"result": {"accuracy": accuracy, "layers": share}, "origin": {"seconds": spent}}
    text = cost.text(panels, records)
    lines = text.splitlines()
    assert [line.split()[-2:] for line in lines if line.startswith("Random")][1] == ["(25", "%)"]
    assert "0.500 (50 %)" in lines[-1]
    assert [panel.title for panel in panels] == [f"{PAIR}: FLOPs", f"{PAIR}: seconds, masked"]


def test_weights_left_are_all_until_a_network_is_pruned() -> None:
    choice = Choice(pair=(PAIR,), seeds=1, methods=("magnitude",), densities=(0.5, 0.1), epochs_scale=1.0)
    (panel,) = FIGURES["frankle-1"].chosen(choice)
    accuracy = {1.0: 90.0, 0.5: 89.2, 0.1: 80.0}
    records = {t.name: {"result": {"accuracy": accuracy[t.density]}} for t in panel.trials()}
    start, ticket, after = panel.lines
    assert [remaining.lowest_near(line, records, 1.0) for line in panel.lines] == [0.5, 0.5, 0.5]
    assert remaining.lowest_near(start, records, 20.0) == 0.1
    assert remaining.lowest_near(start, {}, 1.0) is None
    assert remaining.weights_left(start, 0.5, 10)[1:3] == [(0.0, 1.0), (0.0, 0.5)]
    assert remaining.weights_left(after, 0.5, 10)[1:3] == [(10.0, 1.0), (10.0, 0.5)]
    assert remaining.weights_left(ticket, 0.5, 10)[2:] == [(0.0, 0.5), (10, 0.5)]
    areas = [float(line.split()[-1]) for line in remaining.text([panel], records).splitlines()[1:]]
    assert areas == [0.5, 0.5, 1.0]
    ax = Figure().subplots()
    remaining.draw(ax, panel, records)
    drawn = [line.get_label() for line in ax.lines if not str(line.get_label()).startswith("_")]
    assert drawn == [f"{line.label}: 50 %" for line in panel.lines]


def test_tables_have_the_papers_rows_and_networks() -> None:
    rows = {name: FIGURES[f"frankle-table-{name}"].chosen(Choice())[0] for name in replications.TABLES}
    assert {name: len(panel.lines) for name, panel in rows.items()} == {"2": 10, "3": 12, "5": 12, "7": 6}
    assert [row.density for row in replications.TABLES["2"][1]] == [1, 0.03, 1, 0.05, 1, 0.05, 1, 0.05, 1, 0.05]
    assert rows["7"].lines[2].label == "ResNet-18, rate 0.01"
    text = replications.table_text([rows["3"]], {})
    assert "VGG-19, 98 % pruned" in text
    assert ["92.1", "-", "-", "-", "-"] in [line.split()[-5:] for line in text.splitlines()]
    halves = FIGURES["frankle-7"].trials(Choice(seeds=1))
    assert sorted({round(100 - 100 * t.density, 1) for t in halves})[:4] == [0, 50, 75, 87.5]
    assert {t.recipe.rate for t in halves if t.pair == "cifar10/resnet18"} == {0.2}


def test_table_7_has_the_hyperparameters_of_the_synflow_authors_where_it_says_so() -> None:
    """By the authors' commands; the initialisation is that of Frankle et al. (appendix D.4), who name no other."""
    _, _, cifar, modified, tiny, longer = (
        line.points[0][1][0] for line in FIGURES["frankle-table-7"].chosen(Choice())[0].lines
    )
    for trial, epochs, drops, decay in ((cifar, 160, (60, 120), 5e-4), (tiny, 100, (30, 60, 80), 1e-4)):
        recipe = trial.recipe
        assert (recipe.epochs, recipe.drops, recipe.drop_factor, recipe.decay) == (epochs, drops, 0.2, decay)
        assert (recipe.rate, recipe.batch, recipe.momentum, recipe.nesterov) == (0.01, 128, 0.9, True)
        assert (recipe.initialisation, recipe.gamma) == ("fan_in", "uniform")
    assert [(t.recipe.rate, t.recipe.batch, t.recipe.drop_factor) for t in (modified, longer)] == [(0.2, 256, 0.1)] * 2


@pytest.mark.parametrize(
    ("name", "convolutions", "width"),
    [("wrn_14_8", 12, 512), ("wrn_14_10", 12, 640), ("wrn_20_8", 18, 512), ("wrn_32_2", 30, 128)],
)
def test_wide_networks_have_their_depth_and_width(name: str, convolutions: int, width: int) -> None:
    with torch.device("meta"):
        model = NETWORKS[name](10, 3, 32)
        shapes = [m.weight.shape for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
        (linear,) = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    assert len(shapes) == convolutions + 1
    assert linear.in_features == width


def test_vgg2_has_two_linear_layers() -> None:
    with torch.device("meta"):
        model = NETWORKS["vgg2_16_bn"](10, 3, 32)
        linear = [(m.in_features, m.out_features) for m in model.modules() if isinstance(m, torch.nn.Linear)]
        assert model.eval()(torch.ones(2, 3, 32, 32)).shape == (2, 10)
    assert linear == [(512, 512), (512, 10)]


def test_the_greatest_ratio_of_sizes_is_drawn() -> None:
    assert iterations.prune_over_cut({"prune_sizes": [1.0, 6.0, 1.0], "cut_sizes": [2.0, 3.0, 0.0]}) == 2
