"""The command line: what it lists, foresees, refuses and draws."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from benchmarks.__main__ import main
from benchmarks.figures import FIGURES

DIGITS = ["--pair", "digits/vgg_small"]


def test_list_names_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(FIGURES)
    assert {"synflow-6", "frankle-3", "frankle-16"} <= set(FIGURES)


def test_a_dry_run_shows_the_trials_and_an_estimate_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results"
    arguments = ["synflow-6", *DIGITS, "--seeds", "1", "--log10-compressions", "1", "--results", str(folder)]
    assert main(["run", *arguments, "--device", "cpu", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "synflow, density 0.1, 100 iterations, 10 epochs, seed 0" in out
    assert "5 trials, 0 there, 5 to run\nabout " in out
    assert not folder.exists()


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("--workers 8 --cpus-per-trial 2", "on cpu, 4 at a time"),
        ("--workers 3 --cpus-per-trial 2", "on cpu"),
        (f"--cpus-per-trial {(os.cpu_count() or 1) / 6}", "on cpu, 6 at a time"),
        ("--address auto", "on cpu"),
    ],
)
def test_an_estimate_is_for_as_many_trials_at_a_time_as_ray_runs(
    where: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    which = ["run", "synflow-6", *DIGITS, "--seeds", "1", "--log10-compressions", "1", "--results", str(tmp_path)]
    assert main([*which, "--executor", "ray", *where.split(), "--device", "cpu", "--dry-run"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("about ")
    assert last.endswith(expected)


def test_run_then_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    which = ["frankle-5", *DIGITS, "--seeds", "1", "--methods", "magnitude", "snip", "--results", str(tmp_path)]
    assert main(["plot", *which]) == 2
    assert "none of its 2 trials has a result; run it with the same options" in capsys.readouterr().err
    assert main(["run", *which, "--device", "cpu", "--threads", "1"]) == 0
    assert main(["plot", *which, "--out", str(tmp_path / "a.svg")]) == 0
    assert "2 of 2 trials drawn to" in capsys.readouterr().out
    assert (tmp_path / "a.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run synflow-2 --epochs-scale 0.5", "--epochs-scale: has no effect on synflow-2"),
        ("run synflow-2 --rate 0.5", "--rate: has no effect on synflow-2"),
        ("run synflow-3 --densities 0.5", "--densities: has no effect on synflow-3"),
        ("run synflow-3 --log10-compressions 1", "--log10-compressions: has no effect on synflow-3"),
        ("run synflow-1 --methods snip --iterations 3", "--iterations: has no effect on synflow-1"),
        ("run synflow-1 --methods magnitude --examples 3", "--examples: has no effect on synflow-1"),
        ("run synflow-6 --methods snip iterative_snip", "--methods iterative_snip: has no effect on synflow-6"),
        ("run synflow-6 --methods iterative_snip", "no trial is left"),
        ("run synflow-6 --measure limit", "no trial is left"),
        ("run frankle-3 --pair mnist/lenet_300_100 --drop-factor 0.3", "--drop-factor: has no effect"),
        ("run frankle-3 --pair mnist/lenet_300_100 --momentum 0 --nesterov", "--nesterov: has no effect"),
        ("run synflow-6 --densities 0.1 --log10-compressions 1", "expected one of them, got both"),
        ("run synflow-6 --log10-compressions -1", "--log10-compressions: expected numbers of at least 0"),
        ("run synflow-6 --pair cifar10", "--pair: expected DATASET/NETWORK"),
        ("run synflow-6 --pair digits/vgg_small --download", "--download: has no effect"),
        ("run synflow-6 --pair digits/vgg_small --cache x", "--cache: has no effect"),
        ("run synflow-6 --pair digits/vgg_small --data mnist=x", "--data mnist: has no effect"),
        ("run synflow-2 --methods synflow --data imagenet=x", "--data imagenet: has no effect"),
        ("run synflow-6 --data cifar10", "--data: expected NAME=PATH, got cifar10"),
        ("run synflow-6 --retries 3", "--retries: has no effect in this process; give --executor ray"),
        ("run synflow-6 --workers 3", "--workers: has no effect in this process; give --executor ray"),
        ("run synflow-6 --executor ray --threads 2", "--threads: has no effect with --executor ray"),
        ("run synflow-6 --executor ray --device cpu --gpus-per-trial 1", "--gpus-per-trial: has no effect on the"),
        ("run synflow-6 --executor ray --address auto --workers 2", "--workers: has no effect on a cluster"),
        ("run frankle-5 --densities 0.1 0.05", "--densities 0.05: has no effect on frankle-5"),
        ("run frankle-5 --log10-compressions 1 2", "--log10-compressions 2: has no effect on frankle-5"),
        ("run frankle-3 --pair mnist/lenet_300_100 --gamma one", "--gamma: has no effect on frankle-3"),
        ("run frankle-3 --pair mnist/lenet_300_100 --channels-last", "--channels-last: has no effect on frankle-3"),
        ("run synflow-6 --device nowhere --dry-run", "--device: expected a device of torch, got nowhere"),
        ("run synflow-6 --pair digits/vgg11_bn --dry-run", "--pair: vgg11_bn cannot take the images of digits"),
        ("run synflow-6 --pair mnist/torchvision_resnet18", "--pair: torchvision_resnet18 cannot take the images"),
        ("plot synflow-6 --out pictures", "--out: expected a name that ends in .png, .svg or .pdf, got pictures"),
    ],
)  # fmt: skip
def test_options_without_effect_are_refused(
    arguments: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments.split(), "--results", str(tmp_path / "none")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "arguments",
    ["--rate -1", "--rate nan", "--decay -1", "--momentum inf", "--drop-factor nan", "--drops 2 -1",
     "--epochs-scale inf", "--retries -3"],
)  # fmt: skip
def test_numbers_that_can_not_be_are_refused(
    arguments: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["run", "synflow-6", *DIGITS, *arguments.split(), "--results", str(tmp_path / "none"), "--dry-run"])
    assert "expected a number" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_told_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "synflow-6", *DIGITS, "--device", "cuda", "--results", str(tmp_path / "none")]) == 2
    assert "--device: expected a device of this machine, got cuda: torch finds no GPU" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_file_in_the_place_of_a_folder_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    which = ["synflow-6", *DIGITS, "--results", str(tmp_path / "file")]
    assert main(["run", *which, "--device", "cpu"]) == 2
    assert main(["plot", *which, "--reference", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("error: ") == 2


def test_options_with_effect_are_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = (
        "run frankle-3 --pair digits/vgg_small digits/resnet_small --seeds 5 --methods snip synflow "
        "--densities 0.5 0.1 --iterations 5 --examples 3 --epochs-scale 0.5 --epochs 6 --batch 32 --rate 0.05 "
        "--momentum 0.8 --no-nesterov "
        "--decay 0 --drops 2 4 --drop-factor 0.2 --initialisation fan_out --gamma uniform --augmentation none "
        "--precision bfloat16 --channels-last --compile --dry-run --device cpu"
    )
    assert main([*given.split(), "--results", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "40 trials" in out
    assert "3 epochs" in out  # half of the six given


def test_missing_data_are_told_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "synflow-6", "--pair", "cifar10/vgg11_bn", "--cache", str(tmp_path / "cache")]
    assert main([*arguments, "--results", str(tmp_path / "results")]) == 2
    assert "cifar10: no data: give --data cifar10=PATH" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_a_reference_that_does_not_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "reference.csv"
    path.write_text("dataset,model,method,log10_compression,top1_run1\ncifar10,vgg16_bn,snip,0.5,90\n")
    which = ["frankle-5", *DIGITS, "--seeds", "1", "--methods", "magnitude", "--results", str(tmp_path)]
    assert main(["run", *which, "--device", "cpu", "--threads", "1"]) == 0
    assert main(["plot", *which, "--reference", str(path)]) == 2
    assert "--reference: has no effect on frankle-5" in capsys.readouterr().err


def test_the_authors_accuracies_are_drawn_beside_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "reference.csv"
    rows = "".join(f"digits,vgg_small,magnitude,{x},{90 - 20 * x},{92 - 20 * x}\n" for x in (0, 1, 2))
    path.write_text(f"dataset,model,method,log10_compression,top1_run1,top1_run2\n{rows}")
    which = ["synflow-6", *DIGITS, "--seeds", "1", "--methods", "magnitude", "--log10-compressions", "0", "1"]
    which += ["--epochs", "1", "--results", str(tmp_path / "results")]
    assert main(["run", *which, "--device", "cpu", "--threads", "1"]) == 0
    dashes = []
    for extra in ([], ["--reference", str(path)]):
        out = tmp_path / f"{len(extra)}.svg"
        assert main(["plot", *which, *extra, "--out", str(out)]) == 0
        dashes.append(out.read_text().count("stroke-dasharray"))
    assert dashes[1] > dashes[0]
    out = capsys.readouterr().out
    assert "2 of 2 trials drawn" in out
    alone, beside = (part.splitlines() for part in out.split("digits/vgg_small, best test accuracy")[1:])
    assert [line.split()[0] for line in alone[1:3]] == ["0.00", "Magnitude"]
    assert beside[1].split() == ["0.00", "1.00", "2.00"]
    assert beside[2].split()[::3] == ["Magnitude", "-"]  # no result of ours at 2
    assert beside[2].split()[1:3] == alone[2].split()[1:]
    assert beside[3].split() == ["Magnitude,", "authors", "91.0", "71.0", "51.0"]


@pytest.mark.parametrize(("method", "accuracy"), [("unheard_of", "90"), ("snip", "high")])
def test_a_reference_that_can_not_be_read_is_one_sentence(
    method: str, accuracy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "reference.csv"
    path.write_text(f"dataset,model,method,log10_compression,top1_run1\ndigits,vgg_small,{method},0.5,{accuracy}\n")
    which = ["synflow-1", *DIGITS, "--seeds", "1", "--measure", "limit", "--methods", "magnitude"]
    which += ["--results", str(tmp_path)]
    assert main(["run", *which, "--device", "cpu", "--threads", "1"]) == 0
    assert main(["plot", *which, "--out", str(tmp_path / "a.svg"), "--reference", str(path)]) == 2
    assert "error: --reference: expected " in capsys.readouterr().err


def test_a_margin_or_a_budget_without_effect_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option, figure in (("--margin", "frankle-3"), ("--budget", "harm")):
        assert main(["run", figure, *DIGITS, option, "2", "--results", str(tmp_path), "--dry-run"]) == 2
        assert f"error: {option}: has no effect on {figure}; leave it out" in capsys.readouterr().err
    assert (
        main(["run", "harm", *DIGITS, "--margin", "2", "--results", str(tmp_path), "--dry-run", "--device", "cpu"]) == 0
    )
