"""A batch of a dataset with the same number of examples of each class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, default_collate

from torch_synflow.scoring.task import Batch


def class_balanced_batch(
    dataset: Dataset[Any], examples_per_class: int = 10, *, generator: torch.Generator | None = None
) -> Batch:
    """Draw a batch with the same number of random examples of each class.

    Args:
        dataset: a map-style dataset of ``(input, label)`` items with integer labels. Labels are read from its
            ``targets``, which torchvision's datasets have, or else item by item.
        examples_per_class: the number of examples of each class.
        generator: the source of the draws, on any device; torch's global CPU generator by default.

    Returns:
        ``(inputs, targets)``, collated as by a ``DataLoader``, in random order. Parts of the batch therefore have
        examples of several classes, which matters to BatchNorm in training mode.

    Raises:
        TypeError: if the dataset has no length or its items are not pairs.
        ValueError: if a class has too few examples, or ``examples_per_class`` is less than 1.

    Source: Frankle et al. 2021, appendices B.2 and C.2, which score SNIP and GraSP with ten examples per class.

    Example:
        >>> dataset = TensorDataset(torch.rand(30, 5), torch.arange(30) % 3)
        >>> inputs, targets = class_balanced_batch(dataset, 2)
        >>> inputs.shape, targets.sort().values.tolist()
        (torch.Size([6, 5]), [0, 0, 1, 1, 2, 2])
    """
    if isinstance(examples_per_class, bool) or not isinstance(examples_per_class, int):
        raise TypeError(f"examples_per_class: expected an int, got {examples_per_class!r}")
    if examples_per_class < 1:
        raise ValueError(f"examples_per_class: expected at least 1, got {examples_per_class}")
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator or None, got {type(generator).__name__}")
    if isinstance(dataset, DataLoader):
        raise TypeError(
            "dataset: expected a map-style dataset, got DataLoader, whose items are batches; pass loader.dataset"
        )
    if not hasattr(dataset, "__len__"):
        raise TypeError(
            f"dataset: expected a map-style dataset, got {type(dataset).__name__}, which has no length; collect a "
            "batch from it and pass the batch"
        )
    members: dict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(_labels(dataset)):
        members[int(label)].append(index)
    if not members:
        raise ValueError("dataset: expected at least one example, got none")
    device = "cpu" if generator is None else generator.device
    chosen = []
    for label in sorted(members):
        indices = members[label]
        if len(indices) < examples_per_class:
            raise ValueError(
                f"dataset: expected at least {examples_per_class} examples of class {label}, got {len(indices)}; "
                "lower examples_per_class"
            )
        order = torch.randperm(len(indices), generator=generator, device=device)[:examples_per_class]
        chosen += [indices[i] for i in order.tolist()]
    mixed = torch.randperm(len(chosen), generator=generator, device=device).tolist()
    inputs, targets = default_collate([_item(dataset, chosen[i]) for i in mixed])
    return inputs, targets


def _item(dataset: Dataset[Any], index: int) -> tuple[Any, Any]:
    item = dataset[index]
    if not (isinstance(item, (tuple, list)) and len(item) == 2):
        raise TypeError(f"dataset: expected items (input, label), got {type(item).__name__} as item {index}")
    return item[0], item[1]


def _labels(dataset: Any) -> Sequence[Any]:
    """The label of every item, without loading items if the dataset stores its labels separately."""
    if isinstance(dataset, Subset):
        labels = _labels(dataset.dataset)
        return [labels[i] for i in dataset.indices]
    if isinstance(dataset, TensorDataset):
        return list(dataset.tensors[-1].tolist())
    targets = getattr(dataset, "targets", None)
    if targets is not None:
        return list(targets.tolist() if isinstance(targets, Tensor) else targets)
    return [_item(dataset, i)[1] for i in range(len(dataset))]
