"""The tables of what was survived, as the page of guarantees shows them."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("sphinx")
import measured
import shared
import trained

FOUND: dict[str, Any] = {
    "rows": [{"kind": "data", "trials": 1200, "survived": 1199}, {"kind": "callback", "trials": 5, "survived": 5}],
    "command": "python -m benchmarks.faults.injected --trials 1205",
    "device": "cpu",
    "threads": 1,
    "versions": {"torch": "2.2.2"},
}


def test_survived_adds_up_and_names_its_command() -> None:
    rows, where = measured.survived(FOUND)
    assert rows == [
        ["kind", "trials", "survived"],
        ["data", "1,200", "1,199"],
        ["callback", "5", "5"],
        ["all", "1,205", "1,204"],
    ]
    assert FOUND["command"] in where


def test_survived_tells_those_that_were_left_complete() -> None:
    rows, _ = measured.survived({**FOUND, "complete": {"data": 7}})
    assert [row[-1] for row in rows] == ["of these complete", "7", "0", "7"]


def record(
    method: str, seed: int, accuracy: float, empty: int = 0, density: float = 0.05, epochs: int = 2
) -> dict[str, Any]:
    where = {"measure": "accuracy", "dataset": "cifar10", "network": "resnet20", "density": density}
    return {
        "settings": {**where, "method": method, "seed": seed, "recipe": {"epochs": epochs}},
        "result": {"best_accuracy": accuracy, "empty_layers": ["a"] * empty},
        "origin": {"device": "cpu", "versions": {"torch": "2.2.2"}},
    }


def test_accuracies_are_paired_by_seed() -> None:
    rows, where = trained.accuracies(
        {
            "rows": [
                record("none", 0, 60.0, density=1.0), record("synflow", 0, 40.0, 3), record("synflow", 1, 42.0, 2),
                record("balanced", 1, 45.0), record("balanced", 2, 47.0), record("erk", 0, 39.0),
                record("synflow", 0, 70.0, epochs=10), record("root", 0, 43.0, density=0.01),
            ]
        }
    )  # fmt: skip
    assert rows == [
        ["network, compression", "SynFlow", "BalancedSynFlow", "random, ERK", "difference", "empty layers"],
        ["ResNet-20, 20", "41.0\u00a0±\u00a01.4 (2)", "46.0\u00a0±\u00a01.4 (2)", "39.0 (1)", "+3.0", "2 to 3; 0"],
        ["ResNet-20, 20, 10 epochs", "70.0 (1)", "", "", "", "0; "],
        ["ResNet-20, dense", "60.0 (1)", "", "", "", ""],
    ]
    assert where == "2 epochs, cpu, torch 2.2.2"


def test_leads_are_means_of_differences_by_seed() -> None:
    first = [
        record("balanced", 0, 45.0),
        record("balanced", 1, 41.0),
        record("synflow", 0, 40.0),
        record("synflow", 1, 42.0),
    ]
    alone = [record("balanced", 2, 99.0), record("none", 0, 60.0, density=1.0)]
    far = [record("balanced", 1, 32.0, density=0.01), record("synflow", 1, 32.0, density=0.01)]
    longer = [record(method, 0, 70.0, density=0.02, epochs=10) for method in ("balanced", "synflow")]
    cut = record("erk", 0, 0.0, density=0.01)
    cut = {**cut, "settings": {**cut["settings"], "measure": "structure"}, "result": {"effective": 0}}
    found = {"rows": [*first, *alone, *far, *longer, cut]}
    rows, origin = measured.TABLES["balanced over synflow"][0](found)
    assert rows == [
        ["network", "20", "100"],
        ["ResNet-20", "+2.0\u00a0(1\u00a0of\u00a02)", "+0.0\u00a0(0\u00a0of\u00a01)"],
    ]
    assert origin == "2 epochs, cpu, torch 2.2.2"
    rows, _ = measured.TABLES["balanced over erk"][0](found)
    assert rows[1] == ["ResNet-20", "", "no path"]


def test_the_number_of_seeds_is_named_unless_it_is_three() -> None:
    def spread(seeds: int) -> str:
        rows, _ = trained.accuracies({"rows": [record("synflow", seed, 40.0 + seed) for seed in range(seeds)]})
        return rows[1][1].replace("\u00a0", " ")

    assert [spread(seeds) for seeds in (1, 2, 3, 4)] == ["40.0 (1)", "40.5 ± 0.7 (2)", "41.0 ± 1.0", "41.5 ± 1.3 (4)"]


def test_rules_for_the_shares_are_compared_with_the_plain_sum_and_equal_shares() -> None:
    rows, _ = trained.shares(
        {"rows": [record("synflow", 0, 40.0), record("root", 0, 43.0), record("balanced", 0, 45.0, density=0.01)]}
    )
    assert rows == [["network, compression", "plain sum", "roots"], ["ResNet-20, 20", "40.0 (1)", "43.0 (1)"]]


def test_what_is_left_before_training_is_the_mean_over_seeds() -> None:
    def trial(method: str, seed: int, effective: int, norm: float | None) -> dict[str, Any]:
        left = {"effective": effective, "kept": 100, "sparse_flops": 5, "flops": 40, "log10_path_norm": norm}
        return {**record(method, seed, 0.0), "result": left}

    rows, where = measured.TABLES["structure"][0](
        {"rows": [trial("synflow", 0, 90, 2.0), trial("synflow", 1, 100, 2.5), trial("snip", 0, 0, None)]}
    )
    assert rows[1:] == [["ResNet-20, 20", "95.0 / 12.5 / 2.2", "", "", "", r"0.0 / 12.5 / \-"]]
    assert where == "kept weights on a path (%), FLOPs (%) and log10 of the path norm; means of 1 to 2 seeds"


def test_what_was_not_trained_because_no_path_is_left_is_named() -> None:
    def structure(method: str, effective: int) -> dict[str, Any]:
        found = record(method, 0, 0.0)
        found["settings"]["measure"] = "structure"
        return {**found, "result": {"effective": effective}}

    there = [record(method, 0, 40.0) for method in ("synflow", "erk")]
    others = [record(method, 0, 40.0, density=0.01) for method in ("magnitude", "snip")]
    cut = [structure("erk", 0), structure("magnitude", 0), structure("snip", 5)]
    rows, _ = trained.accuracies({"rows": [*there, *others, *cut]})
    assert rows[0][1:5] == ["SynFlow", "random, ERK", "magnitude", "SNIP"]
    assert rows[1][1:5] == ["40.0 (1)", "40.0 (1)", "no path", ""]


def test_tables_have_the_names_that_papers_give() -> None:
    versions = {"versions": {"torch": "2.2.2"}, "device": "cpu", "threads": 1}
    row = {"seconds": {"ours": 1.0, "authors": 2.0}, "peak_bytes": {"ratio": 0.5}, "method": "SNIP", "network": "vgg16"}
    assert measured.data_methods({"rows": [row], **versions})[0][1][0] == "VGG-16"
    of_ranks = [{"seconds": 1.0, "before": 2**30, "peak": 2**31, "weights": 10}]
    sharded = {
        "rows": [{"method": "snip", "ranks": 2, "of_ranks": of_ranks}],
        "model": {"depth": 1, "width": 2, "iterations": 1},
    }
    rows, where = shared.sharded({**sharded, **versions})
    assert rows[1] == ["SNIP", "2", "1", "1.00", "2.00"]
    assert "one iteration of SynFlow" in where


def limit(method: str, empty: int, reached: int, model: str = "resnet18", **more: Any) -> dict[str, Any]:
    return {
        "model": model, "method": method, "layers": 21, "compression": 5000.0, "scored": 100, "empty_at": {"0.1": 3},
        "empty_layers": ["a"] * empty, "outputs_with_a_path": reached, "without_path": False, **more,
    }  # fmt: skip


KEEPING = "BalancedSynFlow, keep_layers"
ON = {"device": "cpu", "threads": 1, "versions": {"torch": "2.2.2"}}


def test_the_table_of_limits_has_a_row_for_each_model() -> None:
    runs = [
        limit("SynFlow", 5, 0), limit(KEEPING, 0, 7, side=64),
        limit(KEEPING, 0, 1, "densenet121", without_path=True), limit(KEEPING, 6, 1, "googlenet"),
        limit("SynFlow", 1, 1, "alexnet"),
    ]  # fmt: skip
    rows, where = measured.TABLES["limits"][0]({"rows": runs, **ON})
    assert rows[1] == [
        "resnet18",
        "224, 64",
        "21",
        "5,000",
        r"3 / \- / 3",
        r"\- / \- / \-",
        r"5 / \- / 0",
        r"no / \- / yes",
        "yes",
        r"100 / \- / 100",
    ]
    assert [row[8] for row in rows] == ["all on a path", "yes", "no", "no", r"\-"]
    assert where == "cpu, 1 thread, torch 2.2.2"


def test_models_without_a_path_and_without_a_run_are_counted_and_named() -> None:
    runs = [
        limit("SynFlow", 5, 0), limit("BalancedSynFlow", 2, 1), limit(KEEPING, 0, 7),
        limit(KEEPING, 0, 0, "densenet121", without_path=True), limit(KEEPING, 6, 1, "googlenet"),
    ]  # fmt: skip
    rows, _ = measured.TABLES["limits counted"][0]({"rows": runs, **ON})
    assert rows == [
        ["at max compression", "SynFlow", "BalancedSynFlow", KEEPING],
        ["models run, of 80", "1", "1", "3"],
        ["no layer empty", "0", "0", "2"],
        ["a path left", "0", "1", "2"],
        ["all layers on a path", r"\-", r"\-", "1"],
    ]
    rows, _ = measured.TABLES["limits exceptions"][0]({"rows": runs, **ON})
    assert rows[:3] == [
        ["with keep_layers", "models"],
        ["an empty layer", "googlenet"],
        ["no path left", "densenet121"],
    ]
    assert rows[3][0] == "not run"
    names = rows[3][1].split(", ")
    assert len(names) == 77
    assert not {"resnet18", "densenet121", "googlenet"} & {*names}
    assert rows[4][0] == "not run without it"
    assert {*rows[4][1].split(", ")} == {*names, "densenet121", "googlenet"}


def test_both_modes_are_of_one_seed_and_one_recipe() -> None:
    recipe = {"epochs": 2, "gamma": "uniform", "precision": "float32"}

    def trial(method: str, seed: int, accuracy: float, gamma: str = "uniform", density: float = 0.01) -> dict[str, Any]:
        found = record(method, seed, accuracy, density=density)
        found["settings"] |= {"dataset": "cifar10", "prune_epoch": 0.0, "ablation": "none"}
        found["settings"]["recipe"] = {**recipe, "gamma": gamma}
        return {**found, "origin": {"git": "abc"}}

    trials = [
        trial("snip", 0, 30.0), trial("snip", 1, 40.0), trial("snip_evaluation", 0, 20.0),
        trial("grasp", 0, 35.0, "one"), trial("random", 0, 10.0), trial("none", 0, 60.0, density=1.0),
        trial("snip", 0, 50.0, density=0.1),
    ]  # fmt: skip
    function, _ = measured.TABLES["modes cifar10/resnet20"]
    rows, where = function({"rows": trials})
    assert rows == [["", "100"], ["SNIP in evaluation mode", "20.0"], ["SNIP", "30.0"]]
    assert where == "60.0 unpruned; percent, best of 2 epochs, float32, one seed; code of abc"
    rows, where = measured.TABLES["accuracies cifar10/resnet20"][0]({"rows": trials})
    assert rows == [["", "100"], ["random", "10.0"], ["SNIP", "35.0±7.1"]]
