"""Scores that are rounding noise are told from scores, and their layers named as those of zero scores are."""

from __future__ import annotations

import logging

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.fingerprint import fingerprint
from torch_synflow import prune


class Normalised(nn.Module):
    """A convolution whose effect a normalisation and a mean take back, beside one that decides."""

    def __init__(self, norm: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lost, self.kept, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3), nn.Linear(8, 3)
        self.norm = norm if norm is not None else nn.InstanceNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.lost(x)).mean((2, 3)) + self.kept(x).relu().mean((2, 3)))


torch.manual_seed(1)
BATCH = (torch.randn(16, 3, 8, 8), torch.arange(16) % 3)
METHODS = (prune.SNIP, prune.IterativeSNIP, prune.GraSP, prune.GraSPMagnitude, prune.FORCE, prune.TaylorFO)


@pytest.mark.parametrize("method", METHODS)
def test_noise_is_refused_as_zeros_are(method: type[prune.SaliencyUnstructured]) -> None:
    model = Normalised()
    before, state = fingerprint(model), torch.get_rng_state()
    for data in (BATCH, [BATCH, BATCH]):
        with pytest.raises(ValueError, match=r"lost\.weight: every one of its \w+ scores is rounding noise; expected"):
            prune.global_iterative_unstructured(model, method, 0.5, data=data, loss_fn=F.cross_entropy)
    assert fingerprint(model) == before
    assert torch.equal(torch.get_rng_state(), state)
    pairs = [(model.kept, "weight"), (model.head, "weight")]
    prune.global_iterative_unstructured(pairs, method, 0.5, model=model, data=BATCH, loss_fn=F.cross_entropy)


@pytest.mark.parametrize("scale", [1e-3, 1e-6, 1e-12, 1e-20])
def test_scores_that_are_only_small_are_scores(scale: float) -> None:
    class Scaled(Normalised):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(scale * self.lost(x).relu().mean((2, 3)) + self.kept(x).relu().mean((2, 3)))

    scores = prune.snip_scores(Scaled(), BATCH, F.cross_entropy)
    assert all(bool(score.any()) for score in scores.values())


def test_a_group_norm_that_leaves_something_is_no_noise() -> None:
    scores = prune.snip_scores(Normalised(nn.GroupNorm(2, 8)), BATCH, F.cross_entropy)
    assert len(scores) == 3


def test_what_float64_can_not_run_is_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, weight=torch.ones(3))  # float32, whatever the outputs are

    with caplog.at_level(logging.INFO, logger="torch_synflow"):
        prune.snip_scores(Normalised(), BATCH, loss)
    assert "could not check whether small scores are rounding noise (lost.weight)" in caplog.text
    assert "float" in caplog.text.lower()


def test_a_generator_of_data_is_read_no_further() -> None:
    read = []

    def batches() -> object:
        for number in range(3):
            read.append(number)
            yield BATCH

    with pytest.raises(ValueError, match="rounding noise"):
        prune.snip_scores(Normalised(), batches(), F.cross_entropy)
    assert read == [0, 1, 2]
