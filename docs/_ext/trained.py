"""Tables of trials: accuracies by network, compression and method."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from statistics import mean, stdev
from typing import Any

from benchmarks.figures.words import network_in_words

Rows = list[list[str]]
Record = dict[str, Any]
Place = tuple[str, int, float]  # network, epochs, density
#: the trials that are shown, among those of other figures
NETWORKS = ("resnet20", "resnet18_width16", "mobilenet_v2", "small_convnext", "small_vit", "small_vit_attention")
EPOCHS = 2  # unless the row has others
NO_BREAK = "\N{NO-BREAK SPACE}"
SEEDS = 3  # unless the cell has others
TITLES = {
    "synflow": "SynFlow", "balanced": "BalancedSynFlow", "erk": "random, ERK", "magnitude": "magnitude", "snip": "SNIP",
}  # fmt: skip
#: rules for the shares of branches, next to the plain sum and equal shares
RULES = {"root": "roots", "floor_half": "floor of 1/2", "floor_tenth": "floor of 1/10", "starving": "equal at need"}


def accuracies(found: dict[str, Any]) -> tuple[Rows, str]:
    """The best test accuracy by method, mean and standard deviation over seeds, and the two SynFlows paired by seed."""
    trials, cut = _by_place(found), _without_path(found)
    pruned = {place: methods for place, methods in trials.items() if place[2] < 1 and set(methods) & set(TITLES)}
    titles = _that_were_run(TITLES, pruned)
    rows: Rows = [["network, compression", *titles.values(), "difference", "empty layers"]]
    for place, methods in pruned.items():
        network, _, density = place
        means = [_spread(methods[method]) or "no path" * ((network, density, method) in cut) for method in titles]
        differences = f",{NO_BREAK}".join(f"{apart:+.1f}" for apart in _apart(methods, "synflow"))
        layers = "; ".join(_range(methods[method]) for method in ("synflow", "balanced"))
        rows.append([_in_words(*place), *means, differences, layers])
    for place, methods in trials.items():
        if methods["none"]:
            rows.append([_in_words(*place), _spread(methods["none"]), *[""] * (len(rows[0]) - 2)])
    return rows, _where(trials)


def leads(found: dict[str, Any], other: str) -> tuple[Rows, str]:
    """How far BalancedSynFlow is ahead of another method: the mean over seeds, and with how many of them."""
    trials = {place: methods for place, methods in _by_place(found).items() if place[1] == EPOCHS and place[2] < 1}
    cut = _without_path(found)
    ratios = sorted({density for _, _, density in trials}, reverse=True)
    rows: Rows = [["network", *(f"{1 / density:.0f}" for density in ratios)]]
    for network in dict.fromkeys(network for network, _, _ in trials):
        cells = []
        for density in ratios:
            apart = _apart(trials.get((network, EPOCHS, density), {}), other)
            lead = f"{mean(apart):+.1f} ({sum(a > 0 for a in apart)} of {len(apart)})" if apart else ""
            cells.append(lead.replace(" ", NO_BREAK) or "no path" * ((network, density, other) in cut))
        rows.append([network_in_words(network), *cells])
    return rows, _where(trials)


def shares(found: dict[str, Any]) -> tuple[Rows, str]:
    """The same for the rules by which the branches of a sum share its flow, where others than equal shares were run."""
    trials = {place: methods for place, methods in _by_place(found).items() if set(methods) & set(RULES)}
    titles = _that_were_run({"synflow": "plain sum", "balanced": "equal", **RULES}, trials)
    rows: Rows = [["network, compression", *titles.values()]]
    for place, methods in trials.items():
        rows.append([_in_words(*place), *(_spread(methods[method]) for method in titles)])
    return rows, _where(trials)


def _by_place(found: dict[str, Any]) -> dict[Place, dict[str, list[Record]]]:
    """The trials of each network, number of epochs and density, by method; a method without trials has none."""
    places: dict[Place, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in found["rows"]:
        settings = record["settings"]
        if (
            settings["measure"] == "accuracy"
            and settings["dataset"] == "cifar10"
            and settings["network"] in NETWORKS
            and settings["method"] in ("none", *TITLES, *RULES)
        ):
            place = settings["network"], settings["recipe"]["epochs"], settings["density"]
            places[place][settings["method"]].append(record)
    return dict(sorted(places.items(), key=lambda item: (item[0][0], item[0][1], -item[0][2])))


def _without_path(found: dict[str, Any]) -> set[tuple[str, float, str]]:
    """Networks, densities and methods that leave no path, so the network cannot train."""
    effective: dict[tuple[str, float, str], int] = defaultdict(int)
    for record in found["rows"]:
        settings = record["settings"]
        if settings["measure"] == "structure":
            effective[settings["network"], settings["density"], settings["method"]] += record["result"]["effective"]
    return {place for place, weights in effective.items() if not weights}


def _that_were_run(titles: dict[str, str], trials: dict[Place, dict[str, list[Record]]]) -> dict[str, str]:
    return {method: title for method, title in titles.items() if any(methods[method] for methods in trials.values())}


def _in_words(network: str, epochs: int, density: float) -> str:
    compression = f"{1 / density:.0f}" if density < 1 else "dense"
    return f"{network_in_words(network)}, {compression}" + f", {epochs} epochs" * (epochs != EPOCHS)


def _accuracies(records: list[Record]) -> dict[int, float]:
    return {record["settings"]["seed"]: record["result"]["best_accuracy"] for record in records}


def _apart(methods: dict[str, list[Record]], other: str) -> list[float]:
    """BalancedSynFlow minus another method, for each seed of both."""
    ours, theirs = (_accuracies(methods.get(method, [])) for method in ("balanced", other))
    return [ours[seed] - theirs[seed] for seed in sorted(set(ours) & set(theirs))]


def _where(trials: dict[Place, dict[str, list[Record]]]) -> str:
    origins = [record["origin"] for methods in trials.values() for records in methods.values() for record in records]
    if not origins:
        return "no trials yet"
    device = origins[-1]["device"].replace(" 1 threads", " 1 thread")
    return f"{EPOCHS} epochs, {device}, torch {origins[-1]['versions']['torch']}"


def _spread(records: list[Record]) -> str:
    values = [*_accuracies(records).values()]
    if not values:
        return ""
    spread = f"{NO_BREAK}±{NO_BREAK}{stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread}" + f" ({len(values)})" * (len(values) != SEEDS)


def _range(records: list[Record]) -> str:
    counts = [len(record["result"]["empty_layers"]) for record in records]
    if not counts:
        return ""
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


TABLES = {
    "balanced": (accuracies, "trials/*.jsonl"),
    "balanced_shares": (shares, "trials/*.jsonl"),
    **{f"balanced over {other}": (partial(leads, other=other), "trials/*.jsonl") for other in ("synflow", "erk")},
}
