"""Random calls of the public functions that read or change a model, with functions of a user's that can fail."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from benchmarks.faults.fuse import passing
from benchmarks.faults.models import Subject, loss_of
from torch_synflow import ablations, diagnostics, prune, rewinding
from torch_synflow.schedules import exponential, linear

OF_DATA = (
    prune.SNIP, prune.GraSP, prune.GraSPLowest, prune.GraSPMagnitude, prune.IterativeSNIP, prune.FORCE, prune.GraSPIt,
    prune.SynapticSaliency, prune.TaylorFO, prune.OptimalBrainDamage,
)  # fmt: skip
SCORED = (prune.SynFlow, prune.BalancedSynFlow, *OF_DATA)
METHODS = (
    *SCORED, prune.SynFlow, ablations.inverted(prune.SynFlow), torch_prune.L1Unstructured,
    torch_prune.RandomUnstructured,
)  # fmt: skip


@dataclass(frozen=True)
class Call:
    """A call that can be made on any model of the same seed.

    Attributes:
        name: as it is shown.
        run: makes it.
        prepare: what is done to the model first.
        writes: whether it writes values in place, so that torch counts a version more after they are put back.
    """

    name: str
    run: Callable[[Subject], Any]
    prepare: Callable[[Subject], object] = lambda subject: None
    writes: bool = False


def random_call(draw: random.Random) -> Call:
    """A random call: pruning most of the time, and otherwise another function that touches a model."""
    kind = draw.choice((_pruning,) * 5 + (_scores, _functional, _of_one_layer, _diagnostic, _ablation, _rewinding))
    return kind(draw)


def needed(method: type, subject: Subject) -> dict[str, Any]:
    """The arguments that a method needs for scoring."""
    if method is prune.SynFlow or issubclass(method, prune.SynFlow):
        return {"example_inputs": subject.inputs}
    if issubclass(method, prune.SaliencyUnstructured):
        return {"data": subject.data, "loss_fn": loss_of}
    return {}


def _schedule(step: int, steps: int, density: float) -> float:
    passing("schedule")
    return (linear if steps % 2 else exponential)(step, steps, density)


def _callback(step: int, report: prune.PruningReport) -> None:
    passing("callback")


def _densities(parameters: Any, density: float) -> Any:
    passing("layer_densities rule")
    return prune.uniform(parameters, density)


def _pruning(draw: random.Random) -> Call:
    method: Any = draw.choice(METHODS)
    amount, iterations = draw.choice((0.0, 0.1, 0.5, 0.8, 3)), draw.randint(1, 3)
    options: dict[str, Any] = {"iterations": iterations}
    options |= {"schedule": _schedule} if draw.random() < 0.5 else {}
    options |= {"callback": _callback} if draw.random() < 0.5 else {}
    options |= {"layer_densities": _densities} if draw.random() < 0.2 and isinstance(amount, float) else {}
    form, order = draw.choice(("model", "list", "remembered", "bound")), draw.random()

    def run(subject: Subject) -> Any:
        arguments = needed(method, subject)
        params: Any = prune.prunable_parameters(subject.model)
        chosen = method
        if form == "list":
            params = list(params)
            random.Random(order).shuffle(params)
            arguments["model"] = subject.model
        elif form == "model":
            params = subject.model
        elif form == "bound" and method in SCORED:
            chosen, arguments = method.bind(subject.model, **arguments), {}
        return prune.global_iterative_unstructured(params, chosen, amount, **arguments, **options)

    return Call(f"global_iterative_unstructured({method.__name__}, {amount}, {form})", run)


def _scores(draw: random.Random) -> Call:
    method: Any = draw.choice(SCORED)
    if draw.random() < 0.5:
        return Call(f"{method.__name__}.scores", lambda s: method.scores(s.model, **needed(method, s)))
    return Call(f"{method.__name__}.bind(...).scores", lambda s: method.bind(s.model, **needed(method, s)).scores())


def _functional(draw: random.Random) -> Call:
    calls: list[tuple[str, Callable[[Subject], Any]]] = [
        ("synflow_scores", lambda s: prune.synflow_scores(s.model, s.inputs)),
        ("snip_scores", lambda s: prune.snip_scores(s.model, s.data, loss_of)),
        ("grasp_scores", lambda s: prune.grasp_scores(s.model, s.data, loss_of)),
    ]
    return Call(*draw.choice(calls))


def _of_one_layer(draw: random.Random) -> Call:
    name = draw.choice(("synflow", "snip", "grasp"))
    function, which = getattr(prune, f"{name}_unstructured"), draw.random()

    def run(subject: Subject) -> nn.Module:
        params = prune.prunable_parameters(subject.model)
        arguments = needed(prune.SynFlow if name == "synflow" else prune.SNIP, subject)
        module: nn.Module = function(*params[int(which * len(params))], 0.5, model=subject.model, **arguments)
        return module

    return Call(f"{name}_unstructured", run)


def _critical(subject: Subject) -> Any:
    parameters = prune.prunable_parameters(subject.model)

    def remove(amount: int) -> Any:
        passing("a user's function that prunes")
        return prune.global_iterative_unstructured(parameters, torch_prune.L1Unstructured, amount)

    return diagnostics.critical_compression(subject.model, remove, tolerance=0.5)


def _shuffled_effect(subject: Subject) -> Any:
    return diagnostics.shuffled_effect(subject.model, subject.inputs)


def _pruned(subject: Subject) -> None:
    prune.global_iterative_unstructured(subject.model, torch_prune.L1Unstructured, 0.3)


def _diagnostic(draw: random.Random) -> Call:
    calls: list[tuple[str, Callable[[Subject], Any]]] = [
        ("diagnostics.compression", lambda s: diagnostics.compression(s.model)),
        ("diagnostics.cost", lambda s: diagnostics.cost(s.model, s.inputs)),
        ("diagnostics.neuron_collapse", lambda s: diagnostics.neuron_collapse(s.model)),
        ("diagnostics.effective_sparsity", lambda s: diagnostics.effective_sparsity(s.model, s.inputs)),
        ("diagnostics.effective_masks", lambda s: diagnostics.effective_masks(s.model, s.inputs)),
        ("diagnostics.path_norm", lambda s: diagnostics.path_norm(s.model, s.inputs)),
        ("diagnostics.trainability", lambda s: diagnostics.trainability(s.model, s.inputs)),
        ("diagnostics.conservation", lambda s: diagnostics.conservation(s.model, s.inputs)),
        ("diagnostics.critical_compression", _critical),
        ("diagnostics.shuffled_effect", _shuffled_effect),
    ]
    name, run = draw.choice(calls)
    return Call(name, run, _pruned) if run is _shuffled_effect else Call(name, run)


def _init(tensor: Tensor) -> None:
    passing("initialiser")
    nn.init.normal_(tensor)


def _ablation(draw: random.Random) -> Call:
    calls: list[tuple[str, Callable[[Subject], Any]]] = [
        ("ablations.reinitialise", lambda s: ablations.reinitialise(s.model)),
        ("ablations.reinitialise(init=...)", lambda s: ablations.reinitialise(s.model, init=_init)),
        ("ablations.initialise_with_unit_variance", lambda s: ablations.initialise_with_unit_variance(s.model)),
        ("ablations.shuffle_masks", lambda s: ablations.shuffle_masks(s.model)),
    ]
    return Call(*draw.choice(calls), prepare=_pruned, writes=True)


def _trained(subject: Subject) -> None:
    """Take a snapshot, then change the model as training does."""
    subject.snapshot = rewinding.take_snapshot(subject.model)
    with torch.no_grad():
        for parameter in subject.model.parameters():
            parameter.mul_(1.5)


def _rewinding(draw: random.Random) -> Call:
    if draw.random() < 0.2:
        return Call("rewinding.take_snapshot", lambda s: rewinding.take_snapshot(s.model).values)

    def rewound(subject: Subject) -> None:
        assert subject.snapshot is not None
        rewinding.rewind(subject.model, subject.snapshot)

    return Call("rewinding.rewind", rewound, prepare=_trained, writes=True)
