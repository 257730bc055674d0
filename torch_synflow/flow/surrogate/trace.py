"""The trace of a forward pass: which tensor came from which, and where upstream flow would count twice."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from torch import Tensor

from torch_synflow._torch.views import base_of

#: An output of an operation: the index of the call in the pass, and of the output in what it returned.
Place = tuple[int, int]


@dataclass
class Label:
    """The properties of a tensor in the pass.

    Attributes:
        node: where it was made.
        flow: whether it is on the way from the network's input, rather than a function of parameters alone.
        trace: of the pass that made it.
        gate: how likely it is a gate where two flows are multiplied: 2 for a sigmoid or softmax, 1 for another
            bounded activation, 0 otherwise; it stays through reshapes and multiples.
        mean: whether it is the mean of another flow, as what centring subtracts.
        twin: the same values, connected to the parameters of the layer that made it but to nothing before.
        exponent: the tensor stands for itself times two to this power.
        stacked: the dimension along which it holds several flows, if it is a stack of them.
        branches: how many branches with flow it is the sum of, if it is a sum.
    """

    node: Place
    flow: bool
    trace: Trace
    gate: int = 0
    mean: bool = False
    twin: Tensor | None = None
    exponent: Tensor | None = None
    stacked: int | None = None
    branches: Tensor | None = None

    def at(self, exponent: Tensor | None) -> Label:
        """The label of the same tensor without its twin, at another exponent."""
        return replace(self, twin=None, exponent=exponent)


@dataclass(frozen=True)
class Node:
    """One tensor of the pass: the operation, its inputs by slot, and the slots that only gate the others.

    Attributes:
        name: the operation.
        kind: "weights" for a layer, "select" and "shape" for what moves entries, "unknown" without a surrogate.
        inputs: where each tensor argument with a label was made.
        gates: the slots of ``inputs`` that scale the other ones.
        flow: as in :class:`Label`.
    """

    name: str
    kind: str
    inputs: tuple[Place, ...]
    gates: frozenset[int]
    flow: bool


@dataclass
class Plan:
    """The changes of the next pass.

    Attributes:
        cuts: for an output of an operation, the slots that it reads without their upstream.
        twins: the tensors whose twin is needed.
        laid_open: the sums that one other sum alone reads, and whose branches count on their own there.
    """

    cuts: dict[Place, frozenset[int]] = field(default_factory=dict)
    twins: frozenset[Place] = frozenset()
    laid_open: frozenset[Place] = frozenset()


#: what may lie between a layer and the gate that reads a part of what it made
_BETWEEN = frozenset((
    "add", "sub", "mul", "div", "neg", "sum", "mean", "batch_norm", "layer_norm", "rms_norm", "group_norm", "normalize",
    "relu", "gelu", "silu", "hardswish", "cat", "concat", "stack",
))  # fmt: skip
_JOINS = ("cat", "concat", "stack")
_MATRICES = ("matmul", "mm", "bmm", "mv", "einsum")


class Trace:
    """The nodes of one pass, in order.

    Attributes:
        nodes: by place.
        grouped: the outputs of convolutions by groups, which keep parts of what they read apart.
        gates: the tensors that have been gates.
        given: the constants that stand for the input: tokens that a flow is joined to, and positions.
    """

    def __init__(self) -> None:
        self.nodes: dict[Place, Node] = {}
        self.grouped: set[Place] = set()
        self.gates: set[Place] = set()
        self.given: list[Tensor] = []

    def add(self, place: Place, node: Node) -> None:
        """Note a tensor and its gates."""
        self.nodes[place] = node
        self.gates.update(node.inputs[slot] for slot in node.gates)

    def note_given(self, constant: Tensor) -> None:
        """Remember a constant that stands for the input, or what it is a view of."""
        if not self.is_given(constant):
            self.given.append(base_of(constant))

    def is_given(self, constant: Tensor) -> bool:
        """Whether the constant, or what it is a view of, has been found to stand for the input."""
        return any(known is base_of(constant) for known in self.given)

    def gated_before(self, place: Place) -> bool:
        """Whether a tensor, or one that it is a part of, was the gate of an earlier operation."""
        while place not in self.gates:
            node = self.nodes[place]
            if node.kind not in ("select", "shape"):
                return False
            place = node.inputs[0]
        return True

    def is_product_by_weights(self, place: Place) -> bool:
        """Whether a tensor is a product by matrices, perhaps reshaped, with exactly one flow among its factors."""
        node = self.nodes[place]
        if node.kind == "shape":
            return self.is_product_by_weights(node.inputs[0])
        return node.name in _MATRICES and sum(self.nodes[source].flow for source in node.inputs) == 1

    def is_weight(self, place: Place) -> bool:
        """Whether a tensor is a scored weight, perhaps of another shape, which no iteration makes negative."""
        node = self.nodes[place]
        return node.name == "weight" or (node.kind in ("select", "shape") and self.is_weight(node.inputs[0]))

    def descends(self, place: Place, ancestor: Place) -> bool:
        """Whether the tensor made at ``place`` was computed from the one made at ``ancestor``."""
        seen, waiting = {place}, [place]
        while waiting:
            current = waiting.pop()
            if current == ancestor:
                return True
            new = [p for p in self.nodes[current].inputs if p not in seen and p >= ancestor]
            seen.update(new)
            waiting += new
        return False

    def levels(self, outputs: Iterable[Place]) -> dict[Place, int]:
        """For each tensor that the outputs depend on, the least number of gates between it and them."""
        level: dict[Place, int] = {}
        waiting = deque((place, 0) for place in outputs)
        while waiting:
            place, depth = waiting.popleft()
            if place in level:
                continue
            level[place] = depth
            node = self.nodes[place]
            for slot, source in enumerate(node.inputs):
                if slot in node.gates:
                    waiting.append((source, depth + 1))
                else:
                    waiting.appendleft((source, depth))
        return level

    def plan(self, level: dict[Place, int]) -> Plan:
        """Where to cut so that all upstream flow is counted once.

        What the outputs reach without passing a gate is the main flow (level 0). A gate, and what only it needs, reads
        the main flow without its upstream; a gate of a gate likewise.
        """
        cuts: dict[Place, frozenset[int]] = {}
        twins: set[Place] = set()
        for place, depth in level.items():
            node = self.nodes[place]
            slots = frozenset(
                slot
                for slot, source in enumerate(node.inputs)
                if self.nodes[source].flow and level[source] < depth + (slot in node.gates)
            )
            if slots:
                cuts[place] = slots
                if node.kind == "select":
                    for slot in slots:
                        twins.update(self._chain(node.inputs[slot]))
        return Plan(cuts, frozenset(twins))

    def _chain(self, place: Place, *, joined: bool = True) -> list[Place]:
        """From a tensor back to the layers that made it, if only moves of entries, norms, sums and factors lie between.

        Several flows may be joined on the way, or be the two of a sum of layers such as the gates of a recurrent cell
        (unless ``joined`` is false). A longer sum is a residual stream, of which gates read no part of their own.

        A gate that reads its own part of what one layer made (the Q and K of a fused projection) still owes
        flow to that layer's weights, and to those of convolutions by groups that keep the parts apart. A product by
        scored weights is a layer, whatever operation it is.
        """
        chain, waiting = [place], [place]
        while waiting:
            current = waiting.pop()
            node = self.nodes[current]
            if self._is_layer(node):
                if current in self.grouped:  # and further, where it leads to a layer that made the parts
                    flows = [source for source in node.inputs if self.nodes[source].flow]
                    chain += self._chain(flows[0]) if len(flows) == 1 else []
                continue
            flows = [source for source in node.inputs if self.nodes[source].flow]
            if not flows or not (node.kind in ("select", "shape") or node.name in _BETWEEN):
                return []
            if len(flows) == 1 or (joined and node.name in _JOINS):
                chain += flows
                waiting += flows
                continue
            parts = [self._chain(source, joined=False) for source in flows] if joined and node.name == "add" else []
            if not parts or not all(parts):
                return []
            chain += [each for part in parts for each in part]
        return chain

    def _is_layer(self, node: Node) -> bool:
        by_weights = node.name == "mul" and not all(self.nodes[source].flow for source in node.inputs)
        return node.kind == "weights" or by_weights
