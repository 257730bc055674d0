"""Passes of a network under the surrogate: R as a function of the weights, and the operations that compute it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from torch_synflow._torch.mapping import run_vmap_as_loop
from torch_synflow.flow.engine.recorder import Recorder
from torch_synflow.flow.engine.tape import Tape
from torch_synflow.flow.surrogate.call import label_of
from torch_synflow.flow.surrogate.mode import Flow
from torch_synflow.flow.surrogate.trace import Plan
from torch_synflow.model.randomness import Draws
from torch_synflow.scoring.gradients import as_leaves, gradients
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.reference import Scalar
from torch_synflow.scoring.task import Weights

_log = logging.getLogger("torch_synflow")
#: the number of forward passes within which the operations of two passes must agree
PASSES = 4


@dataclass(frozen=True)
class Read:
    """The findings of a pass.

    Attributes:
        used: the names of the weights that R depends on.
        without_surrogate: the names of the operations on the flow that ran unchanged, without a surrogate.
        given: the constants that stand for the input: tokens and positions.
    """

    used: frozenset[str]
    without_surrogate: tuple[str, ...]
    given: tuple[Tensor, ...]


def flow_of(network: Network, inputs: Any, mode: Callable[[Plan], Flow] = Flow) -> Scalar:
    """R as a function of the weights."""
    return lambda weights: _read(network, weights, inputs, mode)[0]


def record(
    network: Network, weights: Weights, inputs: Any, mode: Callable[[Plan], Flow] = Flow
) -> tuple[Tape | None, float, Read]:
    """The operations that compute R, R itself, and the findings of the pass.

    The operations are ``None`` if the pass cannot be replayed on other weights without the model's code.
    """
    result, found, recorder = _read(network, as_leaves(weights), inputs, mode)
    slot = recorder.slot_of(result)
    if recorder.broken or slot is None:
        _log.info("SynFlow runs the model's own code in each iteration: %s", recorder.broken or "nothing is recorded")
        return None, float(result.detach()), found
    return Tape(recorder.steps, recorder.constants, recorder.shapes, slot), float(result.detach()), found


def synflow_by_definition(
    network: Network, weights: Weights, inputs: Any, mode: Callable[[Plan], Flow] = Flow
) -> tuple[Weights, Tensor]:
    """``dR/dw * w`` of positive weights, and R, by the model's own code."""
    leaves = as_leaves(weights)
    result = flow_of(network, inputs, mode)(leaves)
    found = gradients([result], leaves)
    return {name: found[name].mul_(weight) for name, weight in weights.items()}, result.detach()


def synflow_of_parts(
    network: Network, leaves: Weights, inputs: Any, mode: Callable[[Plan], Flow]
) -> tuple[Weights, Tensor, Read]:
    """Like :func:`synflow_by_definition` for leaves of parts, with the findings of the pass; nothing is recorded."""
    result, found, _ = _read(network, leaves, inputs, mode, recording=False)
    gradient = gradients([result], leaves)
    return {name: gradient[name].mul_(weight) for name, weight in network.weights.items()}, result.detach(), found


def _read(
    network: Network, weights: Weights, inputs: Any, mode: Callable[[Plan], Flow], *, recording: bool = True
) -> tuple[Tensor, Read, Recorder]:
    """R, the findings of the last pass, and its recording.

    A first pass finds the gates. If there are any, a second pass treats the main flow at them as a constant.
    """
    refuse_other_threads(network.model)
    plan = Plan()
    for _ in range(PASSES):
        recorder, surrogate, draws = Recorder(weights), mode(plan), Draws()
        with recorder if recording else nullcontext(), surrogate:
            surrogate.start(weights, inputs)
            run_vmap_as_loop(over=lambda leaf: label_of(leaf) is not None)
            try:
                outputs = network(weights, inputs)
            finally:
                run_vmap_as_loop(over=None)
        last, plan = plan, surrogate.plan_for(outputs)
        if plan != last:
            del outputs, surrogate  # and the graph that they hold, before the next pass makes one
            continue
        if sources := draws.sources():
            recorder.broken = f"the forward pass draws random numbers ({', '.join(sources)})"
        used = frozenset(name for name, tensor in weights.items() if surrogate.reached(tensor))
        with recorder if recording else nullcontext():
            found = Read(used, tuple(surrogate.without_surrogate), tuple(surrogate.trace.given))
            return surrogate.total(outputs), found, recorder
    raise ValueError(
        "model: expected a forward pass that runs the same operations each time, got different operations in each "
        f"of {PASSES} passes"
    )


def refuse_other_threads(model: nn.Module) -> None:
    """Make the modules of an open model refuse to run in another thread, where torch's modes do not see them."""
    owner = threading.get_ident()
    for name, module in model.named_modules():

        def check(module: nn.Module, args: Any, name: str = name) -> None:
            if threading.get_ident() != owner:
                raise RuntimeError(
                    "model: expected a forward that runs in the calling thread, the only one that torch's modes see, "
                    f"got {name or type(module).__name__!r} in another thread; run it in one thread while SynFlow "
                    "scores"
                )

        module.register_forward_pre_hook(check, prepend=True)
