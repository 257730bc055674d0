"""Comparing the outputs of the smaller network with those of the original."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow._torch.function_modes import FunctionMode
from torch_synflow._torch.pytree import tree_leaves
from torch_synflow.compact.copies import batch_of_two, copied, own_random_numbers, run, tensors_of
from torch_synflow.model.parameters import ExampleInputs

#: relative to the largest output, in float64; rounding alone gives about 1e-13
TOLERANCE = 1e-9
#: the same if a model does not run in float64
TOLERANCE_AS_IT_IS = 1e-4
#: the allowed multiple of the effect of a rounding error of the weights
OF_ROUNDING = 30


class _WithoutDropout(FunctionMode):
    """A mode without dropout, which draws one number per channel, so different networks draw different ones."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if "dropout" in name and "stochastic" not in name and args and isinstance(args[0], Tensor):
            return args[0]
        if name == "scaled_dot_product_attention":
            kwargs.pop("dropout_p", None)
            args = (*args[:4], 0.0, *args[5:]) if len(args) > 4 else args
        if name == "multi_head_attention_forward":
            args = (*args[:10], 0.0, *args[11:])
        if name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
            args = (*args[:5], 0.0, *args[6:])
        return func(*args, **kwargs)


def compare(model: nn.Module, small: nn.Module, example_inputs: ExampleInputs, *, rounded: bool = False) -> None:
    """Compare outputs on the example and on random inputs, in evaluation and in training; the models do not change.

    Args:
        model: the pruned model.
        small: the smaller network.
        example_inputs: the inputs of both.
        rounded: whether weights of ``small`` are sums, rounded to its precision.

    Raises:
        ValueError: if the smaller network does not run, or outputs differ. The message names the module.
    """
    with own_random_numbers(), torch.no_grad():
        try:
            wide = _doubled(example_inputs)
            first = copied(model).double()
            run(first.eval(), wide)
            second, inputs, tolerance = copied(small).double(), wide, TOLERANCE
        except Exception:  # a model that creates its own float32 tensors
            first, second, inputs, tolerance = copied(model), copied(small), example_inputs, TOLERANCE_AS_IT_IS
        # BatchNorm makes as many times more of rounding errors as it scales up what hardly varies
        shaken = _shaken(copied(first), like=model if rounded else first)
        for training, given in ((False, inputs), (False, _random(inputs)), (True, _random(batch_of_two(inputs)))):
            before, after, moved = (_outputs(one.train(training), given)[""] for one in (first, second, shaken))
            allowed = max(tolerance, OF_ROUNDING * _difference(before, moved))
            if (found := _difference(before, after)) > allowed:
                module = _first_difference(first, second, given, allowed)
                mode = "training" if training else "evaluation"
                raise ValueError(
                    f"{module}: expected the outputs of the pruned model in {mode}, "
                    f"got outputs that differ by {found:.1e} of the largest; nothing was changed. shrink does not "
                    "support an operation of this module or of an earlier one; please report the model"
                )


def _shaken(model: nn.Module, like: nn.Module) -> nn.Module:
    """The model with rounding errors in its parameters, of the precision of those of another."""
    for parameter, other in zip(model.parameters(), like.parameters(), strict=True):
        if parameter.is_floating_point():
            parameter.mul_(1 + torch.finfo(other.dtype).eps * torch.randint_like(parameter, -2, 3))
    return model


def _doubled(inputs: Any) -> Any:
    if isinstance(inputs, Tensor):
        return inputs.double() if inputs.is_floating_point() else inputs
    if isinstance(inputs, Mapping):
        return {name: _doubled(value) for name, value in inputs.items()}
    return type(inputs)(map(_doubled, inputs)) if type(inputs) in (tuple, list) else inputs


def _random(inputs: Any) -> Any:
    if isinstance(inputs, Tensor):
        return torch.randn_like(inputs) if inputs.is_floating_point() else inputs
    if isinstance(inputs, Mapping):
        return {name: _random(value) for name, value in inputs.items()}
    return type(inputs)(map(_random, inputs)) if type(inputs) in (tuple, list) else inputs


def _outputs(model: nn.Module, inputs: Any, *, each: bool = False) -> dict[str, list[Tensor]]:
    """The outputs of a model, by the name ``""``, and if asked for those of each module in the order of their ends."""
    found: dict[str, list[Tensor]] = {}
    running: list[str] = []
    handles = []
    for name, module in model.named_modules():

        def enter(module: nn.Module, args: Any, name: str = name) -> None:
            running.append(name)

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            name = running.pop()
            if each:
                leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
                found[name] = [leaf.detach().clone() for leaf in leaves]

        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        torch.manual_seed(0)  # all networks draw the same numbers
        with _WithoutDropout():
            found[""] = tensors_of(run(model, inputs))
    except Exception as error:
        raise ValueError(
            f"{running[-1] if running else 'model'}: expected the smaller network to run, got {type(error).__name__}: "
            f"{error}; nothing was changed"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return found


def _first_difference(first: nn.Module, second: nn.Module, inputs: Any, allowed: float) -> str:
    """The name of the first module whose outputs have the same shapes and other values."""
    before, after = (_outputs(one, inputs, each=True) for one in (first, second))
    for name, parts in before.items():
        found = after.get(name, [])
        if [a.shape for a in parts] == [a.shape for a in found] and _difference(parts, found) > allowed:
            return name or "model"
    return "model"


def _difference(first: list[Tensor], second: list[Tensor]) -> float:
    """The largest difference, relative to the largest value; infinite between shapes or between NaN and numbers."""
    worst = 0.0
    for a, b in zip(first, second, strict=True):
        if a.shape != b.shape:
            return float("inf")
        if not a.numel() or (torch.equal(a.isnan(), b.isnan()) and a.isnan().all()):
            continue
        a, b = (part.double() for part in (a, b))
        apart = (a - b).abs().max() / a.abs().max().clamp_min(1e-30)
        worst = max(worst, float(apart) if torch.isfinite(apart) else float("inf"))
    return worst
