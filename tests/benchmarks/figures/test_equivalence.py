"""Equivalence tests and the bisection, on curves whose answer is known in closed form."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("scipy")
pytest.importorskip("matplotlib")

from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot
from scipy import stats

from benchmarks.figures import FIGURES, harm, matching
from benchmarks.figures.equivalence import LEVEL, PairedTest, paired
from benchmarks.figures.panels import Panel, Records
from benchmarks.sweep.choice import Choice

NOISE = (-0.2, -0.1, 0.0, 0.1, 0.2)  # of five seeds: mean 0, standard deviation 0.1581


def test_p_values_are_those_of_scipys_one_sided_tests() -> None:
    differences = (0.3, -0.4, 0.1, -0.2, 0.05)
    test = PairedTest(differences, margin=0.5)
    assert test.p_no_worse == pytest.approx(stats.ttest_1samp(differences, -0.5, alternative="greater").pvalue)
    assert test.p_no_better == pytest.approx(stats.ttest_1samp(differences, 0.5, alternative="less").pvalue)
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(1 - 2 * LEVEL)
    assert test.interval == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [((0.0, 0.1, -0.1), "as good"), ((1.0, 1.1, 0.9), "no worse"), ((-2.0, -2.1, -1.9), "worse"),
     ((-2.0, 2.0, 0.0), "undecided"), ((0.0,), "undecided"), ((0.2, 0.2), "as good"), ((-0.5, -0.5), "undecided"),
     ((-0.6, -0.6), "worse")],
)  # fmt: skip
def test_a_verdict_is_a_statement_or_undecided(differences: tuple[float, ...], verdict: str) -> None:
    assert PairedTest(differences, margin=0.5).verdict == verdict


@settings(deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=2, max_size=8), st.floats(0.1, 2))
def test_the_interval_and_the_tests_agree(differences: list[float], margin: float) -> None:
    test = PairedTest(tuple(differences), margin)
    low, high = test.interval
    if abs(low + margin) > 1e-9:
        assert (test.p_no_worse <= LEVEL) == (low > -margin)
    if abs(high - margin) > 1e-9:
        assert (test.p_no_better <= LEVEL) == (high < margin)


@given(st.integers(0, 40), st.integers(0, 40))
def test_bisection_finds_the_last_place_and_looks_at_few(last: int, answer: int) -> None:
    answer = min(answer, last)
    asked: list[int] = []
    found = matching.bracket(lambda place: (asked.append(place), place <= answer)[1], last)
    assert found == (answer, answer + 1, None)
    assert len(asked) <= math.ceil(math.log2(last + 2))
    assert 0 not in asked


def curve(panel: Panel, accuracy: Any, only: set[str] | None = None) -> Records:
    """Records of all trials of a panel by a function of density and seed, with the schedule of no training."""
    return {
        trial.name: {"result": {"accuracy": accuracy(trial.density, trial.seed)}}
        for trial in panel.trials()
        if only is None or trial.name in only
    }


def panel_of(**choice: Any) -> Panel:
    settings: dict[str, Any] = {"pair": ("digits/vgg_small",), "seeds": 5, "methods": ("random",), "margin": 0.5}
    (panel,) = FIGURES["matching"].chosen(Choice(**{**settings, **choice}))
    return panel


def falling(density: float, seed: int) -> float:
    """Loses a point for each halving of the weights, and the noise of its seed where it is pruned."""
    return 90.0 if density == 1 else 90 + math.log2(density) + NOISE[seed]


def test_the_highest_matching_sparsity_is_that_of_the_closed_form() -> None:
    panel = panel_of()
    (line,) = panel.lines
    found = matching.matching(line, curve(panel, falling), 0.5)
    half = float(stats.t.ppf(0.95, 4)) * math.sqrt(0.1 / 4) / math.sqrt(5)  # of the 90 % interval
    # matches by means while log2(density) >= -0.5; proven with the interval's half above, not refuted with it below
    for density, end in ((found.likely, -0.5), (found.proven, -0.5 + half), (found.possible, -0.5 - half)):
        grid = [d for d in matching.FINE if math.log2(d) >= end]
        assert density == min(grid)
    assert found.wanted == ()
    assert str(found) == "28.4 % pruned [20.0, 36.0]"


def test_a_line_that_always_or_never_matches_is_at_an_end_of_the_grid() -> None:
    panel = panel_of(densities=(0.5, 0.1))
    (line,) = panel.lines
    always = matching.matching(line, curve(panel, lambda d, s: 90 + NOISE[s]), 0.5)
    never = matching.matching(line, curve(panel, lambda d, s: 90.0 if d == 1 else 50 + NOISE[s]), 0.5)
    assert (always.proven, always.likely, always.possible) == (0.1, 0.1, 0.1)
    assert (never.proven, never.likely, never.possible) == (1.0, 1.0, 1.0)


def test_the_search_asks_for_few_trials_and_goes_on_from_what_is_there() -> None:
    panel = panel_of()
    whole, records, rounds = curve(panel, falling), dict[str, Any](), 0
    while trials := matching.proposed([panel], records):
        assert {t.seed for t in trials} == set(range(5))  # all seeds of a density, or none
        records |= {trial.name: whole[trial.name] for trial in trials}
        rounds += 1
        assert rounds < 20
    assert matching.matching(panel.lines[0], records, 0.5) == matching.matching(panel.lines[0], whole, 0.5)
    assert len(records) < len(whole) / 5
    part = dict(list(records.items())[:10])
    assert {t.name for t in matching.proposed([panel], part)} <= {t.name for t in panel.trials()} - part.keys()


def test_the_budget_ends_the_search_with_a_wider_interval() -> None:
    panel = panel_of(budget=20)
    whole, records = curve(panel, falling), dict[str, Any]()
    while trials := matching.proposed([panel], records):
        records |= {trial.name: whole[trial.name] for trial in trials}
    assert len(records) <= 20
    found, full = (matching.matching(panel.lines[0], r, 0.5) for r in (records, whole))
    assert found.proven >= full.proven
    assert found.possible <= full.possible
    assert str(found).endswith("so far")


def test_missing_seeds_decide_nothing() -> None:
    panel = panel_of(densities=(0.5,))
    every = [trial.name for trial in panel.trials()]
    found = matching.matching(panel.lines[0], curve(panel, falling, set(every[:-1])), 0.5)
    assert found.wanted == (0.5,)


def harm_panel() -> Panel:
    choice = Choice(pair=("digits/vgg_small",), seeds=5, methods=("snip",), densities=(0.5, 0.1), margin=0.5)
    (panel,) = FIGURES["harm"].chosen(choice)
    return panel


def test_harm_is_of_pairs_of_seeds() -> None:
    """Seeds differ by far more than the ablation does: unpaired, nothing could be said."""
    panel = harm_panel()
    records = {}
    for line in panel.lines:
        for density, trials in line.points:
            for trial in trials:
                harmless = 0.0 if trial.ablation in ("none", "shuffle") else -3.0
                noise = NOISE[trial.seed] if trial.ablation != "none" else 0.0
                records[trial.name] = {"result": {"accuracy": 50 + 10 * trial.seed + harmless + noise}}
                assert density == trial.density
    verdicts = {line.label: {test.verdict for _, test in tests} for line, tests in harm.tests_of(panel, records)}
    assert len(verdicts) == 6
    assert verdicts.pop("shuffled") == {"as good"}
    assert all(found == {"worse"} for found in verdicts.values())
    text = harm.text([panel], records)
    assert text.count("worse within 0.5 (5 seeds)") == 10
    plain, shuffled = (line.points[0][1] for line in panel.lines[:2])
    assert paired(shuffled, plain, {}, 0.5) is None


def test_intervals_are_drawn_and_said() -> None:
    panel = panel_of(methods=("random", "snip"))
    records = curve(panel, falling)
    drawing, ax = pyplot.subplots()
    matching.draw(ax, panel, records)
    pyplot.close(drawing)
    assert [text.get_text() for text in ax.texts] == ["28.4 % pruned [20.0, 36.0]"] * 2
    assert matching.text([panel], records).count("28.4 % pruned") == 2
