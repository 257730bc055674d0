"""Reading data: batches of examples for scores that need them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils.data import Dataset

from torch_synflow._torch.pytree import tree_flatten, tree_unflatten
from torch_synflow.scoring.inputs import as_dicts, described, is_list_of_images
from torch_synflow.scoring.notes import note_on_loss, noting
from torch_synflow.scoring.task import Batch, LossFunction

EXPECTED = "expected a batch (inputs, targets), a batch as a mapping, or an iterable of batches such as a DataLoader"


class Targets(NamedTuple):
    """The items after the inputs in a batch of more than two parts."""

    parts: tuple[Any, ...]


def is_batch(data: object) -> bool:
    """Whether ``data`` is one batch, not several: it starts with a tensor, or is a pair of inputs and targets."""
    if isinstance(data, Mapping):
        return True
    if not isinstance(data, (tuple, list)) or len(data) < 2:
        return False
    pair = len(data) == 2 and (data[1] is None or isinstance(data[1], Tensor))
    return pair or isinstance(data[0], Tensor) or (isinstance(data, tuple) and _are_mappings(data))


def _are_mappings(data: Sequence[Any]) -> bool:
    return len(data) == 2 and all(isinstance(part, Mapping) for part in data)


def rereadable(data: Any, at_most: int | None = None) -> Iterable[Any]:
    """``data`` as an iterable of batches that each iteration can read again; an iterator becomes a list.

    With ``at_most``, larger batches are cut into batches of at most this many examples.
    """
    if is_batch(data):
        data = [data]
    elif isinstance(data, Dataset):
        raise TypeError(
            f"data: {EXPECTED}, got the dataset {type(data).__name__}, whose items are single examples; "
            "torch.utils.data.DataLoader(dataset, batch_size=64) makes batches, and "
            "prune.class_balanced_batch(dataset) makes one batch with examples of each class"
        )
    elif isinstance(data, (str, Tensor)) or not isinstance(data, Iterable):
        inputs = f" {described(data)}; (x, y) is a batch of inputs x and targets y" if isinstance(data, Tensor) else ""
        raise TypeError(f"data: {EXPECTED}, got {type(data).__name__}{inputs}")
    elif isinstance(data, Iterator):
        data = list(data)
    if at_most is not None and not isinstance(data, Rebatched):
        data = Rebatched(data, at_most)
    return data if isinstance(data, (list, Remembering)) else Remembering(data)


class Remembering:
    """Batches that keep the first of them once it is read, as a loader is not to be read again.

    Attributes:
        first: the first batch, or ``None`` if none has been read.
    """

    def __init__(self, data: Iterable[Any]) -> None:
        self.data = data
        self.first: Any = None

    def __iter__(self) -> Iterator[Any]:
        """Read the batches again."""
        for batch in self.data:
            if self.first is None:
                self.first = batch
            yield batch


def first_inputs(data: Any) -> Any:
    """The inputs of the first batch, or ``None`` if a loader would have to be read for it."""
    if isinstance(data, Remembering):
        data = [] if data.first is None else [data.first]
    if not isinstance(data, (list, tuple, Mapping)) or not data:
        return None
    return next(batches([data] if is_batch(data) else data))[0]


def has_own_loss(data: Any) -> bool:
    """Whether a model may compute its own loss: if ``data`` are mappings, as far as known without reading."""
    first = data[0] if isinstance(data, list) and data else data
    return not isinstance(first, (tuple, list))


def check_loss(loss_fn: Any) -> None:
    """Raise unless ``loss_fn``, if given, is a function of outputs and targets."""
    if isinstance(loss_fn, type):
        raise TypeError(
            f"loss_fn: expected a function loss_fn(outputs, targets), got the class {loss_fn.__name__}; "
            f"pass an instance: {loss_fn.__name__}()"
        )
    if loss_fn is not None and not callable(loss_fn):
        got = described(loss_fn) if isinstance(loss_fn, (Tensor, tuple, list, Mapping)) else repr(loss_fn)
        raise TypeError(f"loss_fn: expected a function loss_fn(outputs, targets), got {got}")


def loss_of_batch(loss_fn: LossFunction | None, outputs: Any, targets: Any) -> Any:
    """The loss of a batch, by ``loss_fn`` or from the model's outputs.

    For a batch ``(inputs, y, z)``, a function of three arguments gets everything after the inputs, any other function
    ``y``.
    """
    if loss_fn is None:
        own = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
        if own is None:
            raise ValueError(
                f"loss_fn: expected a function loss_fn(outputs, targets), got none, and the model's outputs "
                f"({type(outputs).__name__}) hold no loss; pass loss_fn, or a batch with labels to models of "
                "transformers"
            )
        return own
    given = (targets,)
    if isinstance(targets, Targets):
        given = targets.parts[: max(_required(loss_fn) - 1, 1)]
    return noting(lambda _: note_on_loss(outputs, given[0]), lambda: loss_fn(outputs, *given))


def _required(function: Callable[..., Any]) -> int:
    """The number of arguments that a function needs."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 2
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)


