"""The operation of a smaller network that fails because its code expects a different number of channels."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import nn

from torch_synflow._torch.function_modes import FunctionMode
from torch_synflow.compact.copies import batch_of_two, copied, dense, run
from torch_synflow.compact.narrow import as_one_operation
from torch_synflow.compact.tracer import operation_in
from torch_synflow.model.parameters import ExampleInputs


class _Counting(FunctionMode):
    """Counts operations of one name in one module, as :class:`~torch_synflow.compact.tracer.Tracer` names them."""

    def __init__(self) -> None:
        super().__init__()
        self.modules: list[str] = []
        self.counts: Counter[str] = Counter()
        self.last = ""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.last = operation_in(getattr(func, "__name__", "?"), self.modules[-1] if self.modules else "")
        self.counts[self.last] += 1
        return func(*args, **(kwargs or {}))


def failing_operation(small: nn.Module, example_inputs: ExampleInputs) -> tuple[str, int, Exception] | None:
    """Run a network without its masks in evaluation and in training, as in the pass that traced its channels.

    Modules that have become smaller may run other operations, so each module counts its own.

    Returns:
        The operation that failed, how many of its name had run in its module, and its error; ``None`` if all run.
    """
    plain = copied(small)
    dense(plain)
    as_one_operation(plain)
    mode = _Counting()
    for name, module in plain.named_modules():

        def enter(module: nn.Module, args: Any, name: str = name) -> None:
            mode.modules.append(name)

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            mode.modules.pop()

        module.register_forward_pre_hook(enter)
        module.register_forward_hook(leave)
    with torch.enable_grad():
        try:
            with mode:
                run(plain.eval(), example_inputs)
                run(plain.train(), batch_of_two(example_inputs))
        except Exception as error:
            return mode.last, mode.counts[mode.last] - 1, error
    return None
