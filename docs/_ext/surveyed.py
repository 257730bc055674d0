"""The tables of networks that were scored and pruned: a row for each network, and what fails with its reason."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.survey.remarks import REMARKS

Rows = list[list[str]]
#: what a verdict on paths says, in short
PATHS = {"every output has a path from the input": "all", "can train in part": "some", "cannot train": "none"}
#: values that are no errors
WORKS = ("", "yes", "positive", *PATHS)
LIBRARIES = ("transformers", "timm", "torchvision")


def survey(found: dict[str, Any], library: str) -> tuple[Rows, str]:
    """The share of listed weights, the scores, the empty layers, and the failures of each network."""
    rows: Rows = [
        ["family", "model", "listed", "positive", "greatest / last", "recorded", "emptied", "paths", "SNIP", "GraSP"],
    ]
    for row in _ordered(found, library):
        greatest = row.get("greatest / last")
        rows.append(
            [
                row["family"].replace("_", "\\_\u200b"),  # a line may break behind it
                f"``{row['model']}``",
                f"{row['listed']:.0%}" if "listed" in row else "",
                "yes" if row.get("scores") == "positive" else "no",
                "" if greatest is None else f"{greatest:.2f}",
                "yes" if row.get("recorded") == "yes" else "no",
                *(" / ".join(_cell(row, f"{method}{of}") for method in ("plain", "balanced")) for of in ("", " paths")),
                _cell(row, "SNIP"),
                _cell(row, "GraSP"),
            ]
        )
    iterations = sorted({row["iterations"] for row in found["rows"]})
    return rows, (
        f"{len(rows) - 1} networks; pruned in {' or '.join(map(str, iterations))} iterations, torch "
        f"{found['versions']['torch']}, code of {', '.join(sorted({row['git'] for row in found['rows']}))}"
    )


def reasons(found: dict[str, Any]) -> tuple[Rows, str]:
    """Each network that is refused in part, not recorded or explained, and the message."""
    rows: Rows = [["model", "message"]]
    for library in LIBRARIES:
        for row in _ordered(found, library):
            columns = ("error", "scores", "plain", "balanced", "plain paths", "balanced paths", "SNIP", "GraSP")
            messages = [row[key] for key in columns if not _works(row.get(key, ""))]
            if row.get("said") and not _works(row.get("scores", "")):
                messages[0] += f" ({row['said']})"
            if row.get("recorded", "yes") != "yes":
                messages.append(f"not recorded: {row['recorded']}")
            messages += [REMARKS[row["model"]]] if row["model"] in REMARKS else []
            if messages:
                rows.append([f"``{row['model']}``", "; ".join(map(_short, dict.fromkeys(messages)))])
    positive = sum(row.get("scores") == "positive" for row in found["rows"])
    where = f"torch {found['versions']['torch']}"
    return rows, f"of {len(found['rows'])} networks, the scores of {positive} are positive in each layer, {where}"


def _ordered(found: dict[str, Any], library: str) -> list[dict[str, Any]]:
    rows = [row for row in found["rows"] if row["library"] == library]
    return sorted(rows, key=lambda row: (row["family"], row["model"]))


def _works(value: Any) -> bool:
    return isinstance(value, int) or value in WORKS


def _cell(row: dict[str, Any], column: str) -> str:
    value = row.get(column, "")
    return PATHS.get(value, str(value)) if _works(value) else "no"


def _short(reason: str) -> str:
    text = reason.replace("*", "\\*").replace("`", "'").replace("|", "\\|").replace("_ ", "\\_ ")
    text = text if len(text) <= 160 else f"{text[:157]}..."
    return f"``{text}``"


#: the function that makes a table, and its file
TABLES = {
    **{f"survey {library}": (partial(survey, library=library), "survey") for library in LIBRARIES},
    "survey reasons": (reasons, "survey"),
}
