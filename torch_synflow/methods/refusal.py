"""The arguments that a method needs, and errors that show a call that would work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn
from torch.nn.utils.prune import BasePruningMethod

from torch_synflow.scoring.data import check_loss, has_own_loss, rereadable
from torch_synflow.scoring.outputs import check_outputs
from torch_synflow.scoring.task import Task

_ARGUMENTS = {
    "example_inputs": "example_inputs=x",
    "data": "data=loader",
    "loss_fn": "loss_fn=torch.nn.functional.cross_entropy",
}


def call_that_works(method: type[BasePruningMethod], needs: Sequence[str], *, pairs: bool = False) -> str:
    """A call of ``global_iterative_unstructured`` with all arguments of a method, on a model or on a list of pairs."""
    passed = ", ".join(_ARGUMENTS[need] for need in needs)
    ours = "prune." if method.__module__.startswith("torch_synflow.") else ""
    name = ours + method.__name__.removesuffix("Unstructured")
    if pairs:
        return f"prune.global_iterative_unstructured(params, {name}, amount, model=model, {passed})"
    return f"prune.global_iterative_unstructured(model, {name}, amount, {passed})"


def refusal(method: type[BasePruningMethod], needs: Sequence[str]) -> str:
    """The error for raw weights, with the fix."""
    name = method.__name__
    return (
        f"{name} ranks scores, not weights, and got no scores and no bound model; pass importance_scores from "
        f"{name}.scores(...) (mark your own tensors with tensor.as_subclass(prune.Scores)), or use "
        f"{call_that_works(method, needs)}"
    )


def checked_task(task: Task, method: type[BasePruningMethod], needs: Sequence[str], batch_size: int | None) -> Task:
    """The task of a method, checked to have the needed arguments; data that can be read only once becomes a list."""
    optional = ("loss_fn",) if task.data is not None and has_own_loss(task.data) else ()
    missing = [argument for argument in ("model", *needs) if getattr(task, argument) is None]
    missing = [argument for argument in missing if argument not in optional]
    if missing:
        call = call_that_works(method, needs, pairs=task.model is None)
        raise ValueError(f"{method.__name__} needs {' and '.join(missing)}, got none; for example {call}")
    if not isinstance(task.model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(task.model).__name__}")
    check_outputs(task.outputs)
    check_loss(task.loss_fn if "loss_fn" in needs else None)
    return replace(task, data=rereadable(task.data, batch_size) if "data" in needs else None)
