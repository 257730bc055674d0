"""Figures have the settings and are drawn as the papers, or their authors' code, have them."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("matplotlib")

from matplotlib import pyplot

from benchmarks.figures import FIGURES
from benchmarks.figures.frankle import ASSUMED, MATCHING
from benchmarks.figures.panels import Records
from benchmarks.sweep.choice import Choice
from benchmarks.sweep.methods import METHODS


def test_figures_1_and_7_run_to_a_million_and_the_rebuttals_have_both_modes() -> None:
    for name in ("synflow-1", "synflow-7", "synflow-a", "synflow-b"):
        trials = FIGURES[name].trials(Choice(seeds=1, measure="accuracy"))
        assert len({trial.density for trial in trials}) == 25
        assert min(trial.density for trial in trials) == pytest.approx(1e-6)
    for name, letter in (("grasp", "a"), ("snip", "b")):
        methods = {trial.method for trial in FIGURES[f"synflow-{letter}"].trials(Choice(seeds=1))}
        assert {name, f"{name}_evaluation"} < methods
        assert METHODS[name].pruning_method.training
        assert not METHODS[f"{name}_evaluation"].pruning_method.training


@pytest.mark.parametrize("name", ["synflow-2", "synflow-3", "synflow-4"])
def test_figures_2_to_4_have_both_modes_random_and_magnitude(name: str) -> None:
    methods = {trial.method for trial in FIGURES[name].trials(Choice(seeds=1))} - {"none", "saliency"}
    assert methods == {"random", "magnitude", "snip", "snip_evaluation", "grasp", "grasp_evaluation", "synflow"}


def test_figure_5_has_the_authors_networks_and_cycles() -> None:
    cycles = FIGURES["synflow-5a"].trials(Choice(seeds=1))
    assert {trial.levels for trial in cycles} == {1, 2, 3, 4, 5}
    assert {trial.pair for trial in cycles} == {"cifar10/vgg11_bn"}
    assert {(trial.recipe.epochs, trial.recipe.rate) for trial in cycles} == {(50, 0.01)}
    (squares,) = FIGURES["synflow-5b"].trials(Choice(seeds=1))
    assert (squares.pair, squares.recipe.initialisation) == ("cifar10/vgg19", "xavier")


def test_prune_size_over_cut_size_has_the_authors_ratios_and_iterations() -> None:
    trials = FIGURES["synflow-8"].trials(Choice())
    assert sorted({round(-math.log10(trial.density), 6) for trial in trials}) == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert sorted({trial.iterations for trial in trials}) == [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert len(trials) == 6 * (1 + 2 * 10)  # with one iteration, both schedules are the same


def test_the_assumed_matching_sparsities_are_those_of_the_page() -> None:
    """Where the paper names no sparsity: 0.8^4 for the ResNet-18 of appendix L, 0.8^12 for all other networks."""
    assert ASSUMED == {"resnet18": 4}
    assert not ASSUMED.keys() & MATCHING.keys()
    for name, pair, thinned in (
        ("frankle-5", "tinyimagenet/resnet18", 4),
        ("frankle-15", "mnist/lenet_300_100", 12),
        ("frankle-6", "digits/vgg_small", 12),
        ("frankle-10", "cifar10/resnet20", MATCHING["resnet20"]),
    ):
        trials = FIGURES[name].trials(Choice(pair=(pair,), seeds=1))
        assert {trial.density for trial in trials} - {1.0} == {0.8**thinned}, name


def test_figure_15_has_magnitude_after_training() -> None:
    trials = FIGURES["frankle-15"].trials(Choice(seeds=1, pair=("cifar10/resnet20",)))
    assert [trial.prune_epoch for trial in trials if trial.method == "magnitude"] == [0.0, 160.0]


@pytest.mark.parametrize(("name", "half"), [("synflow-6", 2.0), ("frankle-3", math.sqrt(8 / 3))])
def test_bands_are_extremes_in_one_paper_and_standard_deviations_in_the_other(name: str, half: float) -> None:
    figure = FIGURES[name]
    choice = Choice(pair=("digits/vgg_small",), seeds=4, densities=(0.5, 0.1), methods=("random",))
    accuracies = dict(enumerate((58.0, 60.0, 60.0, 62.0)))
    records: Records = {
        trial.name: {"result": {"accuracy": accuracies[trial.seed], "best_accuracy": accuracies[trial.seed]}}
        for trial in figure.trials(choice)
    }
    drawing, ax = pyplot.subplots()
    figure.draw(ax, *figure.chosen(choice), records)
    (band,) = ax.collections
    heights = band.get_paths()[0].vertices[:, 1]
    pyplot.close(drawing)
    assert heights.min() == pytest.approx(60 - half)
    assert heights.max() == pytest.approx(60 + half)
    assert figure.band == ("range" if name.startswith("synflow") else "standard deviation")


def test_neurons_by_sparsity_are_channels_where_there_are_convolutions() -> None:
    figure = FIGURES["frankle-5"]
    for pair, label in (("cifar10/resnet20", "convolution channels (%)"), ("mnist/lenet_300_100", "neurons (%)")):
        choice = Choice(pair=(pair,), seeds=1, methods=("magnitude",))
        result = {"neuron_sparsity": [0.5] * 101, "channel_sparsity": [0.25] * 101}
        records: Records = {trial.name: {"result": result} for trial in figure.trials(choice)}
        drawing, ax = pyplot.subplots()
        figure.draw(ax, *figure.chosen(choice), records)
        pyplot.close(drawing)
        assert ax.get_ylabel() == label
        assert set(ax.lines[0].get_ydata()) == {50.0 if "lenet" in pair else 25.0}
