"""The transforms that are at work are counted."""

from __future__ import annotations

import torch
from torch import Tensor

from torch_synflow._torch.transforms import active_transforms, depends_on_leaves


def test_transforms_are_counted_where_they_are_at_work() -> None:
    found = []

    def note(x: Tensor) -> Tensor:
        found.append(active_transforms())
        return x.sum()

    note(torch.ones(2))
    torch.vmap(note)(torch.ones(3, 2))
    torch.vmap(torch.func.grad(note))(torch.ones(3, 2))
    assert found == [0, 1, 2], "see torch_synflow/_torch/transforms.py"


def test_what_is_wrapped_is_seen_through() -> None:
    found = []

    def note(x: Tensor) -> Tensor:
        found.append(depends_on_leaves(x))
        return x.sum()

    torch.vmap(note)(torch.ones(3, 2, requires_grad=True))
    torch.vmap(note)(torch.ones(3, 2))
    assert found == [True, False], "see torch_synflow/_torch/transforms.py"
    assert not depends_on_leaves("no tensor")
