"""The comparison with the papers: what a row computes, which trials run, what is written, and what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.fidelity import theorems
from benchmarks.fidelity.__main__ import main, report
from benchmarks.fidelity.collapse import first_empty
from benchmarks.fidelity.panels import first_without_classifier
from benchmarks.fidelity.row import Row, line, number
from benchmarks.fidelity.rows import collapsed, rows
from benchmarks.figures.frankle import FIGURES
from benchmarks.origin import ROOT
from benchmarks.sweep.store import Store

MAGNITUDE, SNIP = "neurons/magnitude/resnet20", "neurons/snip/resnet20"


def row(low: float, high: float, bound: float | None) -> Row:
    return Row(
        name="a/b", what="things", source="A 2020, section 1", paper="x", low=low, high=high, bound=bound,
        value=lambda first, second: first["n"] + second["n"], trials=rows()[MAGNITUDE].trials * 2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "bound", "difference", "met"),
    [
        (5, 5, 2, 1, True), (5, 5, 0.5, 1, False), (5, 7, 0, 0, True), (7, 9, 0.5, -1, False), (0, 1, 5, 5, True),
        (5, 5, None, 1, None), (1, math.inf, 0, 0, True),
    ],
)  # fmt: skip
def test_the_difference_is_to_the_nearest_that_the_paper_says(
    low: float, high: float, bound: float | None, difference: float, met: bool | None
) -> None:
    found = row(low, high, bound).outcome([[{"n": 1}, {"n": 4}], [{"n": 3}, {"n": 4}]])
    assert (found["ours"], found["range"], found["seeds"]) == (6, [5, 7], 2)
    assert (found["difference"], found["met"]) == (difference, met)
    verdict = {True: "  met  ", False: "NOT MET", None: "no bound"}[met]
    assert verdict in line(found)
    assert "A 2020, section 1) [5.00, 7.00]" in line(found)


def test_numbers_keep_what_is_compared() -> None:
    assert [number(v) for v in (52.345, 1.0003, 0.0, 2.5e-16)] == ["52.34", "1.0003", "0.0000", "2.5e-16"]


def test_seeds_are_those_of_the_trials() -> None:
    assert [[t.seed for t in of_seed] for of_seed in row(0, 0, 0).of_seeds(3)] == [[0, 0], [1, 1], [2, 2]]
    assert rows()["theorem-1/snip/resnet18"].of_seeds(3) == [()]


def test_rows_have_their_source_and_the_figures_trials() -> None:
    every = rows()
    for name, each in every.items():
        assert name == each.name
        assert each.source.split(", ")[1].split()[0] in ("section", "appendix", "figure", "theorem")
        assert each.low <= each.high
        assert all(trial == trial.canonical() for trial in each.trials)
    (figure_5,) = (figure for figure in FIGURES if figure.name == "frankle-5")
    from benchmarks.sweep.choice import Choice

    shared = {trial.name for trial in figure_5.trials(Choice(seeds=1))}
    neurons = {t.name for name, each in every.items() if name.startswith("neurons/") for t in each.trials}
    assert neurons <= shared


def test_what_rows_count() -> None:
    assert collapsed({"channels": 8, "collapsed_channels": 2}) == 25
    empty, full = {"empty_layers": ["a"]}, {"empty_layers": []}
    assert [first_empty(full, empty, full), first_empty(full)] == [1.0, math.inf]


def test_the_classifier_decides_where_magnitude_ends() -> None:
    """What would have caught a classifier by Kaiming's fan-out, which is emptied at ten times the ratio."""

    def masks(last: int, empty: list[str]) -> dict[str, Any]:
        return {"layers": [["conv", 5, 9], ["fc", last, 9]], "empty_layers": empty}

    emptied = masks(0, ["fc"])
    assert first_without_classifier(masks(4, []), emptied) == 1.25
    assert first_without_classifier(emptied, emptied) == 1.0
    assert first_without_classifier(masks(4, []), masks(1, ["conv"])) == math.inf
    row = rows()["panel/cifar10/resnet18"]
    assert {trial.recipe.initialisation for trial in row.trials} == {"fan_out_convolutions"}
    assert sum(name.startswith("panel/") for name in rows()) == 6
    # the authors' blocks ignore the width, so what they ran under this name is a ResNet-18
    assert rows()["panel/cifar10/wide_resnet18"].trials == row.trials


@pytest.mark.parametrize(("network", "outside", "inside"), [("vgg11_bn", 74.8, 78.9), ("vgg16_bn", 78.3, 82.4)])
def test_accuracies_are_of_the_whole_schedule_of_the_authors(network: str, outside: float, inside: float) -> None:
    row = rows()[f"accuracy/cifar10/{network}/synflow"]
    (trial,) = row.trials
    recipe = trial.recipe
    assert (recipe.epochs, recipe.drops, recipe.drop_factor, recipe.rate) == (160, (60.0, 120.0), 0.1, 0.1)
    assert (recipe.batch, recipe.momentum, recipe.nesterov, recipe.decay) == (128, 0.9, True, 1e-4)
    assert (trial.method, trial.iterations, round(1 / trial.density)) == ("synflow", 100, 1000)
    assert row.outcome([[{"best_accuracy": outside, "accuracy": 70.0}]])["met"] is False
    assert row.outcome([[{"best_accuracy": inside, "accuracy": 70.0}]])["met"] is True


