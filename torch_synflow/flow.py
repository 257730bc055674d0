r"""The synaptic-flow reading of a network: any model as one of positive weights and homogeneous operations.

SynFlow's guarantee is that a score counts what flows through a weight, and that as much flows through every
layer. That holds for linear layers and ReLUs. Here the forward pass of any other model is read, operation by
operation, as its positively homogeneous counterpart:

* linear layers, convolutions, pooling, sums, reshapes, ReLU, affine BatchNorm: as they are;
* other activations: ReLU, the identity on a positive flow;
* LayerNorm, GroupNorm, InstanceNorm, RMSNorm: scaled by ``|gamma|`` and one over the root mean square, which is
  a constant; not centred;
* gates (squeeze-and-excitation) and attention: divided by their own value or row sum, which is a constant. The
  main flow that a gate reads enters it as a constant, so it is counted once, and the gate's own weights carry
  the flow of what they gate;
* embeddings: ones, as what is embedded is the network's input.

:func:`register` adds a reading for an operation of one's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value, vjp

from torch_synflow.mode import Flow, Reading
from torch_synflow.names import REGISTERED
from torch_synflow.scoring import Network
from torch_synflow.tape import Recorder, Tape
from torch_synflow.task import Weights
from torch_synflow.trace import Plan

#: how often a forward pass may run until the operations of two passes agree
PASSES = 4


def register(operation: Any, reading: Reading | None = None) -> Any:
    """Say how SynFlow is to read an operation: by a positively homogeneous function of the same arguments.

    Args:
        operation: what the model calls: a function such as ``torch.special.erf``, a method such as
            ``torch.Tensor.erf``, or a subclass of ``torch.autograd.Function`` (written with ``setup_context``,
            as ``torch.func`` needs it).
        reading: called with the same arguments instead. For an activation ``torch.relu`` of the input. Left
            out, ``register`` is a decorator.

    Returns:
        ``reading``, or the decorator.

    Raises:
        TypeError: if either can not be called.

    Example:
        >>> from torch_synflow import flow, prune
        >>> @flow.register(torch.special.erf)
        ... def relu(x):
        ...     return torch.relu(x)
    """
    if not callable(operation):
        raise TypeError(f"operation: expected what the model calls, such as torch.special.erf, got {operation!r}")

    def add(function: Reading) -> Reading:
        if not callable(function):
            raise TypeError(f"reading: expected a function of the same arguments, got {function!r}")
        REGISTERED[operation] = function
        return function

    return add if reading is None else add(reading)


def measure(
    network: Network, weights: Weights, inputs: Any, mode: Callable[[Plan], Flow] = Flow
) -> tuple[Weights, float, set[str]]:
    r"""The gradient of R at ``weights``, R, and the names of the weights that it depends on."""
    used: set[str] = set()

    def total(weights: Weights) -> Tensor:
        nonlocal used
        result, used, _ = _read(network, weights, inputs, mode)
        return result

    gradients, result = grad_and_value(total)(weights)
    return dict(gradients), float(result), used


def record(
    network: Network, weights: Weights, inputs: Any, mode: Callable[[Plan], Flow] = Flow
) -> tuple[Tape | None, float, set[str]]:
    """The operations that compute R, R, and the names of the weights that it depends on.

    ``None`` where what the model does can not be run again on other weights without its code.
    """
    used: set[str] = set()
    recorder = Recorder({})
    slot: int | None = None

    def total(weights: Weights) -> tuple[Tensor, list[Tensor]]:
        nonlocal used, recorder, slot
        result, used, recorder = _read(network, weights, inputs, mode)
        slot = recorder.slot_of(result)
        return result, recorder.constants  # returned, as outside of vjp they are other objects

    traced: Any = vjp(total, weights, has_aux=True)
    result, _, constants = traced
    if recorder.broken or slot is None:
        return None, float(result), used
    return Tape(recorder.steps, constants, recorder.shapes, slot), float(result), used


def _read(
    network: Network, weights: Weights, inputs: Any, mode: Callable[[Plan], Flow]
) -> tuple[Tensor, set[str], Recorder]:
    """R, the names of the weights that it depends on, and the last pass as it was recorded.

    A first pass finds the gates; where there are any, a second reads the main flow as a constant at them.
    """
    plan = Plan()
    for _ in range(PASSES):
        recorder, reading = Recorder(weights), mode(plan)
        state = torch.get_rng_state()
        with recorder, reading:
            reading.start(weights, inputs)
            outputs = network(weights, inputs)
        last, plan = plan, reading.plan_for(outputs)
        if plan == last:
            break
    else:
        raise ValueError(
            f"model: expected a forward pass that runs the same operations each time, got others in each of "
            f"{PASSES} passes"
        )
    if not torch.equal(state, torch.get_rng_state()):
        recorder.broken = "the forward pass draws random numbers"
    used = {name for name, tensor in weights.items() if reading.reached(tensor)}
    with recorder:
        return reading.total(outputs), used, recorder
