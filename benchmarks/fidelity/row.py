"""One statement of a paper, the trials that measure it, and the difference of the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from benchmarks.sweep.trial import Trial

Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A number that a paper states.

    Attributes:
        name: its place, from the general to the special, with slashes between.
        what: what is counted, on which network.
        source: paper and section.
        paper: what the paper says, as text.
        low, high: the same as an interval; of one number for most.
        value: ours, of the results of the trials of one seed.
        trials: of seed 0; none for what needs no trial.
        needs: what a result must count; one from before that is made again.
        bound: the greatest difference that is agreement; ``None`` where none was set.
        detail: more of the results of one seed, in words.
    """

    name: str
    what: str
    source: str
    paper: str
    low: float
    high: float
    value: Callable[..., float]
    trials: tuple[Trial, ...] = ()
    needs: frozenset[str] = frozenset()
    bound: float | None = None
    detail: Callable[..., str] | None = None

    def of_seeds(self, seeds: int) -> list[tuple[Trial, ...]]:
        """The trials of each seed."""
        return [
            tuple(replace(trial, seed=seed) for trial in self.trials) for seed in range(seeds if self.trials else 1)
        ]

    def outcome(self, results: Sequence[Sequence[Result]]) -> dict[str, Any]:
        """Our value and the paper's as plain JSON: the mean over the seeds, and its distance from the paper's value."""
        values = [float(self.value(*of_seed)) for of_seed in results]
        ours = mean(values)
        difference = ours - min(max(ours, self.low), self.high)
        return {
            "name": self.name, "what": self.what, "source": self.source, "paper": self.paper, "ours": ours,
            "range": [min(values), max(values)], "seeds": len(values) if self.trials else None,
            "difference": difference, "bound": self.bound,
            "met": None if self.bound is None else abs(difference) <= self.bound,
            "detail": self.detail(*results[0]) if self.detail else None,
        }  # fmt: skip


def line(outcome: dict[str, Any]) -> str:
    """A row of the table: paper, ours, difference, bound, and what it is."""
    verdict = {None: "no bound", True: "met", False: "NOT MET"}[outcome["met"]]
    bound = "" if outcome["bound"] is None else f"{outcome['bound']:g}"
    low, high = outcome["range"]
    spread = f" [{number(low)}, {number(high)}]" if low != high else ""
    text = (
        f"{outcome['name']:<38}{outcome['paper']:>12}{number(outcome['ours']):>10}{number(outcome['difference']):>10}"
        f"{bound:>8}  {verdict:<8}  {outcome['what']} ({outcome['source']}){spread}"
    )
    return text + (f"\n{'':<38}{outcome['detail']}" if outcome["detail"] else "")


def number(value: float) -> str:
    """Short, and exact enough for what is compared: ratios near 1 to four places, tiny errors as powers of ten."""
    if value and abs(value) < 1e-5:
        return f"{value:.1e}"
    return f"{round(value, 4) + 0.0:.4f}" if abs(value) < 2 else f"{value:.2f}"  # + 0.0: not -0.0000


HEADER = f"{'row':<38}{'paper':>12}{'ours':>10}{'diff.':>10}{'bound':>8}  {'':<8}  what, and where the paper says it"