def test_theorems_hold_on_a_small_network_and_grasp_alone_does_not() -> None:
    before = torch.get_rng_state()
    for saliency in theorems.SALIENCIES:
        assert 0 < theorems.theorem_1("resnet_small", saliency) < 1e-9
        assert theorems.theorem_2("resnet_small", saliency) < 1e-9
    assert 1e-3 < theorems.grasp_alone("resnet_small") <= 2
    assert torch.equal(torch.get_rng_state(), before)


def run(folder: Path, *names: str, status: int = 0, data: Path | None = None) -> list[dict[str, Any]]:
    out = folder / "fidelity.json"
    options = ["--results", str(folder / "trials"), "--out", str(out), "--rows", *names, "--threads", "1"]
    if data is not None:
        options += ["--data", f"cifar10={data}"]
    if any("snip" in name for name in names):
        options += ["--cache", str(folder / "cache")]
    assert main(options) == status
    return json.loads(out.read_text())["rows"]  # type: ignore[no-any-return]


def test_rows_are_run_once_and_kept_in_the_order_of_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = run(tmp_path, MAGNITUDE)
    assert "1 of 1 bounds met; 0 rows not run" in capsys.readouterr().out
    assert (found["name"], found["paper"], found["met"]) == (MAGNITUDE, "0", True)
    assert str(tmp_path) not in json.dumps(found)
    (record,) = (tmp_path / "trials").glob("*.json")
    time = record.stat().st_mtime_ns
    names = [r["name"] for r in run(tmp_path, "theorem-2/grasp-alone/resnet18")]
    assert names == [MAGNITUDE, "theorem-2/grasp-alone/resnet18"]
    again = run(tmp_path, "neurons/magnitude/resnet20")
    assert record.stat().st_mtime_ns == time
    assert (again[0]["ours"], [r["name"] for r in again]) == (found["ours"], names)


def test_a_result_without_channels_is_made_again(tmp_path: Path) -> None:
    before = run(tmp_path, MAGNITUDE)
    (path,) = (tmp_path / "trials").glob("*.json")
    record = json.loads(path.read_text())
    del record["result"]["channels"]
    path.write_text(json.dumps(record))
    assert run(tmp_path, MAGNITUDE)[0]["ours"] == before[0]["ours"]
    assert json.loads(path.read_text())["result"]["channels"] == 784  # 16 + 6 * (16 + 32 + 64) + 32 + 64


def test_missing_data_is_one_sentence_and_the_other_rows_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [r["name"] for r in run(tmp_path, SNIP, MAGNITUDE, status=1)] == [MAGNITUDE]
    out = capsys.readouterr().out
    assert "not run: cifar10: no data: give --data cifar10=PATH, a folder or an archive with train/<class>/" in out
    assert "1 of 1 bounds met; 1 rows not run" in out


def test_images_come_from_a_folder(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    generator = torch.Generator().manual_seed(0)
    for part, count in (("train", 10), ("test", 1)):
        for label in range(10):
            folder = tmp_path / "images" / part / f"class{label}"
            folder.mkdir(parents=True)
            for k in range(count):
                pixels = torch.randint(256, (32, 32, 3), generator=generator, dtype=torch.uint8)
                image.fromarray(pixels.numpy()).save(folder / f"{k}.png")
    (found,) = run(tmp_path, SNIP, data=tmp_path / "images")
    assert 0 < found["ours"] < 30
    assert len(found["data"]) == len(found["trials"]) == 1
    assert "--data cifar10=images" in found["command"]
    assert str(tmp_path) not in json.dumps(found)
    assert (found["device"], found["threads"]) == ("cpu", 1)
    assert {"date", "git", "versions"} <= found.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rows", "neuron"], "error: --rows neuron: expected a name that --list shows, or the start of one (neurons"),
        (["--rows", MAGNITUDE, "--data", "cifar10=x"], "error: --data cifar10: has no effect"),
        (
            ["--rows", SNIP, "--data", "cifar10=nowhere"],
            "not run: --data: expected a folder or an archive, got /",
        ),
    ],
)
def test_errors_are_one_sentence(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options, "--results", str(tmp_path), "--out", str(tmp_path / "out.json")]) > 0
    printed = capsys.readouterr()
    assert message in printed.out + printed.err


def test_the_list_names_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert [text.split()[0] for text in capsys.readouterr().out.splitlines()] == list(rows())


def test_the_committed_table_has_every_row_and_follows_from_the_committed_trials() -> None:
    results = ROOT / "benchmarks" / "results"
    committed = json.loads((results / "fidelity.json").read_text())["rows"]
    assert [each["name"] for each in committed] == list(rows())
    for each in committed:
        if each["seeds"]:
            found = report(rows()[each["name"]], each["seeds"], Store(results / "trials"), {})
            assert isinstance(found, dict)
            assert {key: found[key] for key in ("ours", "difference", "met", "paper")} == {
                key: each[key] for key in ("ours", "difference", "met", "paper")
            }
