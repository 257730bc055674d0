"""The inputs of a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow._torch.pytree import tree_leaves, tree_map


def as_dicts(tree: Any) -> Any:
    """The tree with any mapping at its top, such as the encoding of a tokenizer, as a dict."""
    if isinstance(tree, Mapping):
        return {key: as_dicts(value) for key, value in tree.items()}
    if type(tree) in (tuple, list):
        return type(tree)(as_dicts(value) for value in tree)
    return tree


def is_list_of_images(value: Any) -> bool:
    """Whether a value is a list of three-dimensional images, as for detection models."""
    return isinstance(value, list) and bool(value) and all(isinstance(v, Tensor) and v.dim() == 3 for v in value)


def called_with(model: nn.Module, inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and the keyword arguments of a model.

    Tuples and lists are unpacked, and mappings are unpacked by keyword. A list of images is one argument if the model
    has only one argument without a default.
    """
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, tuple) or (
        isinstance(inputs, list) and not (is_list_of_images(inputs) and _takes_one(model))
    ):
        return tuple(inputs), {}
    return (inputs,), {}


def _takes_one(model: nn.Module) -> bool:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in arguments(model)) == 1


def arguments(model: nn.Module) -> list[inspect.Parameter]:
    """The arguments of a model's ``forward``, as far as Python can tell."""
    try:
        return list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):
        return []


def one_example(inputs: Any) -> Any:
    """The first example of some inputs, with ones for floating-point numbers; other values do not change.

    If the first dimensions of tensors differ, as for the nodes and edges of a graph, they are not a batch, and
    everything is kept.
    """
    inputs = _first_images(as_dicts(inputs))
    tensors = [leaf for leaf in _outside_images(inputs) if leaf.dim()]
    batched = len({len(tensor) for tensor in tensors}) == 1

    def one(leaf: Any) -> Any:
        if is_list_of_images(leaf):
            return [_ones(image.shape, image) if image.is_floating_point() else image for image in leaf]
        if not isinstance(leaf, Tensor):
            return leaf
        shape = (1, *leaf.shape[1:]) if batched and leaf.dim() else leaf.shape
        return _ones(shape, leaf) if leaf.is_floating_point() else leaf[: shape[0]] if leaf.dim() else leaf

    return _map(one, inputs)


def _ones(shape: Any, like: Tensor) -> Tensor:
    """Ones, which need only a shape."""
    return torch.ones(shape, dtype=like.dtype, device="cpu" if like.is_meta else like.device)


def _first_images(tree: Any) -> Any:
    """The tree with the first image of each list of images."""
    return _map(lambda leaf: leaf[:1] if is_list_of_images(leaf) else leaf, tree)


def _map(function: Callable[[Any], Any], tree: Any) -> Any:
    """Like ``tree_map``, with a list of images as a leaf."""
    if is_list_of_images(tree):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: _map(function, value) for key, value in tree.items()}
    if type(tree) in (tuple, list):
        return type(tree)(_map(function, value) for value in tree)
    return tree_map(function, tree)


def _outside_images(tree: Any) -> Iterator[Tensor]:
    found: list[Tensor] = []
    _map(lambda leaf: found.append(leaf) if isinstance(leaf, Tensor) else None, tree)
    yield from found


def check_example(inputs: Any) -> None:
    """Raise unless the inputs hold a tensor with at least one example, and with values if these matter."""
    tensors = [leaf for leaf in tree_leaves(as_dicts(inputs)) if isinstance(leaf, Tensor)]
    if not tensors:
        raise TypeError(
            "example_inputs: expected a tensor, or a tuple or mapping of the model's inputs, got "
            f"{type(inputs).__name__} without a tensor; {_instead(inputs)}"
        )
    for tensor in tensors:
        if tensor.dim() and not len(tensor):
            raise ValueError(
                f"example_inputs: expected at least one example, got none in a tensor of shape {tuple(tensor.shape)}; "
                "the first dimension is the batch"
            )
        if tensor.is_meta and not tensor.is_floating_point():
            raise ValueError(
                f"example_inputs: expected values, got a tensor of shape {tuple(tensor.shape)} on the meta device; "
                "floating-point inputs need only a shape, but integers need values"
            )


def _instead(inputs: Any) -> str:
    """What to pass in the place of inputs that hold no tensor."""
    leaves = tree_leaves(inputs)
    if isinstance(inputs, Iterable) and hasattr(inputs, "dataset"):
        return "pass the inputs of one batch: next(iter(loader))[0]"
    if hasattr(inputs, "__array__"):
        return "torch.from_numpy(x) makes one"
    if leaves and all(isinstance(leaf, str) for leaf in leaves):
        return "pass what a tokenizer returns: tokenizer(text, return_tensors='pt')"
    if isinstance(inputs, tuple) and inputs and all(isinstance(size, int) for size in inputs):
        return f"if this is a shape, pass torch.ones{tuple(inputs)}"
    if isinstance(inputs, list) and leaves and all(isinstance(leaf, (int, float)) for leaf in leaves):
        return "torch.tensor(x) makes one"
    return "pass for example torch.ones(1, 3, 32, 32)"


def moved(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A tensor of a batch on ``device``, in ``dtype`` if it is floating-point; other values do not change."""
    if not isinstance(value, Tensor):
        return value
    if value.is_meta:
        raise ValueError(
            f"data: expected values, got a tensor of shape {tuple(value.shape)} on the meta device; pass batches with "
            "values"
        )
    if value.is_inference():
        value = value.clone()
    return value.to(device, dtype) if value.is_floating_point() else value.to(device)


def described(value: Any) -> str:
    """Shapes and dtypes of the tensors in a value, for messages."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {described(part)}" for key, part in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        few = [described(part) for part in value[:4]] + ["..."] * (len(value) > 4)
        return f"[{', '.join(few)}]" if isinstance(value, list) else f"({', '.join(few)})"
    return type(value).__name__
