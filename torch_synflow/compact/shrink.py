"""The same network without the channels that carry nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from torch_synflow._warnings import warn_user
from torch_synflow.compact.choice import Choice, choose
from torch_synflow.compact.comparison import compare
from torch_synflow.compact.copies import cloned, copied, dense, own_random_numbers
from torch_synflow.compact.costs import report_of_shrinking
from torch_synflow.compact.empty import may_be_empty
from torch_synflow.compact.optimizer import at_rest, carried
from torch_synflow.compact.probe import failing_operation
from torch_synflow.compact.slicing import cut, indices_by_name, set_heads
from torch_synflow.compact.trace import check_paths, follow
from torch_synflow.compact.tracer import Tracer
from torch_synflow.model.masks import pruned_parameters
from torch_synflow.model.parameters import ExampleInputs, unwrap
from torch_synflow.model.prunable import refuse_sharded
from torch_synflow.model.threads import ONE_AT_A_TIME

#: so many operations may turn out to have sizes written into their code
_ATTEMPTS = 50


def shrink(
    model: nn.Module, example_inputs: ExampleInputs, *, optimizer: torch.optim.Optimizer | None = None
) -> nn.Module:
    r"""Build the same network without the neurons, channels and attention heads that carry nothing.

    With masks :math:`m` the channel :math:`c` goes if in every tensor that it is a channel of

    .. math:: x_c = 0 \text{ for all inputs} \quad \text{or} \quad \frac{\partial f}{\partial x_c} = 0,

    now and at each later step of training. Outputs are the same in evaluation and in training, and so are the weights
    that training arrives at, to rounding; dropout apart, which draws a number per channel. A channel that passes on a
    bias or BatchNorm offset that is trained stays, and so does one that an operation reads as a whole, such as
    LayerNorm; channels that meet in a sum go only together. A layer without kept weights computes nothing: a residual
    block that lost one becomes the constant behind it, or the identity. What is left keeps its masks.

    Outputs are compared before the network is returned, on ``example_inputs`` and on random ones.

    Args:
        model: pruned by masks of ``torch.nn.utils.prune``. It is not changed.
        example_inputs: what it is called with: a tensor, a tuple of positional arguments or a mapping of keyword
            arguments. The first dimension is the batch.
        optimizer: of the model's parameters. In the end it holds those of the smaller network in their place, with
            momentum and other state of the elements that are left.

    Returns:
        The smaller network, without ``DataParallel`` or ``torch.compile`` around it, and without gradients. Its
        ``shrink_report`` says what was saved per layer, and why channels stayed. A model without masks is returned as
        it is, with a warning.

    Raises:
        TypeError: if ``model`` or ``optimizer`` is none.
        ValueError: if the model is sharded or does not run on ``example_inputs``, has operations that are not torch's
            between its layers, no path from the input to an output, or a state of the optimizer cannot be cut. Nothing
            is changed then.

    Source: Frankle et al. 2021, section 5, on how many neurons SynFlow empties.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> _ = prune.custom_from_mask(model[2], "weight", torch.tensor([[1, 0, 0, 1], [0, 0, 0, 1]]))
        >>> small = prune.shrink(model, torch.rand(1, 3))
        >>> small[0].weight.shape, small[2].weight_mask.tolist()
        (torch.Size([2, 3]), [[1.0, 1.0], [0.0, 1.0]])
        >>> print(small.shrink_report)
        14 of 26 parameters (0.538), 72 of 136 bytes (0.529), 10 of 20 MACs (0.500)
        layer  channels  kept  parameters  kept  MACs  kept
        0             4     2          16     8    12     6
        2             2     2          10     6     8     4
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    if example_inputs is None:
        raise ValueError("example_inputs: expected what the model is called with, got None; prune.shrink(model, x)")
    if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer: expected a torch.optim.Optimizer, got {type(optimizer).__name__}")
    model = unwrap(model)
    refuse_sharded(model, "to shrink")
    if not pruned_parameters(model):
        warn_user("shrink: the model has no masks, and is returned as it is; prune it first")
        return model
    with ONE_AT_A_TIME, own_random_numbers(), torch.inference_mode(False):
        small, put = _shrunk(model, cloned(example_inputs), optimizer)
    put()
    return small


def _shrunk(
    model: nn.Module, example_inputs: ExampleInputs, optimizer: torch.optim.Optimizer | None
) -> tuple[nn.Module, Callable[[], None]]:
    plain = copied(model)
    masks = dense(plain)
    modes = {name: module.training for name, module in model.named_modules()}
    tracer, outputs = follow(plain, example_inputs, masks, _resting(model, optimizer))
    flags = tracer.cells.settled()
    check_paths(tracer, outputs, flags)
    fixed: list[Tensor] = []
    empty = may_be_empty(plain)
    notes: list[str] = []
    for _ in range(_ATTEMPTS):
        choice = choose(tracer, flags, fixed, empty)
        indices = indices_by_name(tracer, choice, plain)
        small = copied(model)
        cut(small, indices)
        set_heads(small, tracer, choice)
        failed = failing_operation(small, example_inputs)
        if failed is None:
            break
        if any(not parameter.numel() for parameter in small.parameters()):
            empty = set()  # an operation may want a channel at least: each layer keeps one
            continue
        notes.append(_note(failed, tracer, choice, fixed))
    else:
        raise ValueError(f"model: expected at most {_ATTEMPTS} operations with sizes in their code, got {notes[-1]}")
    put = (lambda: None) if optimizer is None else carried(optimizer, model, small, indices)
    compare(model, small, example_inputs)
    report = report_of_shrinking(model, small, example_inputs, tracer, choice, tuple(notes))
    small.__dict__["shrink_report"] = report
    for name, module in small.named_modules():
        module.training = modes[name]
    return small, put


def _note(failed: tuple[int, Exception], tracer: Tracer, choice: Choice, fixed: list[Tensor]) -> str:
    """Which operation of the smaller network does not run; its channels are added to those that stay."""
    number, error = failed
    name, cells = tracer.touched[min(number, len(tracer.touched) - 1)]
    removed = [part[choice.removed[part]] for part in cells]
    if not any(map(len, removed)):
        raise ValueError(
            f"{name}: expected it to run with fewer channels, got {type(error).__name__}: {error}; nothing was changed"
        ) from error
    fixed += removed
    return f"{name} keeps its channels, as its code expects as many: {error}"


def _resting(model: nn.Module, optimizer: torch.optim.Optimizer | None) -> dict[str, Tensor]:
    return {
        name.removesuffix("_orig"): at_rest(optimizer, parameter)
        for name, parameter in model.named_parameters()
        if parameter.dim() == 1
    }
