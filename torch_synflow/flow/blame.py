"""The first operation, and its module, at which a flow is not positive and finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow.flow.passes import flow_of
from torch_synflow.flow.surrogate.exponents import ScaledFlow
from torch_synflow.flow.surrogate.trace import Plan
from torch_synflow.scoring.gradients import as_leaves
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.task import Weights


class _Watch(ScaledFlow):
    """A pass that notes operations without a surrogate, and the first wrong value."""

    modules: Sequence[str] = ()

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.unknown: list[str] = []
        self.wrong_unknown: list[str] = []
        self.wrong: list[str] = []
        self.without_flow: list[str] = []

    def note_operation(self, name: str, kind: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """Note the effect of an operation on the flow."""
        if kind == "weights" and inputs and all(_fault([flow]) == "all zeros" for flow in inputs):
            self.without_flow.append(self.modules[-1] if self.modules and self.modules[-1] else "the model itself")
        place = f"{name!r} in module {self.modules[-1] or 'the model itself'!r}" if self.modules else repr(name)
        after = _fault(outputs)
        wrong = after if after and not _fault(inputs) else ""
        if kind == "unknown" and outputs:
            self.unknown.append(place)
            if wrong:
                self.wrong_unknown.append(f"{place} (its output is {wrong})")
        elif wrong and (kind == "unseen" or wrong == "not finite"):
            self.wrong.append(f"{place} (its output is {wrong})")


def explain(network: Network, weights: Weights, inputs: Any) -> str:
    """Run the forward pass again and name the first place at which the flow is wrong."""
    watches: list[_Watch] = []

    def watch(plan: Plan) -> _Watch:
        watches.append(_Watch(plan))
        watches[-1].modules = stack
        return watches[-1]

    stack = _module_stack(network.model)
    flow_of(network, inputs, watch)(as_leaves(weights))
    last = watches[-1]
    for found in (last.wrong_unknown, last.unknown):
        if found:
            return (
                f"the first operation without a surrogate is {found[0]}; expected a positively homogeneous one; "
                "register one with torch_synflow.flow.register(operation)(lambda x: torch.relu(x))"
            )
    if last.wrong:
        return f"the flow first goes wrong at {last.wrong[0]}"
    if last.without_flow:
        return (
            f"no flow arrives at module {last.without_flow[0]!r}, for example because it reads only zeros, "
            "which start no flow; leave it out of the parameters (prune.prunable_parameters(model, exclude=...)), or "
            "use prune.SNIP"
        )
    return (
        "every operation passes on a positive flow, so the model changes this tensor before it multiplies, or its "
        "products do not reach the outputs; leave it out of the parameters, or choose the outputs that count with "
        "outputs="
    )


def _fault(tensors: Sequence[Tensor]) -> str:
    for tensor in tensors:
        value = tensor.detach()
        if not bool(torch.isfinite(value).all()):
            return "not finite"
        if bool((value < 0).any()):
            return "negative"
        if value.numel() and not bool(value.any()):
            return "all zeros"
    return ""


def _module_stack(model: nn.Module) -> list[str]:
    """The names of the running modules, the innermost last, by hooks on an open model."""
    stack: list[str] = []
    for name, module in model.named_modules():
        label = f"{name} ({type(module).__name__})" if name else ""

        def enter(module: nn.Module, args: Any, label: str = label) -> None:
            stack.append(label)

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            stack.pop()

        module.register_forward_pre_hook(enter, prepend=True)
        module.register_forward_hook(leave, always_call=True)
    return stack
