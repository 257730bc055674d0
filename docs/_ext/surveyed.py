"""The table of networks that were scored and pruned: a row each, what fails with its reason."""

from __future__ import annotations

import re
from typing import Any

Rows = list[list[str]]
#: what a verdict on paths says, in short
PATHS = {"every output has a path from the input": "all", "can train in part": "some", "cannot train": "none"}
#: columns whose text is an error unless it is one of the words that say that all is well
WORKS = ("positive", "yes", *PATHS)


def survey(found: dict[str, Any]) -> tuple[Rows, str]:
    """What share of the weights is listed, what the scores are, what is emptied, and what does not work and why."""
    header = (
        "family, model, listed, positive, greatest / last, recorded, emptied by SynFlow, by BalancedSynFlow, "
        "paths after SynFlow, after BalancedSynFlow, SNIP, GraSP, why"
    )
    rows: Rows = [header.split(", ")]
    order = sorted(found["rows"], key=lambda row: (row["library"], row["family"], row["model"]))
    for row in order:
        reasons = [row[key] for key in ("error", "scores") if row.get(key, "positive") != "positive"]
        cells = []
        for column in ("plain", "balanced", "plain paths", "balanced paths", "SNIP", "GraSP"):
            value = row.get(column, "")
            value = (
                re.sub("^can ?not", "cannot", value) if isinstance(value, str) else value
            )  # older rows have two words
            works = isinstance(value, int) or value in WORKS
            cells.append(PATHS.get(value, str(value)) if works else "no")
            if not works and value and value not in reasons:
                reasons.append(value)
        recorded = row.get("recorded", "")
        if recorded not in ("yes", ""):
            reasons.append(f"not recorded: {recorded}")
        greatest = row.get("greatest / last")
        rows.append(
            [
                f"{row['library']}, {row['family']}",
                f"``{row['model']}``",
                f"{row['listed']:.0%}" if "listed" in row else "",
                "yes" if row.get("scores") == "positive" else "no",
                "" if greatest is None else f"{greatest:.2f}",
                "yes" if recorded == "yes" else "no",
                *cells,
                "; ".join(_short(reason) for reason in reasons),
            ]
        )
    iterations = sorted({row["iterations"] for row in found["rows"]})
    revisions = sorted({row["git"] for row in found["rows"]})
    positive = sum(row.get("scores") == "positive" for row in found["rows"])
    where = (
        f"{len(found['rows'])} networks; all scores are positive on {positive}; pruned in "
        f"{' or '.join(map(str, iterations))} iterations, torch {found['versions']['torch']}, "
        f"code of {', '.join(revisions)}"
    )
    return rows, where


def _short(reason: str) -> str:
    text = reason.replace("*", "\\*").replace("`", "'").replace("|", "\\|").replace("_ ", "\\_ ")
    text = text if len(text) <= 160 else f"{text[:157]}..."
    return f"``{text}``"
