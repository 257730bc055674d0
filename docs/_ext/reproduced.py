"""Tables of reproduced results: the papers' statements and ours, and accuracies by compression ratio."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from statistics import mean, stdev
from typing import Any

Rows = list[list[str]]
VERDICTS = {None: "no bound", True: "met", False: "NOT MET"}
DONE = {"shuffle": "shuffled", "reinitialise": "new weights", "invert": "inverted"}
TITLES = {"random": "random", "magnitude": "magnitude", "snip": "SNIP", "grasp": "GraSP", "synflow": "SynFlow"}
#: those of figure 3, and one of another paper that was made for trained networks
AND_DAMAGE = {**TITLES, "damage": "Optimal Brain Damage"}
#: the methods of the rebuttal's figures A and B
REBUTTAL = {
    "snip_evaluation": "SNIP in evaluation mode", "snip": "SNIP", "iterative_snip": "iterative SNIP",
    "grasp_evaluation": "GraSP in evaluation mode", "grasp": "GraSP", "synflow": "SynFlow",
}  # fmt: skip


def fidelity(found: dict[str, Any], start: str) -> tuple[Rows, str]:
    """Rows whose names begin with a word: what is counted, the paper's number, ours, whether they agree."""
    chosen = [row for row in found["rows"] if row["name"].split("/")[0] == start]
    rows: Rows = [["what", "paper", "ours", "bound", ""]]
    for row in chosen:
        low, high = row["range"]
        spread = f" ({_number(low)} to {_number(high)}, {row['seeds']} seeds)" if low != high else ""
        bound = "" if row["bound"] is None else f"{row['bound']:g}"
        rows.append([row["what"], row["paper"], f"{_number(row['ours'])}{spread}", bound, VERDICTS[row["met"]]])
    sources = "; ".join(dict.fromkeys(row["source"] for row in chosen))
    revisions = ", ".join(dict.fromkeys(row["git"] for row in chosen))
    return rows, f"{sources}; code of {revisions}; ``python -m benchmarks.fidelity --rows {start}``"


def _number(value: float) -> str:
    if math.isinf(value):
        return "none"
    if value and abs(value) < 1e-5:
        return f"{value:.1e}"
    return f"{value:.4f}" if 0 < abs(value) < 2 and value != round(value, 2) else f"{value:.4g}"


def by_compression(found: dict[str, Any], pair: str, epochs: int, initialisation: str) -> tuple[Rows, str]:
    """The best accuracy of five methods by compression ratio, the mean of the seeds that are there."""

    def wanted(settings: dict[str, Any]) -> bool:
        quarters = 4 * math.log10(settings["density"])  # others are of another figure
        changed = settings["ablation"] != "none" or settings["prune_epoch"] or settings["recipe"].get("shrink")
        start = settings["recipe"]["initialisation"], settings["recipe"]["gamma"]
        near = math.isclose(quarters, round(quarters), abs_tol=1e-6)
        return near and not changed and start == (initialisation, "one") and settings["recipe"]["epochs"] == epochs

    return _accuracies(found, pair, "best_accuracy", wanted, lambda density: f"10\\ :sup:`{-math.log10(density):g}`")


def by_ratio(found: dict[str, Any], titles: dict[str, str], seeds: int) -> tuple[Rows, str]:
    """ResNet-20 at ratios of 20, 100 and 300, by the recipe of Frankle et al. 2021 shortened to two epochs."""

    def wanted(settings: dict[str, Any]) -> bool:
        shown = round(1 / settings["density"], 6) in (1, 20, 100, 300) and settings["seed"] < seeds
        return shown and settings["recipe"]["epochs"] == 2 and settings["recipe"]["gamma"] == "uniform"

    return _accuracies(found, "cifar10/resnet20", "best_accuracy", wanted, lambda density: f"{1 / density:.0f}", titles)


def by_density(found: dict[str, Any], pair: str, epochs: int) -> tuple[Rows, str]:
    """The accuracy of each method and ablation at the end of training, by what is kept; mean and standard deviation."""

    def wanted(settings: dict[str, Any]) -> bool:
        steps = math.log(settings["density"]) / math.log(0.8)
        return settings["recipe"]["epochs"] == epochs and math.isclose(steps, round(steps), abs_tol=1e-4)

    return _accuracies(found, pair, "accuracy", wanted, lambda density: f"{100 * density:.3g} %", AND_DAMAGE)


