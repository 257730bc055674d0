"""Passes with boolean values and gradients: whether a path from an input arrives, and one to an output leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from torch_synflow._torch.pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from torch_synflow.flow.surrogate.call import Call, in_place, is_flow, label_of
from torch_synflow.flow.surrogate.mode import Flow, Surrogate
from torch_synflow.flow.surrogate.objective import sum_of_outputs
from torch_synflow.flow.surrogate.operations import NORMALISED, SELECT, SHAPE
from torch_synflow.flow.surrogate.trace import Place, Plan
from torch_synflow.reachability.from_inputs import FromInputs
from torch_synflow.reachability.maxima import maximum_as_sum


@dataclass(frozen=True)
class Arrival:
    """One tensor that the model returns.

    Attributes:
        elements: a mask of the elements that the input reaches.
        layers: the indices of the scored weights from which it is computed.
    """

    elements: Tensor
    layers: frozenset[int]


@dataclass(frozen=True)
class Summand:
    """One side of the sum of a residual block.

    Attributes:
        alive: whether any part of the input arrives.
        layers: the indices of the scored weights on the way to it but not on the way to the other side.
    """

    alive: bool
    layers: frozenset[int]


class Booleans(Flow):
    """Values and gradients of 0 or 1, of inputs, biases and tokens alike.

    Boolean values can neither overflow nor vanish. A maximum becomes a sum, because it may choose any of its elements.
    Normalisation becomes the identity.

    Attributes:
        openings: by the index of an operation and the position of an argument that is a gate: where the gate is open.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.openings: dict[int, dict[int, Tensor]] = {}

    @property
    def shut(self) -> bool:
        """Whether some part of a gate is shut."""
        return not all(bool(where.all()) for gates in self.openings.values() for where in gates.values())

    def run_operation(self, name: str, surrogate: Surrogate | None, call: Call) -> Any:
        """Run an operation on booleans."""
        if name in NORMALISED and name not in ("softmax", "special_softmax", "embedding"):
            return call.get(0, "input").clone()  # a copy, because an activation in place may write to it
        result = maximum_as_sum(name, call) if "max" in name and name not in ("softmax", "special_softmax") else None
        if result is None:
            result = super().run_operation(name, surrogate, call)
        if call.gates:
            leaves = tree_leaves((call.args, call.kwargs))
            gates = {n: leaf for n, leaf in enumerate(leaves) if any(leaf is gate for gate in call.gates)}
            self.openings[call.index] = {n: gate.detach() > 0 for n, gate in gates.items()}
        if name in SELECT or name in SHAPE:
            return result  # boolean like its input, and a view of it, which may be written to
        written = call.args[0] if call.args else None  # an operation in place returns the tensor that it wrote to
        return tree_map(lambda leaf: _boolean(leaf) if leaf is not written else leaf, result)


