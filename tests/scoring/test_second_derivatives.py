"""GraSP of what torch differentiates once only: by operations of the same value, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_synflow import prune


class Attends(nn.Module):
    def __init__(self, *, plain: bool) -> None:
        super().__init__()
        self.plain = plain
        self.project, self.last = nn.Linear(8, 24), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.project(x).unflatten(-1, (2, 12)).transpose(1, 2).chunk(3, -1)
        if self.plain:
            rows = (query @ key.transpose(-2, -1) / 2.0).softmax(-1)
            attended = rows @ value
        else:
            attended = F.scaled_dot_product_attention(query, key, value)
        return self.last(attended.transpose(1, 2).flatten(2).mean(1))  # type: ignore[no-any-return]


class Gated(nn.Module):
    def __init__(self, gate: Any) -> None:
        super().__init__()
        self.first, self.last, self.gate = nn.Linear(8, 8), nn.Linear(8, 3), gate

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.gate(self.first(x.mean(1))))  # type: ignore[no-any-return]


BATCH = (3 * torch.rand(6, 5, 8, generator=torch.Generator().manual_seed(1)), torch.arange(6) % 3)


def scores(model: nn.Module) -> list[Tensor]:
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()
    return list(prune.GraSP.scores(model.double(), data=BATCH, loss_fn=F.cross_entropy).values())


def same(model: nn.Module, other: nn.Module) -> None:
    for found, expected in zip(scores(model), scores(other), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_attention_is_scored_as_its_steps() -> None:
    same(Attends(plain=False), Attends(plain=True))


def test_attention_of_several_batches_is_too() -> None:
    model = Attends(plain=False)
    batches = [(BATCH[0][:3], BATCH[1][:3]), (BATCH[0][3:], BATCH[1][3:])]
    whole = prune.GraSP.scores(model, data=BATCH, loss_fn=F.cross_entropy)
    for score, expected in zip(
        prune.GraSP.scores(model, data=batches, loss_fn=F.cross_entropy).values(), whole.values(), strict=True
    ):
        torch.testing.assert_close(score, expected, rtol=1e-3, atol=1e-6)


class Normalizes(nn.Module):
    def __init__(self, normalize: Any, *, padded: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8, bias=False), nn.Linear(8, 3)
        self.normalize, self.padded = normalize, padded

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, 3)) if self.padded else x
        return self.last(self.normalize(self.first(x)).sum(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("padded", [True, False])
def test_normalized_vectors_are_scored_where_some_are_zero(padded: bool) -> None:
    same(
        Normalizes(lambda x: F.normalize(x, dim=-1), padded=padded),
        Normalizes(lambda x: x / x.norm(dim=-1, keepdim=True), padded=False),
    )


def test_normalized_by_another_norm_they_are_too() -> None:
    same(
        Normalizes(lambda x: F.normalize(x, 1.0, -1), padded=False),
        Normalizes(lambda x: x / x.abs().sum(-1, keepdim=True), padded=False),
    )


def test_multi_head_attention_is_scored() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.last = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.attention(x, x, x, need_weights=False)[0].mean(1))  # type: ignore[no-any-return]

    found = prune.GraSP.scores(Heads(), data=BATCH, loss_fn=F.cross_entropy)
    assert all(bool(score.any()) for score in found.values())


@pytest.mark.parametrize("in_place", [False, True])
def test_hardsigmoid_is_scored_by_its_definition(*, in_place: bool) -> None:
    same(Gated(nn.Hardsigmoid(inplace=in_place)), Gated(lambda x: (x + 3).clamp(0, 6) / 6))


def test_what_has_no_second_derivative_is_refused_by_name() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(x).log_softmax(-1).transpose(0, 1)  # type: ignore[no-any-return]

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        lengths = torch.full((6,), 5), torch.full((6,), 2)
        return F.ctc_loss(outputs, torch.stack([targets, targets]).T + 1, *lengths)

    model = Reads()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"loss_fn: expected .* second derivative.*'ctc_loss'.*prune\.SNIP"):
        prune.GraSP.scores(model, data=BATCH, loss_fn=loss)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert prune.SNIP.scores(model, data=BATCH, loss_fn=loss)
