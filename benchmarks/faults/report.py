"""The output of the commands in this folder: one row per kind of failure, and all violations."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.arguments import not_negative, positive
from benchmarks.origin import RESULTS, save

#: seeds of different ``--seed`` are apart
APART = 1_000_000


@dataclass
class Finding:
    """The outcome of a trial.

    Attributes:
        seed: which repeats it.
        kind: of failure.
        what: the trial in words.
        reached: whether the failure happened; where it did not, the trial does not count.
        state: how the model was left: "as it was", "as without the fault", or "changed".
        violations: what is not as it must be.
    """

    seed: int
    kind: str
    what: str
    reached: bool = True
    state: str = "as it was"
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The trial and its outcome, in two lines."""
        outcome = "; ".join(self.violations) or (self.state if self.reached else "not reached")
        return f"{self.seed}: {self.kind}: {self.what}\n    {outcome}"


def rows(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """For each kind, how many trials reached their failure and how many survived it."""
    found: dict[str, dict[str, Any]] = {}
    for finding in sorted(findings, key=lambda finding: finding.kind):
        row = found.setdefault(finding.kind, {"kind": finding.kind, "trials": 0, "survived": 0})
        row["trials"] += finding.reached
        row["survived"] += finding.reached and not finding.violations
    return list(found.values())


def complete(findings: Iterable[Finding]) -> dict[str, int]:
    """For each kind, how many models were left as an undisturbed call leaves them, if any were."""
    return dict(sorted(Counter(f.kind for f in findings if f.reached and f.state == "as without the fault").items()))


def table(findings: Sequence[Finding]) -> str:
    """The rows as text, with the number of trials that were drawn and of models that were left complete."""
    lines = [f"{'kind':<46}{'drawn':>8}{'reached':>9}{'survived':>10}{'complete':>10}"]
    done, drawn = complete(findings), Counter(finding.kind for finding in findings)
    for row in rows(findings):
        kind = row["kind"]
        lines.append(f"{kind:<46}{drawn[kind]:>8}{row['trials']:>9}{row['survived']:>10}{done.get(kind, 0):>10}")
    total = [sum(row[key] for row in rows(findings)) for key in ("trials", "survived")]
    return "\n".join([*lines, f"{'all':<46}{len(findings):>8}{total[0]:>9}{total[1]:>10}"])


def command(
    name: str,
    description: str,
    trial: Callable[[int], Finding],
    arguments: Sequence[str] | None = None,
    run: Callable[[Sequence[int]], Iterable[Finding]] | None = None,
) -> int:
    """Run trials, print the table and each violation with the seed that repeats it, and write the rows.

    Args:
        name: of the module below ``benchmarks.faults``.
        description: for ``--help``.
        trial: the trial of a seed.
        arguments: by default those of the process.
        run: the trials of many seeds, by default one after the other in this process.

    Returns:
        The exit status: 1 where something did not hold.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.faults.{name}", description=description)
    parser.add_argument("--trials", type=positive(int), default=200, help="number of trials (default 200)")
    parser.add_argument("--seed", type=not_negative(int), default=0, help="seed of all trials (default 0)")
    parser.add_argument(
        "--only",
        type=not_negative(int),
        metavar="SEED",
        help="run only the trial with this seed, as printed with a violation",
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "faults" / f"{name}.json")
    options = parser.parse_args(arguments)
    if options.only is not None:
        finding = trial(options.only)
        print(finding)
        return 1 if finding.violations else 0
    seeds = range(options.seed * APART, options.seed * APART + options.trials)
    findings: list[Finding] = []
    for finding in tqdm(
        map(trial, seeds) if run is None else run(seeds), name, len(seeds), disable=not sys.stderr.isatty()
    ):
        findings.append(finding)
        if finding.violations:
            print(finding, flush=True)
    print(table(findings))
    save(options.out, {"rows": rows(findings), "complete": complete(findings)}, parser.prog, arguments=arguments)
    return 1 if any(finding.violations for finding in findings) else 0
