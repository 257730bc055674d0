"""Reading data: batches of examples for scores that need them, and a class-balanced batch of a dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset, default_collate

from torch_synflow._torch.pytree import tree_flatten, tree_unflatten
from torch_synflow.scoring.task import Batch

EXPECTED = "expected a batch (inputs, targets) or an iterable of such batches, as a DataLoader is"


def is_batch(data: object) -> bool:
    """Whether ``data`` is one batch, ``(inputs, targets)`` with a tensor of targets, not a sequence of batches."""
    return isinstance(data, (tuple, list)) and len(data) == 2 and isinstance(data[1], Tensor)


def rereadable(data: Any, at_most: int | None = None) -> Iterable[Any]:
    """``data`` as an iterable of batches that can be read again for each iteration: an iterator is listed once.

    With ``at_most``, larger batches are cut into ones of so many examples.
    """
    if is_batch(data):
        data = [tuple(data)]
    elif isinstance(data, (str, Mapping, Tensor)) or not isinstance(data, Iterable):
        raise TypeError(f"data: {EXPECTED}, got {type(data).__name__}")
    elif isinstance(data, Iterator):
        data = list(data)
    return data if at_most is None or isinstance(data, Rebatched) else Rebatched(data, at_most)


def checked_batch_size(method: str, size: Any) -> int | None:
    """The ``batch_size`` of a method of this name, or a ``ValueError`` that says what it may be."""
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ValueError(f"{method}.batch_size: expected None or an int of at least 1, got {size!r}")
    return size


class Rebatched:
    """Batches of at most ``size`` examples, made of larger ones by views.

    Example:
        >>> [len(inputs) for inputs, targets in Rebatched([(torch.rand(5, 3), torch.arange(5))], 2)]
        [2, 2, 1]
    """

    def __init__(self, data: Iterable[Any], size: int) -> None:
        self.data = data
        self.size = size

    def __iter__(self) -> Iterator[Batch]:
        """Read the batches once more."""
        for batch in batches(self.data):
            examples = batch_size(batch[0])
            leaves, spec = tree_flatten(batch)
            for start in range(0, examples, self.size):
                stop = min(start + self.size, examples)
                yield tree_unflatten([_part(leaf, examples, start, stop) for leaf in leaves], spec)


def _part(leaf: Any, examples: int, start: int, stop: int) -> Any:
    """Some examples of a tensor of a batch; what has no dimension is the same for all examples."""
    if not isinstance(leaf, Tensor) or not leaf.dim():
        return leaf
    if leaf.shape[0] != examples:
        raise ValueError(
            f"data: to cut a batch of {examples} examples by batch_size, expected that many first in each of its "
            f"tensors, got one of shape {tuple(leaf.shape)}; pass a list of smaller batches instead"
        )
    return leaf[start:stop]


def batches(data: Iterable[Any]) -> Iterator[Batch]:
    """Yield the checked ``(inputs, targets)`` batches of an iterable.

    Raises ``TypeError`` for anything else than a pair, ``ValueError`` when there is no batch or no example.
    """
    index = -1
    for index, batch in enumerate(data):
        if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
            raise TypeError(f"data: {EXPECTED}, got {type(batch).__name__} as batch {index}")
        if batch_size(batch[0]) == 0:
            raise ValueError(f"data: expected at least one example in a batch, got none in batch {index}")
        yield batch[0], batch[1]
    if index < 0:
        raise ValueError("data: expected at least one batch, got none; an empty loader or dataset has no gradient")


def batch_size(inputs: Any) -> int:
    """The number of examples in a batch: the first dimension of the first tensor of its inputs."""
    tensors = [leaf for leaf in tree_flatten(inputs)[0] if isinstance(leaf, Tensor)]
    if not tensors or tensors[0].dim() == 0:
        raise TypeError(f"data: expected inputs that hold tensors with a batch dimension, got {type(inputs).__name__}")
    return tensors[0].shape[0]


def class_balanced_batch(
    dataset: Dataset[Any], examples_per_class: int = 10, *, generator: torch.Generator | None = None
) -> Batch:
    """Draw a batch with the same number of random examples of each class.

    Args:
        dataset: a map-style dataset of ``(input, label)`` items with integer labels. Labels are read from
            its ``targets`` (as torchvision's datasets have) where there are such, else item by item.
        examples_per_class: how many examples of each class.
        generator: draws the examples, on whichever device it is; torch's global one of the CPU by default.

    Returns:
        ``(inputs, targets)``, collated as a ``DataLoader`` does, ordered by class.

    Raises:
        TypeError: if the dataset has no length or its items are not pairs.
        ValueError: if a class has fewer examples, or ``examples_per_class`` is less than 1.

    Source: ten examples of each class is what Frankle et al. 2021, appendices B.2 and C.2, score SNIP and
    GraSP with.

    Example:
        >>> dataset = TensorDataset(torch.rand(30, 5), torch.arange(30) % 3)
        >>> inputs, targets = class_balanced_batch(dataset, 2)
        >>> inputs.shape, targets.tolist()
        (torch.Size([6, 5]), [0, 0, 1, 1, 2, 2])
    """
    if isinstance(examples_per_class, bool) or not isinstance(examples_per_class, int):
        raise TypeError(f"examples_per_class: expected an int, got {examples_per_class!r}")
    if examples_per_class < 1:
        raise ValueError(f"examples_per_class: expected at least 1, got {examples_per_class}")
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator or None, got {type(generator).__name__}")
    if not hasattr(dataset, "__len__"):
        raise TypeError(
            f"dataset: expected a map-style dataset, got {type(dataset).__name__}, which has no length; "
            "collect a batch from it yourself"
        )
    members: dict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(_labels(dataset)):
        members[int(label)].append(index)
    if not members:
        raise ValueError("dataset: expected at least one example, got none")
    chosen = []
    for label in sorted(members):
        indices = members[label]
        if len(indices) < examples_per_class:
            raise ValueError(
                f"dataset: expected at least {examples_per_class} examples of class {label}, got {len(indices)}; "
                "lower examples_per_class"
            )
        device = "cpu" if generator is None else generator.device
        order = torch.randperm(len(indices), generator=generator, device=device)[:examples_per_class]
        chosen += [indices[i] for i in order.tolist()]
    inputs, targets = default_collate([_item(dataset, i) for i in chosen])
    return inputs, targets


def _item(dataset: Dataset[Any], index: int) -> tuple[Any, Any]:
    item = dataset[index]
    if not (isinstance(item, (tuple, list)) and len(item) == 2):
        raise TypeError(f"dataset: expected items (input, label), got {type(item).__name__} as item {index}")
    return item[0], item[1]


def _labels(dataset: Any) -> Sequence[Any]:
    """The label of every item, without loading the items where the dataset keeps its labels apart."""
    if isinstance(dataset, Subset):
        labels = _labels(dataset.dataset)
        return [labels[i] for i in dataset.indices]
    if isinstance(dataset, TensorDataset):
        return list(dataset.tensors[-1].tolist())
    targets = getattr(dataset, "targets", None)
    if targets is not None:
        return list(targets.tolist() if isinstance(targets, Tensor) else targets)
    return [_item(dataset, i)[1] for i in range(len(dataset))]
