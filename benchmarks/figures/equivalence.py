"""Paired tests of "no worse than" and "as good as": statements with a margin, not the absence of a difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from scipy import stats

from benchmarks.figures.panels import Records
from benchmarks.sweep.trial import Trial

LEVEL = 0.05  # of each one-sided test
MARGIN = 0.5  # points of accuracy


@dataclass(frozen=True)
class PairedTest:
    """Two one-sided t tests (TOST) of paired differences against a margin.

    Attributes:
        differences: one per seed, in points of accuracy.
        margin: the difference that counts as none, above 0.
        level: of each one-sided test; the interval then covers ``1 - 2 * level``.

    Source: Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach".

    Example:
        >>> test = PairedTest((0.1, -0.2, 0.0, 0.1, -0.1), margin=0.5)
        >>> test.verdict, [round(end, 2) for end in test.interval]
        ('as good', [-0.14, 0.1])
    """

    differences: tuple[float, ...]
    margin: float = MARGIN
    level: float = LEVEL

    @property
    def mean(self) -> float:
        """Of the differences."""
        return mean(self.differences)

    @property
    def interval(self) -> tuple[float, float]:
        """For the mean; without end on both sides where there are fewer than two differences."""
        if len(self.differences) < 2:
            return -math.inf, math.inf
        half = float(stats.t.ppf(1 - self.level, len(self.differences) - 1)) * self._error
        return self.mean - half, self.mean + half

    @property
    def p_no_worse(self) -> float:
        """The probability of such differences or higher ones if the true difference is ``-margin``."""
        return self._p(self.mean + self.margin)

    @property
    def p_no_better(self) -> float:
        """The probability of such differences or lower ones if the true difference is ``margin``."""
        return self._p(self.margin - self.mean)

    @property
    def verdict(self) -> str:
        """``as good``, ``no worse``, ``worse``, or ``undecided``: the seeds tell neither."""
        if self.p_no_worse <= self.level:
            return "as good" if self.p_no_better <= self.level else "no worse"
        return "worse" if self.interval[1] < -self.margin else "undecided"

    @property
    def _error(self) -> float:
        return stdev(self.differences) / math.sqrt(len(self.differences))

    def _p(self, above: float) -> float:
        if len(self.differences) < 2:
            return 1.0
        if not self._error:  # all alike: what they are is taken for the truth
            return float(above <= 0)
        return float(stats.t.sf(above / self._error, len(self.differences) - 1))


def paired(ours: Sequence[Trial], others: Sequence[Trial], records: Records, margin: float) -> PairedTest | None:
    """The test of the accuracies of trials less those of others of the same seeds; ``None`` without a pair."""
    by_seed = {trial.seed: records[trial.name]["result"]["accuracy"] for trial in others if trial.name in records}
    differences = [
        records[trial.name]["result"]["accuracy"] - by_seed[trial.seed]
        for trial in ours
        if trial.name in records and trial.seed in by_seed
    ]
    return PairedTest(tuple(differences), margin) if differences else None