def checked_batch_size(method: str, size: Any) -> int | None:
    """The ``batch_size`` of a method, or a ``ValueError`` that says which values are allowed."""
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ValueError(f"{method}.batch_size: expected None or an int of at least 1, got {size!r}")
    return size


class Rebatched:
    """Batches of at most ``size`` examples, as views of larger batches.

    Example:
        >>> batches = [(torch.rand(5, 3), torch.arange(5))]
        >>> [len(inputs) for inputs, targets in Rebatched(batches, 2)]
        [2, 2, 1]
    """

    def __init__(self, data: Iterable[Any], size: int) -> None:
        self.data = data
        self.size = size

    def __iter__(self) -> Iterator[Batch]:
        """Read the batches again."""
        for batch in batches(self.data):
            examples = batch_size(batch[0])
            leaves, spec = tree_flatten(batch)
            for start in range(0, examples, self.size):
                stop = min(start + self.size, examples)
                yield tree_unflatten([_part(leaf, examples, start, stop) for leaf in leaves], spec)


def _part(leaf: Any, examples: int, start: int, stop: int) -> Any:
    """Some examples of a tensor of a batch; tensors without dimensions are the same for all examples."""
    if not isinstance(leaf, Tensor) or not leaf.dim():
        return leaf
    if leaf.shape[0] != examples:
        raise ValueError(
            f"data: expected {examples} as the first dimension of each tensor of a batch, to cut it by batch_size, got "
            f"shape {tuple(leaf.shape)}; pass a list of smaller batches instead"
        )
    return leaf[start:stop]


def batches(data: Iterable[Any]) -> Iterator[Batch]:
    """Yield the checked ``(inputs, targets)`` batches of an iterable.

    Raises ``TypeError`` for anything other than a pair, and ``ValueError`` if there is no batch or no example.
    """
    index = -1
    for index, batch in enumerate(data):
        if isinstance(batch, Mapping):
            inputs, targets = as_dicts(batch), as_dicts(batch)
        elif isinstance(batch, (tuple, list)) and len(batch) > 1:
            inputs, targets = batch[0], batch[1] if len(batch) == 2 else Targets(tuple(batch[1:]))
        else:
            instead = "; torch.from_numpy(x) makes a tensor" if type(batch).__module__ == "numpy" else ""
            raise TypeError(f"data: {EXPECTED}, got {type(batch).__name__} as batch {index}{instead}")
        if batch_size(inputs) == 0:
            raise ValueError(f"data: expected at least one example in a batch, got none in batch {index}")
        yield inputs, targets
    if index < 0:
        raise ValueError("data: expected at least one batch, got none; an empty loader or dataset has no gradient")


def batch_size(inputs: Any) -> int:
    """The number of examples in a batch: the first dimension of the first tensor of its inputs."""
    for part in inputs if isinstance(inputs, tuple) else (inputs,):
        if is_list_of_images(part):
            return len(part)
    tensors = [leaf for leaf in tree_flatten(as_dicts(inputs))[0] if isinstance(leaf, Tensor)]
    if not tensors or tensors[0].dim() == 0:
        raise TypeError(f"data: expected inputs that hold tensors with a batch dimension, got {type(inputs).__name__}")
    return tensors[0].shape[0]
