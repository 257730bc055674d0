"""The mode that runs a forward pass with homogeneous surrogates and traces it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from torch_synflow._torch.function_modes import FunctionMode
from torch_synflow._torch.functions import autograd_function
from torch_synflow._torch.pytree import tree_flatten, tree_leaves, tree_unflatten
from torch_synflow._torch.transforms import active_transforms, depends_on_leaves
from torch_synflow.flow.surrogate.call import Call, in_one_precision, in_place, is_flow, label_of
from torch_synflow.flow.surrogate.objective import sum_of_outputs
from torch_synflow.flow.surrogate.operations import (
    CONVOLUTIONS,
    DECOMPOSED,
    LAYERS,
    MATRICES,
    NOISE,
    OF_WEIGHTS,
    REGISTERED,
    SURROGATES,
    kind_of,
    name_of,
    nature_of,
)
from torch_synflow.flow.surrogate.trace import Label, Node, Place, Plan, Trace

Surrogate = Callable[..., Any]


class Flow(FunctionMode):
    """A mode that replaces operations on the network's input and parameters by surrogates, and traces them.

    Args:
        plan: the gates that read the main flow as a constant, from the trace of an earlier pass.

    Attributes:
        trace: the trace of the pass.
        without_surrogate: the names of the operations on the flow that have no surrogate.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self._twinned = frozenset(index for index, _ in plan.twins)
        self.without_surrogate: list[str] = []
        self._transforms = active_transforms()  # transforms around the pass itself
        self.trace = Trace()
        self._calls = 0
        self._made: dict[Any, Label] = {}
        self._level: dict[Place, int] = {}

    def start(self, tensors: dict[str, Tensor], inputs: Any) -> None:
        """Mark the scored weights and the network's inputs."""
        for index, tensor in enumerate(tensors.values(), start=1):
            self._mark(tensor, Node("weight", "leaf", (), frozenset(), False), (-index, 0))
        for index, leaf in enumerate(tree_leaves(inputs), start=len(tensors) + 1):
            if isinstance(leaf, Tensor) and leaf.is_floating_point():
                self._mark(leaf, Node("input", "leaf", (), frozenset(), True), (-index, 0))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func`` or its surrogate."""
        kwargs = kwargs or {}
        key = autograd_function(func, args) or func
        surrogate = REGISTERED.get(key)
        name = name_of(key)
        flat, spec = tree_flatten((args, kwargs))
        slots = self._slots(flat)
        if active_transforms() > self._transforms and (slots or any(map(depends_on_leaves, flat))):
            raise ValueError(
                f"model: expected operations on whole tensors, got {name!r} inside a transform of torch.func, "
                "where flow cannot be followed; pass each tensor that it reads to torch.vmap as an argument, write it "
                "for all examples at once, like matmul, or use prune.SNIP"
            )
        if not slots and name not in LAYERS:
            return func(*args, **kwargs)
        if slots and name in NOISE and surrogate is None:
            return NOISE[name](flat[slots[0]])
        if slots and slots[0] > 0 and surrogate is None and kind_of(name, registered=False) in ("select", "shape"):
            return func(*args, **kwargs)  # a constant that is moved or cast to match a flow
        flow = any(is_flow(flat[slot]) for slot in slots)
        if surrogate is None and name in DECOMPOSED and flow:
            with self:
                return DECOMPOSED[name](Call(func, args, kwargs, self.trace))
        index, self._calls = self._calls, self._calls + 1
        starts = name in LAYERS and not flow  # a constant that a layer reads is also an input
        if surrogate is None and (flow or starts) and name in SURROGATES:
            surrogate = SURROGATES[name]
        elif surrogate is None and not flow and name in OF_WEIGHTS:
            surrogate = OF_WEIGHTS[name]
        elif surrogate is not None:
            surrogate = _of_arguments(surrogate, skip=key is not func)

        def run(cut: frozenset[int], *, twin: bool = False) -> tuple[Any, Call]:
            values = self._replaced(flat, slots, cut, twin=twin, copy=in_place(func))
            self.align_exponents(name, values, slots)
            new_args, new_kwargs = tree_unflatten(in_one_precision(values) if name in MATRICES else values, spec)
            call = Call(func, new_args, new_kwargs, self.trace, index=index)
            result = self.run_operation(name, surrogate, call)
            if in_place(func) and slots[:1] == [0] and values[0] is not flat[0] and not twin:
                result = flat[0].copy_(result)
            elif name == "setitem":  # returns nothing; the tensor that it wrote to now depends on all arguments
                result = flat[0] if values[0] is flat[0] else flat[0].copy_(values[0])
            call.gate_slots = frozenset(
                k for k, slot in enumerate(slots) if any(values[slot] is gate for gate in call.gates)
            )
            return result, call

        kind = kind_of(name, registered=surrogate is not None)
        if name in CONVOLUTIONS and Call(func, args, kwargs, self.trace).get(6, "groups", 1) > 1:
            self.trace.grouped.add((index, 0))
        result = self._outputs(index, name, kind, [label_of(flat[s]) for s in slots], flow or starts, run)
        if flow or starts:
            flows = [leaf for leaf in tree_leaves(result) if is_flow(leaf)]
            if flows and kind == "unknown" and name != "detach" and name not in self.without_surrogate:
                self.without_surrogate.append(name)
            self.note_operation(name, kind, [flat[s] for s in slots if is_flow(flat[s])], flows)
        return None if name == "setitem" else result

    def align_exponents(self, name: str, values: list[Any], slots: list[int]) -> None:
        """Change the tensors among ``values`` before an operation runs on them, for a subclass."""

    def run_operation(self, name: str, surrogate: Surrogate | None, call: Call) -> Any:
        """Run an operation or its surrogate."""
        return surrogate(call) if surrogate is not None else call.func(*call.args, **call.kwargs)

    def total(self, outputs: Any) -> Tensor:
        """R, of what the model returned."""
        return sum_of_outputs(outputs)

    def note_operation(self, name: str, kind: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """Called after each operation on a flow, for subclasses."""

    def plan_for(self, outputs: Any) -> Plan:
        """The cuts of the next pass, from the outputs of this one."""
        labels = [self._label(leaf) for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.requires_grad]
        places = [label.node for label in labels if label is not None]
        self._level = self.trace.levels(places)
        return self.trace.plan(self._level)

    def reached(self, tensor: Tensor) -> bool:
        """Whether the outputs depend on ``tensor``, once :meth:`plan_for` has seen them."""
        label = label_of(tensor)
        return label is not None and label.node in self._level

    def _slots(self, flat: list[Any]) -> list[int]:
        """The positions of labelled tensors; a repeated tensor gets a second object, because gates go by identity."""
        slots = []
        seen = set()
        for slot, value in enumerate(flat):
            if isinstance(value, Tensor) and self._label(value) is not None:
                if id(value) in seen:
                    label = label_of(value)
                    flat[slot] = value.view_as(value)
                    flat[slot]._synaptic_label = label
                seen.add(id(value))
                slots.append(slot)
        return slots

    def _label(self, tensor: Tensor) -> Label | None:
        """The label of a tensor, found by its place in the graph if an operation bypassed the mode."""
        label = label_of(tensor)
        if label is not None and label.trace is not self.trace:  # kept by the model from an earlier pass
            label = tensor._synaptic_label = None  # type: ignore[attr-defined]
        if label is not None or not tensor.requires_grad or tensor.grad_fn is None:
            return label
        found: dict[Place, Label] = {}
        waiting, seen = [tensor.grad_fn], {tensor.grad_fn}
        while waiting:
            node = waiting.pop()
            if node in self._made:
                found[self._made[node].node] = self._made[node]
            else:
                new = [n for n, _ in node.next_functions if n is not None and n not in seen]
                seen.update(new)
                waiting += new
        if not found:
            return None
        index, self._calls = self._calls, self._calls + 1
        flow = any(other.flow for other in found.values())
        name = tensor.grad_fn.name()
        self._mark(tensor, Node(name, "unseen", tuple(sorted(found)), frozenset(), flow), (index, 0))
        if flow:
            self.note_operation(name, "unseen", [], [tensor])
        return label_of(tensor)

    def _replaced(self, flat: list[Any], slots: list[int], cut: frozenset[int], *, twin: bool, copy: bool) -> list[Any]:
        """The arguments, with those in the slots of ``cut`` separated from their upstream."""
        values = list(flat)
        for k, slot in enumerate(slots):
            if k in cut:
                label = label_of(flat[slot])
                assert label is not None
                values[slot] = label.twin if twin and label.twin is not None else flat[slot].detach()
                values[slot] = values[slot].clone() if copy else values[slot]
                values[slot]._synaptic_label = label.at(label.exponent)
        return values

    def _outputs(
        self, index: int, name: str, kind: str, labels: list[Any], flow: bool, run: Callable[..., tuple[Any, Call]]
    ) -> Any:
        """Run an operation, with the planned cuts and twins of its outputs, and label its results."""
        labels = [] if name in ("embedding", "embedding_bag") else labels
        if kind in ("select", "shape"):
            labels = labels[:1]  # x.expand_as(y) moves only x
        flows = frozenset(k for k, label in enumerate(labels) if label.flow)
        twins: list[Any] = []
        if index in self._twinned:  # before an operation in place writes to its argument
            twins = tree_leaves(run(flows, twin=kind != "weights" or (index, 0) in self.trace.grouped)[0])
        runs: dict[frozenset[int], tuple[list[Any], Any, Call]] = {}

        def run_with(cut: frozenset[int]) -> tuple[list[Any], Any, Call]:
            if cut not in runs:
                result, call = run(cut, twin=kind == "select")
                runs[cut] = (*tree_flatten(result), call)
            return runs[cut]

        leaves, spec, call = run_with(self.plan.cuts.get((index, 0), frozenset()))
        leaves = [run_with(self.plan.cuts.get((index, n), frozenset()))[0][n] for n in range(len(leaves))]
        node = Node(name, kind, tuple(label.node for label in labels), call.gate_slots, flow)
        gate, mean = nature_of(name, [label for label in labels if label.flow])
        means = name in ("std_mean", "var_mean")
        for number, leaf in enumerate(leaves):
            if flow and isinstance(leaf, Tensor) and leaf.is_complex():
                raise ValueError(
                    f"model: expected real numbers on the way from the input, got complex ones of {name!r}, where flow "
                    "cannot be followed; use prune.SNIP, or leave out the layers before it"
                )
            if isinstance(leaf, Tensor) and leaf.is_floating_point():
                place = (index, number)
                label = Label(place, flow, self.trace, gate, mean or (means and number == 1), exponent=call.exponent)
                label.stacked, label.branches = call.stacked, call.branches
                label.twin = twins[number] if place in self.plan.twins else None
                self._mark(leaf, node, place, label)
        return tree_unflatten(leaves, spec)

    def _mark(self, tensor: Tensor, node: Node, place: Place, label: Label | None = None) -> None:
        self.trace.add(place, node)
        label = label or Label(place, node.flow, self.trace)
        tensor._synaptic_label = label  # type: ignore[attr-defined]
        if tensor.grad_fn is not None:
            self._made[tensor.grad_fn] = label


def _of_arguments(surrogate: Surrogate, *, skip: bool) -> Callable[[Call], Any]:
    """A user's surrogate, called with the arguments (without the class of a custom autograd function)."""
    return lambda call: surrogate(*call.args[int(skip) :], **call.kwargs)
