"""The elements, layers, inputs and outputs on a path from an input to an output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from torch_synflow._torch.pytree import tree_flatten, tree_leaves, tree_unflatten
from torch_synflow.flow.passes import flow_of
from torch_synflow.flow.surrogate.trace import Plan
from torch_synflow.model.parameters import Entry, ExampleInputs
from torch_synflow.reachability.boolean_pass import Booleans, Reachability
from torch_synflow.reachability.from_inputs import Inspection
from torch_synflow.scoring.gradients import as_leaves, gradients
from torch_synflow.scoring.opening import opened
from torch_synflow.scoring.task import Outputs, Weights


@dataclass(frozen=True)
class Reached:
    """The result of a boolean pass.

    Attributes:
        entries: the tensors that were checked.
        used: for each tensor, a mask of the elements on a path from an input to an output, if it was asked for.
        leads: for each floating-point leaf of the inputs, whether a path leads to an output.
        arguments: for the same leaves, the argument of the model that each belongs to.
        mode: the pass itself.
    """

    entries: list[Entry]
    used: list[Tensor]
    leads: dict[int, bool]
    arguments: dict[int, str]
    mode: Reachability

    @property
    def outputs(self) -> list[Tensor]:
        """For each output of the model, a mask of the elements that the input reaches."""
        return [output.elements for output in self.mode.outputs]

    @property
    def inputs(self) -> dict[str, bool]:
        """For each floating-point argument of the model, whether a path leads to an output."""
        found: dict[str, bool] = {}
        for number, argument in self.arguments.items():
            found[argument] = found.get(argument, False) or self.leads[number]
        return found

    @property
    def empty(self) -> tuple[str, ...]:
        """The layers with nothing kept."""
        return tuple(entry.label for entry in self.entries if entry.total and not entry.alive)

    @property
    def bypassed(self) -> tuple[str, ...]:
        """The layers with nothing kept that a shortcut bypasses.

        Some of their inputs still lead to an output, and the input still reaches some output that is computed from
        them.
        """
        return tuple(name for name, goes_round in self._goes_round().items() if goes_round)

    @property
    def collapsed(self) -> tuple[str, ...]:
        """The layers with nothing kept, while others keep elements, that no path bypasses (layer collapse)."""
        if not any(entry.alive for entry in self.entries):
            return ()
        return tuple(name for name, goes_round in self._goes_round().items() if not goes_round)

    def _goes_round(self) -> dict[str, bool]:
        """For each layer with nothing kept from which outputs are computed: whether a path bypasses it."""
        found = {}
        for index, entry in enumerate(self.entries):
            ends = [output for output in self.mode.outputs if index in output.layers]
            if ends and entry.total and not entry.alive:
                starts = self.mode.inputs_of(index)  # token ids have none, because they are not followed
                leads = not starts or any(self.leads.get(number, True) for number in starts)
                found[entry.label] = leads and any(bool(output.elements.any()) for output in ends)
        return found


def reach(
    model: nn.Module,
    example_inputs: ExampleInputs,
    entries: list[Entry],
    outputs: Outputs | None = None,
    *,
    elements: bool = True,
) -> Reached:
    """Find the elements on a path from an input to an output.

    Kept weights and all other factors become ones, and biases are left out. The gradient of the sum of the outputs is
    then positive at elements on a path.

    Args:
        model: any model, which is only read.
        example_inputs: the model's inputs; only shapes matter.
        entries: the tensors to check, with the masks to apply.
        outputs: which of the model's outputs count, all by default.
        elements: whether to find ``used``, which takes a gradient of every tensor.
    """
    network = Inspection.positive_network_of(model, example_inputs, entries, outputs)
    latest: list[Any] = []  # the latest pass alone, because a pass holds its graph
    open_gates: dict[int, dict[int, Tensor]] = {}

    def noted(make: Callable[[Plan], Booleans]) -> Callable[[Plan], Booleans]:
        def mode(plan: Plan) -> Booleans:
            latest[:] = [make(plan)]
            return latest[0]  # type: ignore[no-any-return]

        return mode

    network.weights = {name: mask.to(network.weights[name].dtype) for name, mask in network.masks.items()}
    given = _by_argument(network.inputs)
    names = [name for name, value in given.items() for _ in tree_leaves(value)]
    leaves, spec = tree_flatten(network.inputs)
    floating = {f"input {n}": x for n, x in enumerate(leaves) if isinstance(x, Tensor) and x.is_floating_point()}

    def find() -> tuple[Weights, dict[int, bool]]:
        weights, inputs = as_leaves(network.weights) if elements else network.weights, as_leaves(floating)
        every = [inputs.get(f"input {number}", leaf) for number, leaf in enumerate(leaves)]
        given = tree_unflatten(every, spec)
        from_inputs = flow_of(network, given, noted(lambda plan: Reachability(plan, open_gates)))
        total = from_inputs(weights)
        if latest[0].shut:  # perhaps biases or tokens open it
            del total  # with its graph
            flow_of(network, given, noted(Booleans))(weights)
            open_gates.update(latest[0].openings)
            total = from_inputs(weights)
        sought = {**weights, **inputs} if elements else inputs
        found = gradients([total] if sought and total.requires_grad else [], sought)
        return found, {
            number: bool(found[name].any()) for number in range(len(leaves)) if (name := f"input {number}") in floating
        }

    found, leads = opened(network, find, training=False)
    used = [(found[entry.key] > 0) & entry.mask for entry in entries] if elements else []
    return Reached(entries, used, leads, {number: names[number] for number in leads}, latest[0])


def _by_argument(inputs: Any) -> dict[str, Any]:
    """The model's inputs, by the name or the position of each argument."""
    if isinstance(inputs, Mapping):
        return {repr(name): value for name, value in inputs.items()}
    return {str(n): value for n, value in enumerate(inputs if isinstance(inputs, (tuple, list)) else [inputs])}