class Reachability(Booleans, FromInputs):
    """Values and gradients of 0 or 1: whether a path from an input arrives, and whether one to an output leaves.

    Attributes:
        layers: by index of a scored weight, whether the input reaches its layer, and leaves it.
        outputs: the arrival at each output of the model, except for constants.
    """

    def __init__(self, plan: Plan, open_gates: dict[int, dict[int, Tensor]]) -> None:
        """A pass in which gates that biases or tokens open (``Booleans.openings``) are open."""
        super().__init__(plan)
        self._open_gates = open_gates
        self._sums: dict[tuple[Place, Place], tuple[bool, bool]] = {}
        self._places: dict[int, set[Place]] = {}
        self.layers: dict[int, tuple[bool, bool]] = {}
        self.outputs: list[Arrival] = []

    def start(self, tensors: dict[str, Tensor], inputs: Any) -> None:
        """As for any pass."""
        self._scored = len(tensors)
        super().start(tensors, inputs)

    def run_operation(self, name: str, surrogate: Surrogate | None, call: Call) -> Any:
        """Run an operation on booleans, with gates open where something else than the input opens them."""
        leaves, spec = tree_flatten((call.args, call.kwargs))
        given = {}
        for position, where in self._open_gates.get(call.index, {}).items():
            if position or not in_place(call.func):
                gate = leaves[position]
                leaves[position] = torch.where(where & (gate == 0), 1.0, gate)
                leaves[position]._synaptic_label = label_of(gate)
                given[id(leaves[position])] = gate
        if given:
            call.args, call.kwargs = tree_unflatten(leaves, spec)
        result = super().run_operation(name, surrogate, call)
        call.gates = [given.get(id(gate), gate) for gate in call.gates]
        return result

    def align_exponents(self, name: str, values: list[Any], slots: list[int]) -> None:
        """Note the arrivals at the sides of a sum."""
        flows = [values[slot] for slot in slots if is_flow(values[slot])]
        if name == "add" and len(flows) == 2:
            first, second = (_place(flow) for flow in flows)
            self._sums[first, second] = (_any(flows[0]), _any(flows[1]))

    def note_operation(self, name: str, kind: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """Note whether the input reaches a layer, and leaves it."""
        if kind != "weights" or not outputs:
            return
        sources = self.trace.nodes[_place(outputs[0])].inputs
        arrives = any(_any(flow) for flow in inputs) if inputs else True  # a layer that reads a constant starts a path
        leaves = any(_any(flow) for flow in outputs)
        for index in self._weights(self._before([p for p in sources if not self.trace.nodes[p].flow])):
            before, after = self.layers.get(index, (False, False))
            self.layers[index] = (before or arrives, after or leaves)
            self._places.setdefault(index, set()).update(sources)

    def total(self, outputs: Any) -> Tensor:
        """R, as a sum of booleans."""
        leaves = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
        self.outputs = [
            Arrival(leaf.detach() > 0, self._weights(self._before([label.node])))
            for leaf in leaves
            if (label := self._label(leaf)) is not None and label.flow
        ]
        return sum_of_outputs(outputs)

    @property
    def residual_sums(self) -> list[tuple[Summand, Summand]]:
        """The two sides of each sum of flows that split and meet again, the side with fewer layers first."""
        found = []
        for places, alive in self._sums.items():
            first, second = (self._before([place]) for place in places)
            if any(self.trace.nodes[place].flow for place in first & second):
                ways = self._weights(first), self._weights(second)
                sides = Summand(alive[0], ways[0] - ways[1]), Summand(alive[1], ways[1] - ways[0])
                found.append(sides if len(sides[0].layers) <= len(sides[1].layers) else sides[::-1])
        return found

    def inputs_of(self, index: int) -> list[int]:
        """The leaves of the model's inputs that lead to the layer of a scored weight, whether or not they reach it."""
        places = self._before(list(self._places.get(index, ())))
        return [-place[0] - 1 - self._scored for place in places if self.trace.nodes[place].name == "input"]

    def _before(self, places: Sequence[Place]) -> set[Place]:
        """The places and everything that they were computed from."""
        seen, waiting = set(places), list(places)
        while waiting:
            new = [source for source in self.trace.nodes[waiting.pop()].inputs if source not in seen]
            seen.update(new)
            waiting += new
        return seen

    def _weights(self, places: Iterable[Place]) -> frozenset[int]:
        """The indices of the scored weights among ``places``."""
        return frozenset(-p[0] - 1 for p in places if p[0] < 0 and self.trace.nodes[p].name == "weight")


class _Boolean(torch.autograd.Function):
    """1 where positive, for values and gradients."""

    @staticmethod
    def forward(value: Tensor) -> Tensor:
        return (value > 0).to(value.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return (gradient > 0).to(gradient.dtype)


def _boolean(leaf: Any) -> Any:
    if isinstance(leaf, Tensor) and leaf.is_floating_point():
        return _Boolean.apply(leaf)
    return leaf


def _place(tensor: Tensor) -> Place:
    label = label_of(tensor)
    assert label is not None
    return label.node


def _any(flow: Tensor) -> bool:
    return bool((flow.detach() > 0).any())
