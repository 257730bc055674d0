"""Methods of other papers, which are named on the command line, in every figure that compares methods."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("matplotlib")

from benchmarks.figures import FIGURES
from benchmarks.figures.panels import Line
from benchmarks.sweep.choice import Choice
from benchmarks.sweep.methods import LATER, METHODS
from benchmarks.sweep.trial import Trial

#: in both, the lines of panels are methods, or the panels are
SHOWN = (
    "frankle-1", "frankle-3", "frankle-4", "frankle-5", "frankle-6", "frankle-7", "frankle-8", "frankle-9",
    "frankle-10", "frankle-11", "frankle-12", "frankle-13", "frankle-14", "frankle-15", "frankle-16", "matching",
    "cost", "harm",
)  # fmt: skip
#: where magnitude pruning after training is
AFTER_TRAINING = (
    "frankle-1", "frankle-3", "frankle-4", "frankle-8", "frankle-9", "frankle-14", "frankle-15", "matching", "cost",
    "harm",
)  # fmt: skip


def choice(*methods: str, pair: str = "cifar10/resnet20") -> Choice:
    return Choice(pair=(pair,), seeds=1, methods=methods or None)


def ablated(trial: Trial) -> bool:
    return trial.ablation != "none" or trial.recipe.initialisation == "variance_one"


@pytest.mark.parametrize("name", SHOWN)
def test_named_methods_are_shown_and_change_nothing_else(name: str) -> None:
    figure = FIGURES[name]
    usual = {trial.name for trial in figure.trials(choice())}
    every = figure.trials(choice(*METHODS))
    assert not {trial.method for trial in figure.trials(choice())} & set(LATER)
    assert usual < {trial.name for trial in every}
    assert {trial.method for trial in every if trial.name not in usual} == set(LATER)
    for method in ("damage", "iterative_grasp", "grasp_it", "force"):
        trials = figure.trials(choice(method))
        assert {trial.method for trial in trials} - {"none"} == {method}
        assert all(figure.has(trial) for trial in trials[:3])


@pytest.mark.parametrize("name", SHOWN)
def test_optimal_brain_damage_is_after_training_where_magnitude_is(name: str) -> None:
    def epochs(method: str, keep: Callable[[Trial], bool] = lambda _: True) -> set[float]:
        return {t.prune_epoch for t in FIGURES[name].trials(choice(method)) if t.method == method and keep(t)}

    if name in AFTER_TRAINING:
        assert 160.0 in epochs("magnitude")
        assert 160.0 in epochs("damage")
        assert 160.0 not in epochs("force") or name == "frankle-9"
    elif name not in ("frankle-6", "frankle-10"):
        assert epochs("damage") == {0.0}
    if name in ("frankle-6", "frankle-10"):  # against the time of pruning, to the end of training
        assert len(epochs("damage")) == 13
        assert epochs("damage") == epochs("synflow")


def test_named_methods_are_ablated_as_the_papers_are() -> None:
    for name in ("frankle-4", "frankle-9", "frankle-10", "frankle-12", "frankle-16", "harm"):
        ablations = {
            method: {trial.ablation for trial in FIGURES[name].trials(choice(method)) if trial.method == method}
            for method in ("snip", "damage")
        }
        assert ablations["damage"] == ablations["snip"]
    for pair in ("digits/vgg_small", "mnist/lenet_300_100"):
        titles = [panel.title.split("\n")[0] for panel in FIGURES["frankle-4"].chosen(choice("damage", pair=pair))]
        assert titles == ["Optimal Brain Damage", "Optimal Brain Damage after training"]


@pytest.mark.parametrize("name", [name for name in SHOWN if name != "frankle-16"])  # which draws ratios of two lines
def test_no_two_lines_of_a_panel_look_the_same(name: str) -> None:
    def look(line: Line) -> tuple[str, str, str]:
        return line.colour, line.marker, line.dash

    for panel in FIGURES[name].chosen(choice(*METHODS)):
        assert len({look(line) for line in panel.lines}) == len(panel.lines)
