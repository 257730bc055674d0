"""The class-balanced batch, from datasets of every usual form, and the reading of real images where they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from torch_synflow import prune
from torch_synflow.scoring.data import Rebatched

X = torch.arange(60.0).view(30, 2)
Y = torch.arange(30) % 3


class Plain(Dataset[Any]):
    """Items only: no list of labels."""

    def __len__(self) -> int:
        return 30

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return X[index], int(Y[index])


class WithTargets(Plain):
    """A list of labels, as torchvision's datasets have, and items that are counted."""

    targets = Y.tolist()
    loaded = 0

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        self.loaded += 1
        return super().__getitem__(index)


@pytest.mark.parametrize(
    "dataset", [Plain(), WithTargets(), TensorDataset(X, Y), Subset(TensorDataset(X, Y), range(30))]
)
def test_a_batch_holds_each_class_equally_often_and_no_example_twice(dataset: Any) -> None:
    inputs, targets = prune.class_balanced_batch(dataset, 4)
    assert sorted(targets.tolist()) == [0] * 4 + [1] * 4 + [2] * 4
    rows = (inputs[:, 0] / 2).long()
    assert torch.equal(Y[rows], targets)
    assert len(set(rows.tolist())) == 12
    assert len(prune.class_balanced_batch(dataset)[1]) == 30


def test_the_generator_decides_the_draw() -> None:
    def draw(seed: int) -> torch.Tensor:
        return prune.class_balanced_batch(Plain(), 4, generator=torch.Generator().manual_seed(seed))[0]

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_a_batch_that_is_cut_has_several_classes_in_each_part() -> None:
    batch = prune.class_balanced_batch(Plain(), 8, generator=torch.Generator().manual_seed(0))
    parts = [targets for _, targets in Rebatched([batch], 8)]
    assert [len(set(targets.tolist())) for targets in parts] == [3, 3, 3]


def test_labels_are_read_without_loading_the_items() -> None:
    dataset = WithTargets()
    prune.class_balanced_batch(dataset, 2)
    assert dataset.loaded == 6


def test_draws_that_are_not_possible() -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            return zip(X, Y, strict=True)

    class Unlabelled(Plain):
        def __getitem__(self, index: int) -> Any:
            return X[index]

    with pytest.raises(ValueError, match="expected at least 11 examples of class 0, got 10"):
        prune.class_balanced_batch(Plain(), 11)
    with pytest.raises(ValueError, match="examples_per_class: expected at least 1"):
        prune.class_balanced_batch(Plain(), 0)
    with pytest.raises(TypeError, match="examples_per_class: expected an int"):
        prune.class_balanced_batch(Plain(), 2.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"generator: expected a torch\.Generator or None, got int"):
        prune.class_balanced_batch(Plain(), 2, generator=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="map-style dataset, got Stream"):
        prune.class_balanced_batch(Stream())
    with pytest.raises(TypeError, match=r"map-style dataset, got DataLoader, .*; pass loader\.dataset$"):
        prune.class_balanced_batch(DataLoader(Plain()))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected at least one example"):
        prune.class_balanced_batch(TensorDataset(X[:0], Y[:0]))
    with pytest.raises(TypeError, match=r"dataset: expected items \(input, label\), got Tensor as item 0"):
        prune.class_balanced_batch(Unlabelled(), 1)
