"""``:measured:`FILE where; what; format```: one number in a sentence, read from ``benchmarks/results`` at build time.

``FILE`` is a JSON file with ``rows``, or a folder of results of sweeps, such as ``trials``. ``where`` are words
``key=value`` that rows must have: settings of a trial, or of its recipe. ``what`` is a key of the row, or of a trial's
result, or one of ``DERIVED``, or ``kept of`` a layer. What is shown is the mean over the rows, a share as
``what percent`` in percent. ``format`` is Python's. Two such, each ``FILE where; what``, with ``minus`` or ``over``
between them, give a difference or a ratio.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from statistics import linear_regression, mean, median
from typing import Any

from docutils import nodes
from sphinx.errors import ExtensionError

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
Row = dict[str, Any]


def _apart(result: Row) -> float:
    """The median difference of the sums of scores into and out of units, in percent of the larger sum."""
    pairs = zip(result["into"], result["out"], strict=True)
    return 100 * median(abs(a - b) / max(abs(a), abs(b)) for a, b in pairs if a or b)


def _slope(result: Row) -> float:
    """The slope of the log average score of a layer against the log of one over its size."""
    points = [(math.log(1 / size), math.log(abs(score))) for size, score in result["layers"] if score]
    return linear_regression([x for x, _ in points], [y for _, y in points]).slope


def _kept_of_last(result: Row) -> float:
    return float(result["layers"][-1][1])


#: what is computed of a result: the name of it and how
DERIVED: dict[str, Callable[[Row], float]] = {
    "apart": _apart,
    "slope": _slope,
    "kept of the last layer": _kept_of_last,
    "channels pruned whole": lambda result: 100 * result["collapsed_channels"] / result["channels"],
    "on a path": lambda result: 100 * result["effective"] / result["kept"],
    "on no path": lambda result: 100 - 100 * result["effective"] / result["kept"],
    "sparse FLOPs": lambda result: 100 * result["sparse_flops"] / result["flops"],
    "empty at 0.1": lambda result: result["empty_at"]["0.1"],
    "empty layers": lambda result: len(result["empty_layers"]),
    "layers left": lambda result: len(result["layers"]) - len(result["empty_layers"]),
}


@lru_cache(maxsize=8)
def _rows(file: str, results: Path) -> tuple[Row, ...]:
    if not (results / file).is_dir():
        found = json.loads((results / f"{file}.json").read_text())
        return tuple(found["rows"])
    paths = [*results.glob(f"{file}/*.jsonl"), *results.glob(f"{file}/*.json")]
    records = [json.loads(line) for path in sorted(paths) for line in path.read_text().splitlines()]
    rows = ({**r["settings"]["recipe"], **r["settings"], "result": r["result"]} for r in records)
    return tuple({**row, "pair": f"{row['dataset']}/{row['network']}"} for row in rows)


def _same(value: Any, wanted: str) -> bool:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return math.isclose(value, float(wanted), rel_tol=1e-6)
        except ValueError:
            return False
    return str(value) == wanted


def _matching(file: str, where: dict[str, str], results: Path) -> Iterator[Row]:
    for row in _rows(file, results):
        if all(key in row and _same(row[key], wanted) for key, wanted in where.items()):
            yield row


def shown(expression: str, results: Path = RESULTS) -> str:
    """The text of a number.

    Raises:
        ValueError: if the expression is none, or no row has what it says.
    """
    body, _, form = expression.rpartition(";")
    first, word, second = re.split(r" (minus|over) ", body, maxsplit=1) if _TWO.search(body) else (body, "", "")
    value = mean(values(first, results))
    if word == "minus":
        value -= mean(values(second, results))
    elif word == "over":
        value /= mean(values(second, results))
    text = format(value, form.strip())
    return text.replace("-", "") if text.startswith("-") and not float(text) else text  # not -0.00


_TWO = re.compile(r" (minus|over) ")


def values(expression: str, results: Path = RESULTS) -> list[float]:
    """What an expression says without a format, of each row, by seed."""
    try:
        select, what = (part.strip() for part in expression.split(";"))
        file, *words = select.split()
        where = dict(word.split("=", 1) for word in words)
    except ValueError:
        raise ValueError(f"expected FILE key=value ...; what; format, got {expression!r}") from None
    rows = list(_matching(file, where, results))
    if not rows:
        raise ValueError(f"no row of benchmarks/results/{file} has {' '.join(words) or 'anything'}")
    return [_value(row, what) for row in sorted(rows, key=lambda row: row.get("seed", 0))]


def _value(row: Row, what: str) -> float:
    result = row.get("result", row)
    if what in DERIVED:
        return DERIVED[what](result)
    if what.startswith("kept of "):
        return next(float(kept) for layer, kept, _ in result["layers"] if layer == what.removeprefix("kept of "))
    name = what.removesuffix(" percent")
    value: Any = result
    for key in name.split("."):
        value = value[key]
    return float(value) * (100 if name != what else 1)


def measured(
    name: str, rawtext: str, text: str, lineno: int, inliner: Any, options: Any = None, content: Any = None
) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """The role: the number, with the expression as its title."""
    try:
        number = shown(text)
    except (ValueError, KeyError, OSError) as error:
        raise ExtensionError(f":measured:`{text}`: {error}") from error
    return [nodes.inline(rawtext, number, classes=["measured"])], []


def setup(app: Any) -> dict[str, bool]:
    """Add the role."""
    app.add_role("measured", measured)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
