"""Pruning during and after training: rewinding to snapshots, and iterative magnitude pruning.

The user provides the training, as a function ``train(start, stop)`` that trains the model from step ``start`` to step
``stop``, or to the end if ``stop`` is ``None``. The function defines the meaning of a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils.prune import L1Unstructured

from torch_synflow.budget.counts import check_amount, check_count
from torch_synflow.loop import global_iterative_unstructured
from torch_synflow.model.parameters import Parameters, as_pairs, resolve, unwrap
from torch_synflow.model.training_state import TrainingSnapshot, rewind, take_snapshot
from torch_synflow.report import PruningReport

#: a function that trains the model from step ``start`` to step ``stop``, or to the end
Train = Callable[[int, int | None], object]
#: a function that is called after each level with its number, from 1, and the report
LevelCallback = Callable[[int, PruningReport], object]
#: the start of the training that follows pruning
REMAINING = ("from_start", "from_step")

__all__ = ["TrainingSnapshot", "iterative_magnitude_pruning", "prune_at_step", "rewind", "take_snapshot"]


def __dir__() -> list[str]:
    return sorted(__all__)


def iterative_magnitude_pruning(
    model: nn.Module,
    train: Train,
    *,
    levels: int,
    amount: float = 0.2,
    step: int = 0,
    optimizer: torch.optim.Optimizer | None = None,
    parameters: Parameters | None = None,
    callback: LevelCallback | None = None,
) -> PruningReport:
    """Find a lottery ticket: train, prune the lowest magnitudes, rewind to an early step, and repeat.

    The call runs ``train(0, step)`` once. At each level, it runs ``train(step, None)``, prunes globally by magnitude,
    and rewinds weights, buffers and optimiser to ``step``. The model is then pruned and rewound, and
    ``train(step, None)`` trains the ticket.

    Args:
        model: the model, at its initial state.
        train: a function ``train(start, stop)`` that trains the model from step ``start`` to ``stop``, or to the end
            for ``None``.
        levels: the number of times to train and prune.
        amount: how much each level removes: a fraction of the remaining weights (0.2 in the papers), or a count.
        step: the step to rewind to. 0 is the original lottery ticket; a slightly later step is better for larger
            networks.
        optimizer: the optimiser to rewind too.
        parameters: ``(module, name)`` pairs; all prunable weights by default.
        callback: a function ``callback(level, report)`` that is called after each level, with ``level`` counted from 1
            and the model rewound.

    Returns:
        The report of the last level.

    Raises:
        TypeError, ValueError: if an argument is invalid. The message names it, and nothing is trained.

    Source: Frankle and Carbin 2019, "The lottery ticket hypothesis"; rewinding as in Frankle et al. 2021,
    appendix E.

    Example:
        >>> from torch_synflow import rewinding
        >>> model = nn.Linear(10, 10)
        >>> def train(start, stop):
        ...     model.weight.data.mul_(2)  # your training
        >>> rewinding.iterative_magnitude_pruning(model, train, levels=3).kept
        51
    """
    _check_train(train)
    for name, value, least in (("levels", levels, 1), ("step", step, 0)):
        check_count(name, value, least)
    check_amount(amount)
    pairs = as_pairs(unwrap(model) if parameters is None else parameters)
    resolve(pairs, unwrap(model))
    if step:
        train(0, step)
    start = take_snapshot(model, optimizer)
    for level in range(1, levels + 1):
        train(step, None)
        report = global_iterative_unstructured(pairs, L1Unstructured, amount, model=model)
        rewind(model, start, optimizer)
        if callback is not None:
            callback(level, report)
    return report


def prune_at_step(
    train: Train, prune: Callable[[], PruningReport], *, step: int | None, remaining: str = "from_start"
) -> PruningReport:
    """Train to a step, prune, and train the pruned network, from pruning at initialisation (step 0) to after training.

    Args:
        train: a function ``train(start, stop)`` that trains the model from step ``start`` to ``stop``, or to the end
            for ``None``.
        prune: a function that prunes the model, such as
            ``lambda: prune.global_iterative_unstructured(model, prune.SynFlow, 0.9, example_inputs=x)``.
        step: the step at which to prune; ``None`` is the end of training.
        remaining: the training after pruning. ``"from_start"`` repeats the whole schedule from step 0, with the current
            weights, so networks that are pruned early and late train equally long (learning rate rewinding).
            ``"from_step"`` continues from ``step``, so the total is one training. It leaves no steps at the end of
            training, so ``step=None`` raises an error.

    Returns:
        The return value of ``prune``.

    Raises:
        TypeError, ValueError: if an argument is invalid. The message names it, and nothing is trained.

    Source: Frankle et al. 2021, section 3 ("repeating the entire learning rate schedule from the start") and section
    6 with figure 6; Renda et al. 2020, "Comparing rewinding and fine-tuning in neural network pruning".

    Example:
        >>> from torch_synflow import rewinding
        >>> model = nn.Linear(10, 10)
        >>> def train(start, stop):
        ...     print("train from", start, "to", stop)
        >>> report = rewinding.prune_at_step(
        ...     train,
        ...     lambda: prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.9),
        ...     step=100,
        ... )
        train from 0 to 100
        train from 0 to None
    """
    _check_train(train)
    if not callable(prune):
        raise TypeError(f"prune: expected a function without arguments that prunes the model, got {prune!r}")
    if step is not None:
        check_count("step", step, 0)
    if remaining not in REMAINING:
        raise ValueError(f"remaining: expected {' or '.join(map(repr, REMAINING))}, got {remaining!r}")
    if step is None and remaining == "from_step":
        raise ValueError(
            "remaining: 'from_step' would leave no training after step=None, the end; pass 'from_start' or a step"
        )
    if step != 0:
        train(0, step)
    report = prune()
    train(step or 0 if remaining == "from_step" else 0, None)
    return report


def _check_train(train: Any) -> None:
    if not callable(train):
        raise TypeError(f"train: expected a function train(start, stop), got {train!r}")
