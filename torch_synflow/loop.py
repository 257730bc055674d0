"""The loop: score, select, repeat, and attach the masks once at the end."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod

from torch_synflow._progress import shown
from torch_synflow._torch.fully_sharded import reshard
from torch_synflow._warnings import listed, warn_user
from torch_synflow.budget.allocation import LayerDensities
from torch_synflow.budget.counts import check_amount, in_percent
from torch_synflow.budget.patterns import Pattern
from torch_synflow.budget.quotas import quotas_of
from torch_synflow.methods.rounds import rounds_of
from torch_synflow.model.masks import put_mask
from torch_synflow.model.parameters import (
    Entry,
    ExampleInputs,
    Parameters,
    PrunableParameters,
    as_pairs,
    prunable_parameters,
    resolve,
    unwrap,
)
from torch_synflow.model.transaction import all_or_nothing
from torch_synflow.model.zeros import warn_of_zeros
from torch_synflow.parallel.choosing import agree_on_parts, course_of
from torch_synflow.parallel.ranks.description import described, digest
from torch_synflow.parallel.ranks.meeting import Meeting, together
from torch_synflow.reachability.emptied import warn_of_emptied
from torch_synflow.reachability.losses import losses
from torch_synflow.report import LayerReport, PruningReport
from torch_synflow.schedules import Schedule
from torch_synflow.scoring.task import Data, LossFunction, Outputs, Task

Callback = Callable[[int, PruningReport], object]


def global_iterative_unstructured(
    parameters: Parameters,
    pruning_method: type[BasePruningMethod],
    amount: float = None,  # type: ignore[assignment]  # noqa: RUF013 (a call with sparsity= alone gets its hint)
    *,
    model: nn.Module | None = None,
    example_inputs: ExampleInputs | None = None,
    data: Data | None = None,
    loss_fn: LossFunction | None = None,
    outputs: Outputs | None = None,
    iterations: int | None = None,
    schedule: Schedule | None = None,
    layer_densities: LayerDensities | None = None,
    pattern: Pattern | None = None,
    progress: bool | None = None,
    callback: Callback | None = None,
    **unexpected: NoReturn,
) -> PruningReport:
    r"""Prune many parameters together, in several rounds of scoring and removing the lowest scores.

    After iteration :math:`k` of :math:`n`, the density is ``schedule(k, n, density)``, by default :math:`d^{k/n}`. The
    final count is exact. The call attaches the masks once, at the end, as torch's ``global_unstructured`` does:
    ``name_orig``, ``name_mask`` and one forward pre-hook. The call is atomic: after any exception,
    ``KeyboardInterrupt`` included, the model is unchanged.

    Args:
        parameters: an iterable of ``(module, name)`` pairs, as for torch's ``global_unstructured``; the list that
            ``prunable_parameters`` returns, which remembers its model; or a model, for all its prunable weights. A
            tensor that is tied or listed twice counts once and gets one mask everywhere.
        pruning_method: any unstructured ``BasePruningMethod`` class: ``SynFlow``, ``SNIP``, ``GraSP``, torch's
            ``L1Unstructured`` or ``RandomUnstructured``, your own class, or a class made by ``bind``.
        amount: how much to remove, as in torch: a float between 0 and 1 is the fraction of the weights not yet pruned,
            and an int is a number of weights.
        model: the model to score, if ``parameters`` does not remember it.
        example_inputs: the model's inputs (SynFlow): a tensor, a tuple of positional arguments, or a mapping of keyword
            arguments. If the only argument is itself a mapping ``d``, pass ``(d,)``. The first dimension is the batch,
            unless it differs between tensors.
        data: one batch ``(inputs, targets)``, or an iterable of batches such as a ``DataLoader`` (SNIP, GraSP). A batch
            that is a mapping holds the model's keyword arguments, targets included.
        loss_fn: ``loss_fn(outputs, targets)``, the mean over the examples of a batch (SNIP, GraSP). A function of three
            arguments also gets the rest of a batch ``(inputs, targets, rest)``. Without ``loss_fn``, a batch that is a
            mapping uses the ``loss`` that the model returns.
        outputs: the outputs of the model that count, for SynFlow's R and for ``loss_fn``: a key or attribute such as
            ``"logits"``, an index, a function of the outputs, a submodule or its name, or a list of these. A submodule
            counts each time that it runs. By default all outputs count, including hidden states and auxiliary heads,
            and R is their sum. While SynFlow scores, the rest of the model reads zeros in place of the outputs of a
            submodule that counts. Name the last submodules, such as the ``"head"`` of a detector that chooses boxes.
        iterations: the number of iterations; by default the method's own: 100 for SynFlow and IterativeSNIP, 60 for
            FORCE and GraSPIt, and 1 for all others.
        schedule: a function ``schedule(step, steps, density) -> density`` such as those of
            ``torch_synflow.schedules``; by default the method's own, which is exponential.
        layer_densities: kept / total of each layer by qualified name or ``(module, name)`` pair, such as the
            ``densities`` of a report, or a rule ``rule(parameters, density)`` such as ``prune.erk``. The call then
            prunes the lowest scores of each layer, and each layer follows the schedule. Together, the densities must
            keep as many weights as ``amount`` leaves. By default, all layers share one ranking.
        pattern: ``prune.n_of_m(n, m)`` keeps the best n of every m consecutive elements of a row, a pattern for sparse
            tensor cores. ``amount`` must then be ``1 - n / m``.
        progress: whether to show a progress bar (needs tqdm). By default, a bar appears in a terminal or notebook if
            the call takes longer than five seconds. It counts iterations, and the batches of data in each.
        callback: a function ``callback(step, report)`` that is called after each iteration, with ``step`` counted from
            1. These reports do not distinguish bypassed layers from layer collapse, because the call checks paths only
            once, at the end.
        **unexpected: none. Other names raise an error that suggests a similar one.

    Returns:
        A report of the kept weights of each tensor, which prints as a table.

    Warns:
        EmptiedLayersWarning: once, if the call empties layers, or cuts inputs or outputs off. The warning names them,
            and the layers that a shortcut bypasses. Paths are checked if the model and its inputs are known. With
            ``layer_densities``, which may ask for empty layers, it comes only if something is cut off. It comes before
            the masks are attached, so a filter that turns it into an error leaves the model unchanged.

    Raises:
        TypeError, ValueError: if an argument is invalid. The message names the argument or parameter, the expected and
            the actual value, and the fix.
        ImportError: if ``progress`` is set and tqdm is not installed.

    Source: Tanaka et al. 2020, algorithm 1.

    Example:
        >>> from torch_synflow import prune
        >>> model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        >>> report = prune.global_iterative_unstructured(
        ...     model, prune.SynFlow, amount=0.75, example_inputs=torch.rand(1, 8)
        ... )
        >>> report.kept, report.total
        (48, 192)
        >>> prune.is_pruned(model)
        True
    """
    for name in unexpected:
        close = get_close_matches(name, inspect.signature(global_iterative_unstructured).parameters, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        if name in ("sparsity", "density"):
            hint = "; amount is the fraction or the number of weights to remove"
        raise TypeError(f"global_iterative_unstructured() got an unexpected keyword argument {name!r}{hint}")
    task = Task(model, example_inputs, data, loss_fn, outputs)

    def work(meeting: Meeting | None) -> PruningReport:
        limits = (iterations, schedule, layer_densities, pattern)
        return _pruned(meeting, parameters, pruning_method, amount, task, limits, progress, callback)

    return together("global_iterative_unstructured", work)


def _pruned(
    meeting: Meeting | None,
    parameters: Parameters,
    method: type[BasePruningMethod],
    amount: float,
    task: Task,
    limits: tuple[int | None, Schedule | None, LayerDensities | None, Pattern | None],
    progress: bool | None,
    callback: Callback | None,
) -> PruningReport:
    """Check, resolve, repeat and attach, together with the ranks of a meeting if there is one."""
    iterations, schedule, layer_densities, pattern = limits
    check_amount(amount)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback: expected a function callback(step, report), got {callback!r}")
    if isinstance(parameters, nn.Module):
        parameters = prunable_parameters(parameters)
        task = task.or_else(Task(parameters.model))
    remembered = Task(**vars(parameters)) if isinstance(parameters, PrunableParameters) else Task()
    pairs = as_pairs(parameters)
    rounds = rounds_of(method, task, remembered)
    task, model = rounds.task, rounds.task.model
    inner = unwrap(model) if model is not None else None
    reshard(inner)
    entries = resolve(pairs, inner)
    steps = _checked_iterations(rounds.iterations if iterations is None else iterations)
    density_after = rounds.schedule if schedule is None else schedule
    arguments = {
        "amount": amount, "iterations": steps, "schedule": density_after, "layer_densities": layer_densities,
        "pattern": str(pattern), "loss_fn": task.loss_fn, "outputs": task.outputs,
    }  # fmt: skip
    agree_on_parts(meeting, entries, arguments)
    alive = sum(entry.alive for entry in entries)
    warn_of_zeros(entries)
    if isinstance(amount, numbers.Integral) and in_percent(amount) and alive > 100 * amount:
        warn_user(f"amount: {amount} is a count, out of {alive:,} weights{in_percent(amount)}")
    quotas = quotas_of(entries, pairs, inner, amount, steps, density_after, layer_densities, pattern)
    removes = sum(quotas[-1].numbers) < alive
    modules = [module for entry in entries for module, _ in entry.locations]

    def description() -> dict[str, str]:
        numbers = f"{listed(list(map(str, quotas[-1].numbers)))} ({digest([quota.numbers for quota in quotas])})"
        return {**described(entries, inner, method, arguments), "numbers of elements left": numbers}

    course = course_of(meeting, rounds, entries, description)
    del rounds

    def work() -> PruningReport:
        with shown(progress if course.speaks else False, steps, method.__name__) as bar:
            if removes:
                course.start(quotas[-1])
            for step, quota in enumerate(quotas, start=1):
                if removes:
                    with torch.autocast(entries[0].parameter.device.type, enabled=False):
                        course.prune(quota)
                if bar is not None:
                    bar.update()
                if callback is not None:
                    callback(step, _report(entries, course.counts))
        masks = course.masks()
        report, found = _report(entries, course.counts), None
        if report.kept and (removes or report.empty_layers):
            found = losses(task, entries, masks)
            if found is not None:
                report = replace(report, bypassed=found.after.bypassed, collapsed=found.after.collapsed)
            warn_of_emptied(entries, report, found, method, asked=layer_densities is not None)
        _attach(entries, masks)
        course.settle()
        return report

    return all_or_nothing(modules if model is None else [*modules, model], work)


def _attach(entries: Sequence[Entry], masks: Sequence[Tensor]) -> None:
    """Put the masks on the modules with torch's own function, at every place of a tied tensor."""
    for entry, kept in zip(entries, masks, strict=True):
        for pair in entry.locations:
            put_mask(pair, kept, entry.parameter)


def _report(entries: Sequence[Entry], counts: Sequence[int]) -> PruningReport:
    return PruningReport(tuple(LayerReport(e.label, kept, e.total) for e, kept in zip(entries, counts, strict=True)))


def _checked_iterations(iterations: Any) -> int:
    if isinstance(iterations, bool) or not isinstance(iterations, numbers.Integral):
        raise TypeError(f"iterations: expected an int of at least 1, got {iterations!r}")
    if iterations < 1:
        raise ValueError(f"iterations: expected at least 1, got {iterations}")
    return int(iterations)
