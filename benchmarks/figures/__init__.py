"""The figures of the two papers, and two of our own."""

from benchmarks.figures.balanced import FIGURES as BALANCED
from benchmarks.figures.frankle import FIGURES as FRANKLE
from benchmarks.figures.panels import Figure
from benchmarks.figures.synflow import FIGURES as SYNFLOW
from benchmarks.sweep.trial import Trial

FIGURES: dict[str, Figure] = {figure.name: figure for figure in (*SYNFLOW, *FRANKLE, *BALANCED)}


def first_with(trial: Trial) -> str:
    """The name of the first figure that has a trial with some choices, ``other`` if none has."""
    return next((figure.name for figure in FIGURES.values() if figure.has(trial)), "other")
