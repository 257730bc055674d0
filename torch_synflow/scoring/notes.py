"""Notes on failed calls of a model or a loss: what was seen, where it failed, and what to write instead."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from torch_synflow._torch.classes import Convolution
from torch_synflow._torch.pytree import tree_leaves
from torch_synflow.scoring.inputs import arguments, described

Returned = TypeVar("Returned")

SPACE = ("", ", L", ", H, W", ", D, H, W")


def noting(note: Callable[[Exception], str], work: Callable[[], Returned]) -> Returned:
    """The result of ``work``; its errors keep their type and get a note on the cause."""
    try:
        return work()
    except Exception as error:
        text = note(error)
        if text and text not in getattr(error, "__notes__", ()):
            if hasattr(error, "add_note"):
                error.add_note(text)
            elif len(error.args) == 1 and isinstance(error.args[0], str):  # before Python 3.11
                error.args = (f"{error.args[0]}\n{text}",)
        raise


def note_on_call(model: nn.Module, argument: str, given: Any, seen: Any, error: Exception) -> str:
    """The note on a failed call of a model: its inputs, the module that failed, and what to write instead."""
    said, module, got = f"{argument}: the model was called with {described(seen)}", model, None
    if given is not seen:
        said += f", made from {described(given)}"
    names = {id(module): name for name, module in model.named_modules()}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if id(frame.f_locals.get("self")) in names:
            module = frame.f_locals["self"]
            got = next((got for name in ("input", "x") if isinstance(got := frame.f_locals.get(name), Tensor)), None)
    if module is not model:
        said += f"; it failed in module {names[id(module)]!r} ({type(module).__name__})"
    is_first = got is not None and isinstance(seen, Tensor) and got.shape == seen.shape
    if got is not None and (takes := _takes(module)):
        said += f", which takes {takes}" + f" and got {described(got)}" * (not is_first)
    if isinstance(module, nn.Embedding) and got is not None and got.numel() and not got.is_floating_point():
        said += f"; the ids are from {int(got.min())} to {int(got.max())}"
    return "; ".join([said, *_advice(model, module if is_first else None, given)])


def _takes(layer: nn.Module) -> str:
    """The inputs that a layer takes."""
    if isinstance(layer, Convolution):
        return f"(N, {layer.in_channels}{SPACE[len(layer.kernel_size)]})"
    if isinstance(layer, nn.Linear):
        return f"(..., {layer.in_features})"
    return f"integers from 0 to {layer.num_embeddings - 1}" if isinstance(layer, nn.Embedding) else ""


def _advice(model: nn.Module, first: nn.Module | None, given: Any) -> list[str]:
    """What to write instead of ``given``; ``first`` is the module that failed, if it reads the inputs of the model."""
    if isinstance(given, Tensor):
        return _advice_on_tensor(first, given)
    parts = [part for part in tree_leaves(given) if isinstance(part, Tensor)]
    if isinstance(given, Mapping):
        takes = [argument.name for argument in arguments(model)]
        few = ", ".join(takes[:6] + ["..."] * (len(takes) > 6))
        advice = [f"a mapping holds keyword arguments, and the model takes {few}"] if few else []
        if len(takes) == 1:
            advice.append("if the argument is itself a mapping d, pass (d,)")
        if all(part.dim() == 1 for part in parts):
            advice.append("the first dimension is the batch: if this is one example, pass x[None] for each tensor x")
        return advice
    if len(parts) == 2 and isinstance(given, (tuple, list)):
        return [f"a {type(given).__name__} holds the arguments of the model: for a batch (x, y), pass x"]
    return []


def _advice_on_tensor(first: nn.Module | None, x: Tensor) -> list[str]:
    one_example = "the first dimension is the batch: if this is one example, pass x[None]"
    if isinstance(first, nn.Embedding):
        return ["token ids are int64: pass x.long()"] if x.dtype not in (torch.int32, torch.int64) else []
    if isinstance(first, (Convolution, nn.Linear)) and not x.is_floating_point():
        return [f"integers are not converted: pass x.float(){' / 255' * (x.element_size() == 1)}"]
    if isinstance(first, nn.Linear):
        return [one_example] if x.shape == (first.in_features,) else [f"pass {first.in_features} features per example"]
    if not isinstance(first, Convolution):
        return [one_example] if x.dim() == 1 or (x.dim() == 3 and x.is_floating_point()) else []
    channels, dim = first.in_channels, len(first.kernel_size) + 2
    if x.dim() == dim - 1 and x.shape[0] == channels:
        return [one_example]
    if x.dim() == dim and x.shape[-1] == channels:
        return ["channels come second: pass x.movedim(-1, 1)"]
    if x.dim() == dim and x.shape[1] == 1:
        return [f"to repeat the channel, pass x.expand{(-1, channels, *[-1] * (dim - 2))}"]
    return [f"pass inputs of shape {_takes(first)}"]


def note_on_loss(outputs: Any, targets: Any) -> str:
    """The note on a failed loss: its arguments, and possible mistakes."""
    said = f"loss_fn: called with outputs {described(outputs)} and targets {described(targets)}"
    tensors = isinstance(outputs, Tensor) and isinstance(targets, Tensor)
    advice = _advice_on_targets(outputs, targets) if tensors and outputs.dim() > 1 else ""
    return f"{said}; {advice}" if advice else said


def _advice_on_targets(outputs: Tensor, targets: Tensor) -> str:
    """What to write instead of ``targets``."""
    are_integers = not targets.is_floating_point()
    if targets.shape == outputs.shape:
        return "targets of the shape of the outputs are floating-point: targets.float()" if are_integers else ""
    if targets.numel() == outputs.numel():
        return f"expected targets of the shape of the outputs: targets.view_as(outputs){'.float()' * are_integers}"
    if targets.shape[:1] != outputs.shape[:1]:
        seen = len(targets) if targets.dim() else "one number"
        return f"expected a target for each of {len(outputs)} examples, got {seen}"
    if targets.dim() == outputs.dim():
        one_each = are_integers and targets.dim() == 2 and targets.shape[1] == 1
        return "classes are one number per example: targets.squeeze(1)" if one_each else ""
    if targets.dim() > outputs.dim():
        return ""
    if targets.dtype not in (torch.int64, torch.uint8):
        return f"classes are integers{' of 64 bits' * are_integers}: targets.long()"
    if targets.shape == outputs.shape[:-1] != (*outputs.shape[:1], *outputs.shape[2:]):
        return "classes are the second dimension of the outputs: outputs.movedim(-1, 1)"
    low, high, last = int(targets.min()), int(targets.max()), outputs.shape[1] - 1
    return f"expected classes from 0 to {last}, got {low} to {high}" if low < 0 or high > last else ""