def _accuracies(
    found: dict[str, Any],
    pair: str,
    key: str,
    wanted: Callable[[dict[str, Any]], bool],
    title_of: Callable[[float], str],
    titles: dict[str, str] = TITLES,
) -> tuple[Rows, str]:
    cells: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    seeds, origins, recipe = set(), set(), {}
    for record in found["rows"]:
        settings = record["settings"]
        of_pair = f"{settings['dataset']}/{settings['network']}" == pair and settings["measure"] == "accuracy"
        if of_pair and settings["method"] in ("none", *titles) and wanted(settings):
            cells[_label(settings, titles)][settings["density"]].append(record["result"][key])
            seeds.add(settings["seed"])
            origins.add(record["origin"]["git"])
            recipe = settings["recipe"]
    dense = [value for of in cells.values() for density, values in of.items() if density == 1 for value in values]
    densities = sorted({density for of in cells.values() for density in of if density < 1}, reverse=True)
    rows: Rows = [["", *(title_of(density) for density in densities)]]
    methods = list(titles.values())
    for label in sorted(cells, key=lambda label: (methods.index(label.split(" after")[0].split(",")[0]), label)):
        if any(density < 1 for density in cells[label]):
            rows.append([label, *(_spread(cells[label].get(density, ())) for density in densities)])
    unpruned = f"{_spread(dense)} unpruned; " if dense else ""
    which = "best of" if key == "best_accuracy" else "after"
    count = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    schedule = f"percent, {which} {recipe['epochs']} epochs, {recipe['precision']}, {count}"
    return rows, f"{unpruned}{schedule}; code of {', '.join(sorted(origins))}"


def _label(settings: dict[str, Any], titles: dict[str, str]) -> str:
    title = titles.get(settings["method"], next(iter(titles.values())))  # unpruned, which has a place of its own
    after = " after training" if settings["prune_epoch"] else ""
    return f"{title}{after}" + ("" if settings["ablation"] == "none" else f", {DONE[settings['ablation']]}")


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{mean(values):.1f}" + (f"±{stdev(values):.1f}" if len(values) > 1 else "")  # without spaces: no line break


def inverted(found: dict[str, Any]) -> tuple[Rows, str]:
    """Digits, a tenth of the weights: with scores as they are, and inverted."""
    rows: Rows = [["method", "accuracy", "inverted"]]
    results: dict[tuple[str, str], list[float]] = defaultdict(list)
    for record in found["rows"]:
        s = record["settings"]
        at_start = s["measure"] == "accuracy" and not s["prune_epoch"] and s["recipe"]["initialisation"] == "fan_in"
        if (
            s["network"] == "vgg_small"
            and at_start
            and s["density"] == 0.1
            and s["recipe"]["epochs"] == 5
            and not s["seed"]
        ):
            results[s["method"], s["ablation"]].append(record["result"]["accuracy"])
    for method, title in TITLES.items():
        if results[method, "invert"]:
            rows.append([title, _spread(results[method, "none"]), _spread(results[method, "invert"])])
    return rows, "percent, a tenth of the weights kept, 5 epochs, one seed"


TRIALS = "trials/*.jsonl"
STARTS = (
    "neurons", "downsample", "effective", "early", "late", "precision", "collapse", "panel", "accuracy", "theorem-1",
    "theorem-2", "units", "slope",
)  # fmt: skip
#: sweeps that were shortened: their epochs and initialisation
SHORTENED = {"cifar10/vgg11_bn": (2, "fan_in"), "digits/vgg_small": (5, "fan_in")}
#: the function that makes a table, and its file
TABLES = {
    **{f"fidelity {start}": (partial(fidelity, start=start), "fidelity") for start in STARTS},
    **{f"accuracies {pair}": (partial(by_compression, pair=pair, epochs=epochs, initialisation=start), TRIALS)
       for pair, (epochs, start) in SHORTENED.items()},
    "accuracies cifar10/resnet20": (partial(by_ratio, titles=TITLES, seeds=3), TRIALS),
    "modes cifar10/resnet20": (partial(by_ratio, titles=REBUTTAL, seeds=1), TRIALS),
    "ablations mnist/lenet_300_100": (partial(by_density, pair="mnist/lenet_300_100", epochs=4), TRIALS),
    "inverted digits/vgg_small": (inverted, TRIALS),
}  # fmt: skip
