"""The mark that distinguishes scores from weights, and the checks before ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from torch_synflow._torch.subclasses import as_plain_tensors
from torch_synflow._warnings import listed
from torch_synflow.model.parameters import Entry
from torch_synflow.scoring.task import Weights


class Scores(Tensor):
    """A tensor marked as scores, which an unbound method may rank; higher means keep.

    Without scores, torch's ``global_unstructured`` passes the raw weights to a method. Numbers alone do not distinguish
    the two, so the ``*_scores`` functions mark their results. Copies, moves, slices, and concatenations with other
    scores keep the mark. Mark your own scores with ``tensor.as_subclass(Scores)``.

    Example:
        >>> scores = torch.tensor([0.5, 2.0]).as_subclass(Scores)
        >>> type(scores[:1]).__name__, type(torch.cat([scores, torch.ones(2)])).__name__
        ('Scores', 'Tensor')
    """

    _KEEP: ClassVar[frozenset[Any]] = frozenset(
        {
            torch.cat, torch.clone, torch.Tensor.__deepcopy__, torch.Tensor.__getitem__, torch.Tensor.clone,
            torch.Tensor.cpu, torch.Tensor.cuda, torch.Tensor.detach, torch.Tensor.flatten,
            torch.Tensor.reshape, torch.Tensor.to, torch.Tensor.view, torch.Tensor.view_as,
        }
    )  # fmt: skip

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func``, and mark the result only if ``func`` copies or moves only scores."""
        parts = args[0] if func is torch.cat else args[:1]
        with as_plain_tensors():
            result = func(*args, **(kwargs or {}))
            if func in cls._KEEP and all(isinstance(part, Scores) for part in parts):
                result = result.as_subclass(cls)
        return result


def is_finite(tensor: Tensor) -> bool:
    """Whether every element is finite. The sum, which is quick to compute, almost always decides."""
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def require_real(score: Any, what: str, name: str) -> None:
    """Raise a ``TypeError`` unless ``score`` is a tensor of numbers that have an order."""
    if not isinstance(score, Tensor):
        got = type(score).__name__
    elif score.is_complex() or score.dtype == torch.bool:
        got = str(score.dtype)
    elif score.layout != torch.strided:
        got = str(score.layout)
    elif score.is_meta:
        got = "one without values"
    else:
        return
    raise TypeError(f"{what}: expected a real tensor for {name}, got {got}")


def require_shape(entry: Entry, tensor: Tensor, what: str) -> None:
    """Raise a ``ValueError`` unless ``tensor`` has the shape of the entry's parameter."""
    if tensor.shape != entry.parameter.shape:
        raise ValueError(
            f"{what}: expected shape {tuple(entry.parameter.shape)}, that of {entry.label}, got {tuple(tensor.shape)}"
        )


def require_scores(scores: Any, weights: Weights, method: str) -> None:
    """Raise unless the result of a user's method has a real tensor of the right shape for each weight."""
    if not isinstance(scores, Mapping):
        raise TypeError(f"{method}.saliency: expected a mapping from names to scores, got {type(scores).__name__}")
    missing = [name for name in weights if name not in scores]
    if missing:
        raise ValueError(
            f"{method}.saliency: expected scores for each name in network.weights, got none for {listed(missing)}"
        )
    for name, weight in weights.items():
        score = scores[name]
        require_real(score, f"{method}.saliency", name)
        if score.shape != weight.shape:
            turned = "; these are transposed" if score.shape == weight.shape[::-1] else ""
            raise ValueError(
                f"{method}.saliency: expected shape {tuple(weight.shape)} for {name}, got {tuple(score.shape)}{turned}"
            )


def require_finite(entries: Sequence[Entry], tensors: Sequence[Tensor], what: str) -> None:
    """Raise a ``ValueError`` that names the entries whose tensors hold NaN or infinity."""
    bad = [entry.label for entry, tensor in zip(entries, tensors, strict=True) if not is_finite(tensor)]
    if bad:
        raise ValueError(
            f"{bad[0]}: expected finite {what}, got NaN or infinity{and_others(bad)}; look for NaN weights or "
            "data, and for activations that overflow (a wider dtype, or normalisation, keeps them finite)"
        )


def require_nonzero(entries: Sequence[Entry], scores: Sequence[Tensor], method: str) -> None:
    """Raise a ``ValueError`` that names the entries whose scores are all zero."""
    dead = [e.label for e, score in zip(entries, scores, strict=True) if score.numel() and not bool(score.any())]
    if dead:
        raise ValueError(
            f"{dead[0]}: every one of its {method} scores is zero{and_others(dead)}; expected an input-output path "
            "through it: it or a neighbouring layer is zero-initialised, saturated, dropped at random for all examples "
            "(give more), or unused in this mode; leave such weights out or initialise them"
        )


def and_others(labels: Sequence[str]) -> str:
    """The first few names after the first one, in parentheses."""
    if len(labels) == 1:
        return ""
    more = f" and {len(labels) - 5} more" if len(labels) > 5 else ""
    return f" (also {', '.join(labels[1:5])}{more})"
