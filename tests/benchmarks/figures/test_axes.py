"""The ticks of the axes of accuracies."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib")

from matplotlib import pyplot

from benchmarks.figures.axes import accuracy_axis


@pytest.mark.parametrize(
    ("accuracies", "ticks"), [((10.0, 50.0), [10, 20, 30, 40, 50, 60]), ((27.0, 48.0), [30, 40, 50, 60])]
)
def test_low_accuracies_have_ticks_at_all_multiples_of_ten(accuracies: tuple[float, ...], ticks: list[int]) -> None:
    figure, ax = pyplot.subplots()
    ax.plot([1, 2], accuracies)
    accuracy_axis(ax, "accuracy (%)")
    shown = sorted(float(label.get_text()) for label in ax.get_yticklabels())
    pyplot.close(figure)
    assert shown == ticks
