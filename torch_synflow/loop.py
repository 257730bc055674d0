"""The loop: score, select, repeat, and attach the masks once at the end."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod, custom_from_mask

from torch_synflow.budget.allocation import LayerDensities, kept_of_layers
from torch_synflow.budget.counts import check_amount, kept_counts, to_remove
from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.model.masks import attach, ones_where
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
from torch_synflow.report import LayerReport, PruningReport
from torch_synflow.schedules import Schedule, exponential
from torch_synflow.scoring.marked import require_finite
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.task import Data, LossFunction, Task
from torch_synflow.selection.survivors import Survivors

Callback = Callable[[int, PruningReport], object]


def global_iterative_unstructured(
    parameters: Parameters,
    pruning_method: type[BasePruningMethod],
    amount: float,
    *,
    model: nn.Module | None = None,
    example_inputs: ExampleInputs | None = None,
    data: Data | None = None,
    loss_fn: LossFunction | None = None,
    iterations: int | None = None,
    schedule: Schedule | None = None,
    layer_densities: LayerDensities | None = None,
    progress: bool = False,
    callback: Callback | None = None,
) -> PruningReport:
    r"""Prune many parameters together, in several rounds of scoring and removing the lowest scores.

    After iteration :math:`k` of :math:`n` the density is ``schedule(k, n, density)``, by default
    :math:`d^{k/n}`; the final count is exact. The masks are attached once, at the end, as torch's
    ``global_unstructured`` attaches them: ``name_orig``, ``name_mask`` and one forward pre-hook. Any
    exception, ``KeyboardInterrupt`` included, leaves the model exactly as it was.

    Args:
        parameters: ``(module, name)`` pairs in any iterable, as torch's ``global_unstructured`` takes them; or
            the list of ``prunable_parameters``, which remembers its model; or a model, for all its prunable
            weights. A tensor that is listed twice or tied counts once and gets one mask everywhere.
        pruning_method: any unstructured ``BasePruningMethod`` class: ``SynFlow``, ``SNIP``, ``GraSP``, torch's
            ``L1Unstructured`` or ``RandomUnstructured``, one of your own; also a class made by ``bind``.
        amount: what to remove, as in torch: a float between 0 and 1 is the fraction of the entries not yet
            pruned, an int their number.
        model: the model to score, where ``parameters`` does not remember it.
        example_inputs: what the model is called with (SynFlow).
        data: one batch ``(inputs, targets)`` or an iterable of batches such as a ``DataLoader`` (SNIP, GraSP).
        loss_fn: ``loss_fn(outputs, targets)``, the mean over the examples of a batch (SNIP, GraSP).
        iterations: how many rounds; by default the method's own: 100 for SynFlow and IterativeSNIP, 60 for FORCE and
            GraSPIt, 1 for all others.
        schedule: a function ``schedule(step, steps, density) -> density`` such as those of
            ``torch_synflow.schedules``; by default the method's own, exponential.
        layer_densities: kept / total of each layer by qualified name or ``(module, name)`` pair, such as the
            ``densities`` of a report, or a rule ``rule(parameters, density)`` that gives them, such as ``prune.erk``.
            The lowest scores of each layer are then pruned rather than those of all together, and the schedule is
            each layer's own. Together they must keep what ``amount`` leaves; by default there is no such limit.
        progress: show a progress bar (needs tqdm).
        callback: called as ``callback(step, report)`` after each iteration, ``step`` from 1.

    Returns:
        A report of what is kept of each tensor, which prints as a table.

    Raises:
        TypeError, ValueError: naming the argument or entry, what was expected and got, and what to do.
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
    _check_method(pruning_method)
    check_amount(amount)
    if isinstance(parameters, nn.Module):
        parameters = prunable_parameters(parameters)
        model = parameters.model if model is None else model
    task = _merged(
        pruning_method,
        {"model": model, "example_inputs": example_inputs, "data": data, "loss_fn": loss_fn},
        vars(parameters) if isinstance(parameters, PrunableParameters) else {},
    )
    steps = 1
    density_after: Schedule = exponential
    if issubclass(pruning_method, SaliencyUnstructured):
        task = pruning_method.require(task)
        steps, density_after = pruning_method.iterations, pruning_method.schedule
    elif task.model is not None and not isinstance(task.model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(task.model).__name__}")
    pairs = as_pairs(parameters)
    inner = unwrap(task.model) if task.model is not None else None
    entries = resolve(pairs, inner)
    steps = _checked_iterations(steps if iterations is None else iterations)
    alive = sum(int(entry.mask.sum()) for entry in entries)
    kept = alive - to_remove(amount, alive)
    density_after = density_after if schedule is None else schedule
    if layer_densities is None:
        parts = [(alive, kept)]
    else:
        left = [int(entry.mask.sum()) for entry in entries]
        parts = list(zip(left, kept_of_layers(layer_densities, entries, pairs, inner, kept), strict=True))
    counts = list(zip(*(kept_counts(density_after, steps, *part) for part in parts), strict=True))
    modules = [module for entry in entries for module, _ in entry.locations]
    with all_or_nothing([*modules, task.model] if task.model is not None else modules):
        with _bar(progress, steps, pruning_method.__name__) as advance:
            survivors = Survivors([entry.mask for entry in entries])
            network = None
            if issubclass(pruning_method, SaliencyUnstructured) and kept < alive:
                network = pruning_method.network(task, entries, survivors.masks)
            for step, keeps in enumerate(counts, start=1):
                with torch.autocast(entries[0].parameter.device.type, enabled=False):
                    survivors = _one_iteration(pruning_method, network, entries, survivors, keeps)
                advance()
                if callback is not None:
                    callback(step, _report(entries, survivors))
        network = None  # its copies of the weights go before the masks come
        _attach(entries, survivors)
        return _report(entries, survivors)


