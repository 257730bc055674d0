"""Every figure has the paper's trials, and can be run and drawn on the digits."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from matplotlib import pyplot
from matplotlib.transforms import Bbox

from benchmarks.figures import FIGURES
from benchmarks.figures.axes import shade
from benchmarks.figures.panels import Records
from benchmarks.figures.picture import STYLE, Reference, picture
from benchmarks.sweep.choice import Choice
from benchmarks.sweep.executors import InProcess
from benchmarks.sweep.methods import LATER, METHODS
from benchmarks.sweep.run import run
from benchmarks.sweep.store import Store
from benchmarks.sweep.trial import Trial
from benchmarks.training.datasets import Source
from benchmarks.training.kinds import KINDS


def test_figure_6_is_the_papers_sweep() -> None:
    """Section 7 of Tanaka et al.: 12 pairs, 5 methods, 17 ratios, 3 runs; unpruned, the methods are one."""
    trials = FIGURES["synflow-6"].trials(Choice())
    assert len(trials) == 12 * 3 * (5 * 16 + 1)
    assert {trial.method for trial in trials} == {"none", "random", "magnitude", "snip", "grasp", "synflow"}
    assert len({trial.density for trial in trials}) == 17
    assert min(trial.density for trial in trials) == pytest.approx(1e-4)
    assert {t.iterations for t in trials if t.method == "synflow"} == {100}
    assert {t.examples for t in trials if t.method in ("snip", "grasp")} == {10}
    assert [trial.seed for trial in trials] == sorted(trial.seed for trial in trials)


def test_frankles_figures_have_the_papers_sparsities_and_seeds() -> None:
    trials = FIGURES["frankle-3"].trials(Choice())
    percent = sorted({round(100 - 100 * trial.density, 1) for trial in trials})
    assert percent[:7] == [0, 20, 36, 48.8, 59, 67.2, 73.8]  # the axes of the figures, to rounding
    assert percent[-1] == 98.2
    assert {t.seed for t in trials if t.dataset == "cifar10"} == set(range(5))
    assert {t.seed for t in trials if t.dataset == "imagenet"} == set(range(3))
    assert {t.prune_epoch for t in trials if t.pair == "cifar10/resnet20"} == {0, 160}


@pytest.mark.parametrize("name", FIGURES)
def test_trials_are_distinct_and_share_what_is_the_same(name: str) -> None:
    trials = FIGURES[name].trials(Choice())
    assert trials
    assert len({trial.name for trial in trials}) == len(trials)
    assert all(trial == trial.canonical() for trial in trials)
    assert all(trial.dataset in KINDS for trial in trials)


def test_figures_share_trials() -> None:
    names = {name: {trial.name for trial in FIGURES[name].trials(Choice())} for name in FIGURES}
    assert names["frankle-11"] & names["frankle-3"]
    assert names["frankle-8"] - names["frankle-3"]
    grasp = {t.name for t in FIGURES["frankle-13"].trials(Choice()) if t.ablation == "none" and t.method == "grasp"}
    assert grasp < names["frankle-4"]


def test_a_scaled_schedule_scales_when_networks_are_pruned_and_rewound() -> None:
    short = FIGURES["frankle-8"].trials(Choice(pair=("cifar10/vgg16_bn",), seeds=1, epochs_scale=0.1))
    ticket = next(trial for trial in short if trial.rewind_epoch is not None)
    assert (ticket.recipe.epochs, ticket.prune_epoch) == (16, 16)
    assert ticket.rewind_epoch == pytest.approx(2000 / 391 / 10)


def test_each_method_is_in_a_figure_that_names_it() -> None:
    compared = [FIGURES[name] for name in ("balanced", "synflow-3", "synflow-7", "frankle-13")]
    for name in METHODS:
        assert any(t.method == name for figure in compared for t in figure.trials(Choice(seeds=1, methods=(name,)))), (
            name
        )


def test_a_method_has_one_colour_everywhere() -> None:
    colours: dict[str, set[str]] = {}
    for figure in FIGURES.values():
        if figure.name == "synflow-5a":  # one method in shades of its colour
            continue
        if figure.name.startswith("frankle-table"):  # lines are networks, in the colour of the table's method
            continue
        for panel in figure.chosen(Choice(seeds=1)):
            for line in panel.lines:
                colours.setdefault(line.label, set()).add(line.colour)
    assert all(len(found) == 1 for found in colours.values())
    assert len({method.colour for method in METHODS.values()}) == len(METHODS)
    assert shade("#804020", 1) == "#804020"


def test_methods_of_other_papers_are_shown_where_they_are_named_alone() -> None:
    for name in ("synflow-1", "synflow-2", "synflow-3", "synflow-6", "frankle-3", "frankle-5", "frankle-15"):
        figure = FIGURES[name]
        usual = figure.trials(Choice(seeds=1))
        assert not {trial.method for trial in usual} & set(LATER)
        named = figure.trials(Choice(seeds=1, methods=(*METHODS,)))
        assert {t.name for t in usual} < {t.name for t in named}
        assert {t.method for t in named} - {t.method for t in usual} == set(LATER)
        (force, *others) = {t.method for t in figure.trials(Choice(seeds=1, methods=("force",)))} - {"none"}
        assert (force, others) == ("force", [])
    cycles = FIGURES["synflow-5a"].trials(Choice(seeds=1, methods=(*METHODS,)))
    assert {t.method for t in cycles} == {"none", "magnitude"}


@pytest.mark.parametrize("name", ["synflow-1", "frankle-3", "frankle-5"])
def test_force_is_run_and_drawn_where_it_is_named(name: str, tmp_path: Path) -> None:
    text = drawn(name, tmp_path, methods=("force",), densities=(0.1,)).read_text()
    assert METHODS["force"].colour.lower() in text.lower()


def drawn(name: str, folder: Path, **settings: Any) -> Path:
    figure = FIGURES[name]
    plain = Choice(pair=("digits/vgg_small",), seeds=1, epochs_scale=0.1, iterations=3, examples=3)
    choice = replace(plain, **settings)
    trials, store = figure.trials(choice), Store(folder)
    summary = run(trials, store, InProcess(Source(), "cpu", torch.get_num_threads()), bar=False)
    assert not summary.failed, summary
    records = store.records(trials)
    assert len(records) == len(trials)
    path = folder / f"{name}.svg"
    picture(
        figure.chosen(choice), records, figure.draw, title=name, caption="a\nb", columns=figure.columns, path=path
    )  # fmt: skip
    return path


QUICK = ("synflow-1", "synflow-2", "synflow-3", "synflow-4", "synflow-5b", "frankle-5", "frankle-15")


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in FIGURES])
def test_every_figure_runs_and_draws_on_the_digits(name: str, tmp_path: Path) -> None:
    one_density = name in ("frankle-5", "frankle-6", "frankle-10", "frankle-15")
    settings: dict[str, Any] = {"densities": (0.1,) if one_density else (1.0, 0.3, 0.02)}
    if name in ("synflow-3", "synflow-4"):
        settings = {}
    path = drawn(name, tmp_path, **settings)
    text = path.read_text()
    assert text.count("<path") > 10
    labels = [line.label for panel in FIGURES[name].chosen(Choice(seeds=1)) for line in panel.lines]
    first = path.read_bytes()
    assert labels
    assert drawn(name, tmp_path, **settings).read_bytes() == first  # nothing in a picture changes with the time


def test_a_picture_is_drawn_of_what_is_there(tmp_path: Path) -> None:
    figure = FIGURES["frankle-16"]
    choice = Choice(pair=("digits/vgg_small",), seeds=1, densities=(0.5, 0.1), methods=("magnitude",))
    trials, store = figure.trials(choice), Store(tmp_path)
    run(trials[:2], store, InProcess(Source(), "cpu", torch.get_num_threads()), bar=False)
    path = tmp_path / "part.png"
    picture(
        figure.chosen(choice), store.records(trials), figure.draw, title="t", caption="c", columns=1, path=path
    )  # fmt: skip
    assert path.stat().st_size > 5000


@pytest.mark.parametrize(("pairs", "columns"), [(1, 1), (1, 3), (6, 1)])
def test_title_and_caption_fit_around_the_panels(pairs: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = FIGURES["frankle-15"]
    choice = Choice(pair=("digits/vgg_small",) * pairs, seeds=1, densities=(0.1,))
    drawings: list[Any] = []
    monkeypatch.setattr("benchmarks.figures.picture.save", lambda drawing, _: drawings.append(drawing))
    panels = figure.chosen(choice)
    picture(panels, {}, figure.draw, title="above", caption="wide " * 60, columns=columns, path=Path("none.png"))
    (drawing,) = drawings
    title = next(text for text in drawing.texts if text.get_text() == "above").get_window_extent()
    assert len(panels) == pairs
    assert title.y1 <= drawing.bbox.y1
    assert all(text.get_window_extent().x1 <= drawing.bbox.x1 for text in drawing.texts)
    assert all(ax.title.get_window_extent().y1 < title.y0 for ax in drawing.axes)


@pytest.mark.parametrize(
    ("name", "legend", "said"),
    [("synflow-2", {"compression $10^{0.5}$", "compression $10^{2}$"}, []),
     ("synflow-3", {"incoming = outgoing"}, ["median difference\n75 %"]), ("synflow-4", {"slope 1"}, ["slope 2.00"])],
)  # fmt: skip
def test_lines_that_are_no_method_are_named_and_numbers_said(name: str, legend: set[str], said: list[str]) -> None:
    figure = FIGURES[name]
    densities = (10**-0.5, 10**-1, 10**-2) if name == "synflow-2" else None
    choice = Choice(pair=("digits/vgg_small",), seeds=1, densities=densities, methods=("synflow",))
    result: dict[str, Any] = {"into": [1.0, 2.0], "out": [2.0, -0.0], "empty_layers": []}
    result["layers"] = [[10, 4.0], [20, -1.0]]
    if name == "synflow-2":
        result["layers"] = [["a", 5, 10], ["b", 1, 20]]
    records: Records = {trial.name: {"result": result} for trial in figure.trials(choice)}
    drawing, ax = pyplot.subplots()
    figure.draw(ax, *figure.chosen(choice), records)
    pyplot.close(drawing)
    assert set(ax.get_legend_handles_labels()[1]) == legend
    assert [text.get_text() for text in ax.texts] == said


def overlaps(boxes: list[Bbox]) -> int:
    """How many neighbours among boxes overlap."""
    boxes = sorted(boxes, key=lambda box: box.x0)
    return sum(left.x1 > right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize(
    "densities",
    [(0.8**6, 0.8**18), (0.8**12, 0.8**18), (0.5, 0.4), tuple(0.8**n for n in range(1, 19)), (0.1, 0.0002)],
)
def test_the_numbers_below_effective_parameters_do_not_overlap(densities: tuple[float, ...]) -> None:
    figure = FIGURES["frankle-16"]
    choice = Choice(pair=("digits/vgg_small",), seeds=1, densities=densities, methods=("magnitude",))
    records: Records = {trial.name: {"result": {"effective": 10}} for trial in figure.trials(choice)}
    with pyplot.rc_context(STYLE):
        drawing, ax = pyplot.subplots(figsize=(4.6, 3.2))
        figure.draw(ax, *figure.chosen(choice), records)
        drawing.canvas.draw()
        labels = [label.get_window_extent() for label in ax.get_xticklabels(which="both") if label.get_text()]
        left, right = ax.bbox.x0 - 1, ax.bbox.x1 + 1
        pyplot.close(drawing)
    boxes = [box for box in labels if left <= (box.x0 + box.x1) / 2 <= right]
    assert len(boxes) > 1
    assert not overlaps(boxes)


def test_the_authors_accuracies_are_read_from_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "reference.csv"
    path.write_text(
        "dataset,model,method,log10_compression,top1_run1,top1_run2\ncifar10,vgg16_bn,snip,0.5,90,92\n"
        "cifar10,vgg16_bn,snip,0.0,94,\n"
    )
    reference = Reference(path)
    assert reference.points["cifar10/vgg16_bn", "SNIP"] == [(0.5, [90.0, 92.0]), (0.0, [94.0])]
    assert reference.has("cifar10/vgg16_bn")
    assert not reference.has("cifar10/resnet18")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="--reference: expected a CSV with columns dataset, model"):
        Reference(path)


def test_recipes_of_panels_are_those_of_their_trials() -> None:
    for panel in FIGURES["synflow-6"].chosen(Choice(seeds=1, epochs_scale=0.5)):
        trials: list[Trial] = list(panel.trials())
        assert {str(trial.recipe) for trial in trials} == {panel.note["recipe"]}
