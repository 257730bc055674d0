"""The figures of the two papers, and some of our own."""

from benchmarks.figures.balanced import FIGURES as BALANCED
from benchmarks.figures.cost import FIGURES as COST
from benchmarks.figures.frankle import FIGURES as FRANKLE
from benchmarks.figures.harm import FIGURES as HARM
from benchmarks.figures.iterations import FIGURES as ITERATIONS
from benchmarks.figures.matching import FIGURES as MATCHING
from benchmarks.figures.panels import Figure
from benchmarks.figures.remaining import FIGURES as REMAINING
from benchmarks.figures.replications import FIGURES as REPLICATIONS
from benchmarks.figures.synflow import FIGURES as SYNFLOW
from benchmarks.sweep.trial import Trial

FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (*SYNFLOW, *ITERATIONS, *FRANKLE, *REMAINING, *REPLICATIONS, *HARM, *MATCHING, *COST, *BALANCED)
}


def first_with(trial: Trial) -> str:
    """The name of the first figure that has a trial with some choices, ``other`` if none has."""
    return next((figure.name for figure in FIGURES.values() if figure.has(trial)), "other")