def _one_iteration(
    method: type[BasePruningMethod],
    network: Network | None,
    entries: Sequence[Entry],
    survivors: Survivors,
    keeps: Sequence[int],
) -> Survivors:
    """Score what is left and leave ``keeps`` entries of it: one number for all layers, or one for each.

    Where a method says that so much must not go at once it is scored more often.
    """
    returning = issubclass(method, SaliencyUnstructured) and method.pruned_may_return
    if returning:
        survivors = Survivors([entry.mask for entry in entries])
    if network is not None and issubclass(method, SaliencyUnstructured):
        while list(keeps) != (sizes := _sizes(survivors, keeps)):
            scores = method.score_entries(entries, network)
            survivors.keep_highest(scores, keeps)
            with torch.inference_mode(False):  # autograd saves no tensor that was made in that mode
                if returning:
                    network.leave(survivors)
                else:
                    network.remove(survivors, zeroed=scores.drops)
        return survivors
    sizes = _sizes(survivors, keeps)
    if list(keeps) == sizes:
        return survivors
    weights = [entry.parameter.detach() for entry in entries]
    require_finite(entries, weights, "weights")
    parts = survivors.of(weights).split(sizes)
    survivors.keep(torch.cat([_computed_mask(method, part, keep) for part, keep in zip(parts, keeps, strict=True)]))
    return survivors


def _sizes(survivors: Survivors, keeps: Sequence[int]) -> list[int]:
    """How many entries there are of what ``keeps`` counts."""
    return survivors.counts if len(keeps) == len(survivors.masks) > 1 else [survivors.total]


def _computed_mask(method: type[BasePruningMethod], vector: Tensor, keep: int) -> Tensor:
    """The entries that a method of torch's kind keeps of a vector of weights."""
    alive = vector.numel()
    selected = method(amount=alive - keep)  # type: ignore[call-arg]
    kept: Tensor = selected.compute_mask(vector, default_mask=torch.ones_like(vector)) != 0
    if kept.shape != vector.shape or int(kept.sum()) != keep:
        raise ValueError(
            f"pruning_method: expected {method.__name__}.compute_mask to keep {keep} of {alive} entries, "
            f"got a mask of shape {tuple(kept.shape)} that keeps {int(kept.sum())}; "
            "it must honour an integer amount"
        )
    return kept


def _attach(entries: Sequence[Entry], survivors: Survivors) -> None:
    """Put the masks on the modules through torch's own function, every place of a tied tensor included."""
    for number, entry in enumerate(entries):
        kept = survivors.whole(number)
        for module, name in entry.locations:
            mask = ones_where(kept, entry.parameter)
            attach((module, name), partial(custom_from_mask, module, name, mask), mask)


def _report(entries: Sequence[Entry], survivors: Survivors) -> PruningReport:
    return PruningReport(
        tuple(LayerReport(e.label, kept, e.total) for e, kept in zip(entries, survivors.counts, strict=True))
    )


def _merged(method: type[BasePruningMethod], given: Mapping[str, Any], remembered: Mapping[str, Any]) -> Task:
    """What is scored with: the call's own arguments, else the class's, else what the list remembers."""
    bound = method._task if issubclass(method, SaliencyUnstructured) else Task()
    values = {}
    for name in ("model", "example_inputs", "data", "loss_fn"):
        sources = (given.get(name), getattr(bound, name), remembered.get(name))
        values[name] = next((value for value in sources if value is not None), None)
    return Task(**values)


def _check_method(method: Any) -> None:
    if not (isinstance(method, type) and issubclass(method, BasePruningMethod)):
        raise TypeError(f"pruning_method: expected a BasePruningMethod class such as prune.SynFlow, got {method!r}")
    if getattr(method, "PRUNING_TYPE", None) != "unstructured":
        raise TypeError(
            f"pruning_method: expected a class whose PRUNING_TYPE is 'unstructured', got {method.__name__} with "
            f"{getattr(method, 'PRUNING_TYPE', None)!r}"
        )
    try:
        method(amount=0)  # type: ignore[call-arg]
    except TypeError as error:
        raise TypeError(
            f"pruning_method: expected a class that can be made as {method.__name__}(amount=...), got: {error}"
        ) from error


def _checked_iterations(iterations: Any) -> int:
    if isinstance(iterations, bool) or not isinstance(iterations, numbers.Integral):
        raise TypeError(f"iterations: expected an int of at least 1, got {iterations!r}")
    if iterations < 1:
        raise ValueError(f"iterations: expected at least 1, got {iterations}")
    return int(iterations)


@contextmanager
def _bar(progress: bool, steps: int, title: str) -> Iterator[Callable[[], object]]:
    """A function to call after each iteration, which moves a progress bar if there is to be one."""
    if not progress:
        yield lambda: None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            'progress: a bar needs tqdm, which is not installed: pip install "torch_synflow[progress]"'
        ) from error
    with tqdm(total=steps, desc=title, unit="iteration") as bar:
        yield bar.update
