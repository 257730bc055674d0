"""The operation of a smaller network that fails because its code expects a different number of channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from torch_synflow._torch.function_modes import FunctionMode
from torch_synflow.compact.copies import batch_of_two, copied, dense, run
from torch_synflow.model.parameters import ExampleInputs


class _Counting(FunctionMode):
    """Counts operations like :class:`~torch_synflow.compact.tracer.Tracer`."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def failing_operation(small: nn.Module, example_inputs: ExampleInputs) -> tuple[int, Exception] | None:
    """Run a network without its masks in evaluation and in training, as in the pass that traced its channels.

    Returns:
        The number of the operation that failed, and its error; ``None`` if all run.
    """
    plain = copied(small)
    dense(plain)
    mode = _Counting()
    with torch.enable_grad():
        try:
            with mode:
                run(plain.eval(), example_inputs)
                run(plain.train(), batch_of_two(example_inputs))
        except Exception as error:
            return mode.count - 1, error
    return None
