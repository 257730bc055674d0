"""A bar counts iterations: when it is asked for, and by itself where somebody waits."""

from __future__ import annotations

import sys
import time

import pytest
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tests.small_net import Net, X, Y
from torch_synflow import SynFlow, _progress, prune


def test_progress_shows_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    prune.global_iterative_unstructured(Net(), SynFlow, 0.5, example_inputs=X, iterations=4, progress=True)
    shown = capsys.readouterr().err
    assert "4/4" in shown
    assert "SynFlow:" in shown


@pytest.mark.parametrize(("interactive", "slow"), [(True, True), (True, False), (False, True)])
def test_a_bar_appears_by_itself_where_somebody_waits(
    interactive: bool, slow: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tqdm")
    monkeypatch.setattr(_progress, "_DELAY", 0.01 if slow else 1000.0)
    if interactive:
        monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)

    def wait(step: int, report: prune.PruningReport) -> None:
        time.sleep(0.15)  # tqdm draws ten times per second at most

    prune.global_iterative_unstructured(Net(), SynFlow, 0.5, example_inputs=X, iterations=4, callback=wait)
    assert ("SynFlow:" in capsys.readouterr().err) == (interactive and slow)
    prune.global_iterative_unstructured(Net(), SynFlow, 0.5, example_inputs=X, iterations=4, progress=False)
    assert capsys.readouterr().err == ""


def test_a_bar_counts_the_batches_of_an_iteration(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")

    class Slow(Dataset[tuple[Tensor, Tensor]]):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            time.sleep(0.15)  # tqdm draws ten times per second at most
            return X[index], Y[index]

    model, loader = Net(), DataLoader(Slow(), batch_size=2)
    prune.global_iterative_unstructured(model, prune.SNIP, 0.5, data=loader, loss_fn=F.cross_entropy, progress=True)
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert [line for line in lines if "SNIP" in line and "0/1" in line and "batch 3" in line]


def test_without_tqdm_a_bar_is_an_error_only_where_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    assert _progress.progress_bar(None, 4, "SynFlowUnstructured") is None
    with pytest.raises(ImportError, match=r'progress: the bar needs tqdm.*pip install "torch_synflow\[progress\]"'):
        _progress.progress_bar(True, 4, "SynFlowUnstructured")
