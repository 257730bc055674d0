"""The passes of diagnostics: those of the methods, without contributions that do not come from an input."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from torch_synflow._torch.pytree import tree_map
from torch_synflow.flow.positive import PositiveNetwork
from torch_synflow.flow.surrogate.call import BLOCKED, Call, is_flow
from torch_synflow.flow.surrogate.mode import Flow, Surrogate
from torch_synflow.flow.surrogate.operations import CONVOLUTIONS
from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.model.parameters import Entry, ExampleInputs
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.task import Outputs, Task

_JOINS = frozenset(
    ("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "where", "masked_fill", "setitem")
)
# the position of the bias among the arguments of a normalisation
_BIASES = {"batch_norm": 4, "layer_norm": 3, "group_norm": 3, "instance_norm": 4}


class Inspection(SaliencyUnstructured):
    """The passes of diagnostics: in evaluation mode, with the code of the methods."""

    training: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("example_inputs",)

    @classmethod
    def network_of(cls, model: nn.Module, example_inputs: ExampleInputs, entries: list[Entry]) -> Network:
        """The model as a function of the parameters of ``entries``."""
        return cls.network(cls._task_of(model, example_inputs), entries, [entry.mask for entry in entries])

    @classmethod
    def positive_network_of(
        cls, model: nn.Module, example_inputs: ExampleInputs, entries: list[Entry], outputs: Outputs | None = None
    ) -> PositiveNetwork:
        """The same of the absolute values of all parameters, on one input of ones."""
        task = cls._task_of(model, example_inputs, outputs)
        with torch.inference_mode(False), torch.no_grad():
            return PositiveNetwork(task, entries, [entry.mask for entry in entries], cls.dtype)

    @classmethod
    def _task_of(cls, model: nn.Module, example_inputs: ExampleInputs, outputs: Outputs | None = None) -> Task:
        if example_inputs is None:
            raise ValueError("example_inputs: expected the model's inputs, got None; pass for example x[:1]")
        return cls.require(Task(model, example_inputs, outputs=outputs))


class FromInputs(Flow):
    """The homogeneous surrogate without contributions that do not come from the input, such as biases and offsets."""

    def run_operation(self, name: str, surrogate: Surrogate | None, call: Call) -> Any:
        """Run an operation, or its surrogate, without its offsets."""
        if name == "linear" or name in CONVOLUTIONS:
            _leave_out(call, 2, "bias")
        elif name in _BIASES:
            _leave_out(call, _BIASES[name], "bias")
            mean = call.get(1, "running_mean")
            if name == "batch_norm" and mean is not None:
                call.args = (call.args[0], torch.zeros_like(mean), *call.args[2:])
        elif name in ("add", "sub"):
            call.args = tuple(arg if is_flow(arg) else _only_blocks(arg) for arg in call.args)
        elif name in _JOINS:
            call.args, call.kwargs = tree_map(
                lambda leaf: leaf if is_flow(leaf) else _nothing(leaf), (call.args, call.kwargs)
            )
        return super().run_operation(name, surrogate, call)


def _leave_out(call: Call, position: int, name: str) -> None:
    if len(call.args) > position:
        call.args = (*call.args[:position], None, *call.args[position + 1 :])
    elif name in call.kwargs:
        call.kwargs = {**call.kwargs, name: None}


def _only_blocks(offset: Any) -> Any:
    """An offset without its values, except for those that mask attention."""
    if isinstance(offset, Tensor):
        return torch.where(offset <= BLOCKED, offset, 0) if offset.is_floating_point() else offset
    return offset if isinstance(offset, (int, float)) and offset <= BLOCKED else 0


def _nothing(leaf: Any) -> Any:
    """A constant that joins a flow, without its value."""
    if isinstance(leaf, Tensor):
        return torch.zeros_like(leaf) if leaf.is_floating_point() else leaf
    return 0.0 if isinstance(leaf, float) else leaf
