"""The figures of the two papers."""

from benchmarks.figures.frankle import FIGURES as FRANKLE
from benchmarks.figures.panels import Figure
from benchmarks.figures.synflow import FIGURES as SYNFLOW

FIGURES: dict[str, Figure] = {figure.name: figure for figure in (*SYNFLOW, *FRANKLE)}
