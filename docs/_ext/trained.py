"""Tables of trials: accuracies by network, compression and method."""

from __future__ import annotations

from collections import defaultdict
from statistics import mean, stdev
from typing import Any

from benchmarks.figures.words import network_in_words

Rows = list[list[str]]
#: the trials that are shown, among those of other figures
NETWORKS = ("resnet20", "resnet18_width16", "mobilenet_v2", "small_convnext", "small_vit", "small_vit_attention")
EPOCHS = 2
TITLES = {
    "synflow": "SynFlow", "balanced": "BalancedSynFlow", "erk": "random, ERK", "magnitude": "magnitude", "snip": "SNIP",
}  # fmt: skip


def accuracies(found: dict[str, Any]) -> tuple[Rows, str]:
    """The best test accuracy by method, mean and standard deviation over seeds, and the two SynFlows paired by seed."""
    by_place: dict[tuple[str, float], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    empty: dict[tuple[str, float, str], list[int]] = defaultdict(list)
    dense: dict[str, list[float]] = defaultdict(list)
    origin: dict[str, Any] = {}
    for record in found["rows"]:
        settings, result = record["settings"], record["result"]
        if (
            settings["measure"] != "accuracy"
            or settings["recipe"]["epochs"] != EPOCHS
            or settings["network"] not in NETWORKS
        ):
            continue
        network, density, method = settings["network"], settings["density"], settings["method"]
        origin = record["origin"]
        if method == "none":
            dense[network].append(result["best_accuracy"])
            continue
        by_place[network, density][method][settings["seed"]] = result["best_accuracy"]
        empty[network, density, method].append(len(result["empty_layers"]))
    shown = [method for method in TITLES if any(method in methods for methods in by_place.values())]
    rows: Rows = [["network, compression", *(TITLES[method] for method in shown), "difference", "empty layers"]]
    for (network, density), methods in sorted(by_place.items(), key=lambda item: (item[0][0], -item[0][1])):
        both = sorted(set(methods["synflow"]) & set(methods["balanced"]))
        differences = ", ".join(f"{methods['balanced'][seed] - methods['synflow'][seed]:+.1f}" for seed in both)
        layers = "; ".join(_range(empty[network, density, method]) for method in ("synflow", "balanced"))
        cells = [_spread([*methods[method].values()]) for method in shown]
        rows.append([f"{network_in_words(network)}, {1 / density:.0f}", *cells, differences, layers])
    for network, values in sorted(dense.items()):
        rows.append([f"{network_in_words(network)}, dense", _spread(values), *[""] * (len(rows[0]) - 2)])
    if not origin:
        return rows, "no trials yet"
    device = origin["device"].replace(" 1 threads", " 1 thread")
    return rows, f"{EPOCHS} epochs, {device}, torch {origin['versions']['torch']}"


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f} ({len(values)})" if len(values) > 1 else " (1)")


def _range(counts: list[int]) -> str:
    if not counts:
        return ""
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
