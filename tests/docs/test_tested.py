"""The tables of ablations against a margin, of matching sparsities, of costs, and of prune size over cut size."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from statistics import mean
from typing import Any

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("scipy")
pytest.importorskip("sklearn")
import measured
import numbers_of_results
import tested

from benchmarks.figures import FIGURES
from benchmarks.figures.cost import forward_flops
from benchmarks.sweep.options import choice_of, parser
from benchmarks.sweep.trial import Trial

Result = dict[str, Any]


def rows_of(name: str, result: Callable[[Trial], Result], seconds: float = 1.0) -> tuple[list[list[str]], str]:
    """A table of made-up results of all trials of its command."""
    given = vars(parser(FIGURES).parse_args(["plot", *shlex.split(tested.COMMANDS[name])]))
    origin = {"git": "abc", "seconds": {"training": seconds, "all": 9.0}}
    trials = FIGURES[given["figure"]].trials(choice_of(given))
    rows = [{"settings": trial.settings, "result": result(trial), "origin": origin} for trial in trials]
    rows, where = measured.TABLES[name][0]({"rows": rows})
    return rows, where


def test_highest_matching_sparsities_are_the_bisections() -> None:
    rows, where = rows_of("matching digits/vgg_small", lambda trial: {"accuracy": 90.0 - 10 * (trial.density < 0.5)})
    assert rows[1] == ["Random", "48.8 %", "48.8 %", "48.8 %", "72"]
    assert where == "within 2 points of unpruned; 3 seeds, 5 epochs; code of abc"


def test_costs_are_relative_to_unpruned_training() -> None:
    layers, _ = forward_flops("digits/vgg_small")

    def result(trial: Trial) -> Result:
        kept = [[name, int(1000 * trial.density), 1000] for name in layers]
        return {"accuracy": 98.0 if trial.density > 0.2 else 96.5, "layers": kept}

    rows, where = rows_of("cost digits/vgg_small", result)
    assert rows[1][:3] == ["Random", "3", "98.0"]
    assert 0.3 <= float(rows[1][3]) < 0.4
    assert rows[1][4:] == ["1.00", "0.5"]
    assert rows[2][-1] == "2"
    assert [row[4] for row in rows if row[0] == "Magnitude after training"] == [""] * 3  # its training is remembered
    assert where.startswith("unpruned: 98.0 %")


def test_prune_sizes_are_greatest_ratios_with_empty_layers() -> None:
    rows, _ = rows_of(
        "synflow-8 digits/vgg_small",
        lambda trial: {
            "prune_sizes": [1.0, 3.0], "cut_sizes": [2.0, 2.0], "empty_layers": ["a"] * (trial.density < 0.002)
        },
    )  # fmt: skip
    assert [row[:2] for row in rows[1:]] == [[s, n] for s in ("linear", "exponential") for n in ("1", "10", "20")]
    assert rows[1][2:] == [*["1.50"] * 5, "1.50 (1 empty)"]


def test_the_bullets_on_ablations_agree_with_the_verdicts() -> None:
    """What ``reproduced_ablations`` says in sentences, by the percentages of weights that are pruned."""
    make, name = measured.TABLES["harm mnist/lenet_300_100"]
    lines = [line for path in sorted(measured.RESULTS.glob(name)) for line in path.read_text().splitlines()]
    (_, *pruned), *rows = make({"rows": [json.loads(line) for line in lines]})[0]
    assert pruned == ["48.8 %", "73.8 %", "86.6 %", "93.1 %", "96.5 %", "98.2 %", "99.1 %"]
    letters = {"as good": "g", "no worse": "n", "undecided": "u", "worse": "w"}
    verdicts = {label: "".join(letters[cell.split(" (")[0]] for cell in cells) for label, *cells in rows}
    assert verdicts == {
        "Magnitude, shuffled": "gguwwuu",
        "Magnitude, reinitialised": "gguwwww",
        "SNIP, shuffled": "gguwwww",
        "SNIP, reinitialised": "gggguuu",
        "GraSP, shuffled": "nnnuwww",
        "GraSP, reinitialised": "nnnnuuw",
        "SynFlow, shuffled": "gggwwww",
        "SynFlow, reinitialised": "gguuuuu",
        "Magnitude after training, shuffled": "guwwwww",
        "Magnitude after training, reinitialised": "uuwwwww",
    }


def test_the_section_on_optimal_brain_damage_agrees_with_the_trials() -> None:
    """The differences from magnitude of each seed, after training and at initialisation, at the page's sparsities."""
    kept = (0.512, 0.262144, 0.134217728, 0.068719476736, 0.035184372, 0.018014399, 0.009223372)

    def accuracies(method: str, epoch: int, density: float) -> list[float]:
        where = f"pair=mnist/lenet_300_100 method={method} ablation=none prune_epoch={epoch} epochs=4 density={density}"
        return numbers_of_results.values(f"trials measure=accuracy {where}; accuracy")

    def ahead(method: str, other: str, epoch: int, density: float) -> list[bool]:
        pairs = zip(accuracies(method, epoch, density), accuracies(other, epoch, density), strict=True)
        return [ours > theirs for ours, theirs in pairs]

    assert [all(ahead("damage", "magnitude", 4, density)) for density in kept] == [False] * 3 + [True] * 4
    assert not any(all(ahead("magnitude", "damage", 4, density)) for density in kept)
    assert all(all(ahead("damage", "magnitude", 0, density)) for density in kept)
    for other in ("snip", "synflow"):
        means = [mean(accuracies(other, 0, density)) > mean(accuracies("damage", 0, density)) for density in kept]
        assert means[-2:] == [True, True]
